"""Close one gap by `edit --propose` and keep the figures under results/edit.json.

    python scripts/run_edit.py

A classifier of hateful sentences in five languages is fitted on half of the templates of Multilingual HateCheck
(Röttger and others 2022), read by a model that knows English best; then features are sought whose removal closes the
gap in recall between languages, on a quarter of the templates, and judged on the last quarter. Needs the folder
`shared` beside the checkout. Afterwards `make docs` brings the figures into docs/edit.md.
"""

from __future__ import annotations

import csv
import hashlib
import json
import tempfile
import time
from pathlib import Path

from latentprobe.cli.progress import terminal
from latentprobe.config import DataSpec, FitSpec
from latentprobe.experiment import fit_classifier
from latentprobe.experiment.proposal import propose_edit
from latentprobe.files import write_json

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "multilingual_hatecheck"
LANGUAGES = ("arabic", "french", "german", "italian", "spanish")


def write_halves(folder: Path) -> dict[str, DataSpec]:
    """fit.csv and judge.csv: all sentences of a template, in every language, are in one of them."""
    columns = ("text", "label", "language", "template")
    rows: dict[str, list[tuple[str, str, str, str]]] = {"fit": [], "judge": []}
    for language in LANGUAGES:
        with (DATA / f"hatecheck_cases_final_{language}.csv").open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                half = ("fit", "judge")[hashlib.sha256(row["templ_id"].encode()).digest()[0] % 2]
                rows[half].append((row["test_case"], row["label_gold"], language, row["templ_id"]))
    for half, own in rows.items():
        with (folder / f"{half}.csv").open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([columns, *own])
    # Templates are the groups; looking for near-copies too would join most of them into one.
    return {
        half: DataSpec(path=str(folder / f"{half}.csv"), group="template", near_duplicates=None, positive="hateful")
        for half in rows
    }


def main() -> None:
    """Fit, propose, keep."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, terminal() as reporter:
        folder = Path(name)
        halves = write_halves(folder)
        spec = FitSpec.of(layer=5, sae="bundled:minilm-l5-4k", C=(0.01, 0.1), folds=3)
        fitted = fit_classifier(halves["fit"], folder / "bundle", spec, reporter=reporter)
        judge = halves["judge"].model_copy(update={"by": ("language",)})
        found = propose_edit(folder / "bundle", judge, gap="recall", out=folder / "edited", reporter=reporter)
    del found["scores"]["flipped"]["rows"]  # names of rows of a file that is gone
    found["fitted"] = {"rows": fitted["n_rows"], "macro_f1": fitted["macro_f1"], "features": fitted["n_features"]}
    found["seconds"] = round(time.perf_counter() - start, 1)
    write_json(ROOT / "results" / "edit.json", json.loads(json.dumps(found)))


if __name__ == "__main__":
    main()
