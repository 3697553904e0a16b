"""Propose edits that close gaps between groups, and keep the figures under results/edit.json.

    python scripts/run_edit.py [NAME ...]      NAME: a key of CASES

Each classifier is fitted on half of the rows; features are sought on a quarter and judged on the last quarter. Needs
the folder `shared` beside the checkout. Afterwards `make docs` brings the figures into docs/edit.md.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from latentprobe.cli.progress import terminal
from latentprobe.config import DataSpec, FitSpec
from latentprobe.experiment import fit_classifier
from latentprobe.experiment.proposal import propose_edit
from latentprobe.explain.gaps import Measure
from latentprobe.files import write_json

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "results" / "edit.json"

FIVE = ("arabic", "french", "german", "italian", "spanish")
TEN = (*FIVE, "dutch", "hindi", "mandarin", "polish", "portuguese")

#: Spellings and words that African American English on Twitter has more often than other English (Blodgett and others
#: 2016, arXiv 1608.08868, section 3). Slurs are left out: the column is to tell dialect, not insult.
DIALECT = re.compile(
    r"\b(ain'?t|gon|tryna|finna|imma|ima|y'?all|dat|dis|wit|bruh|cuz|dey|da|den|dem|doe|tho|bouta|ion|talm|aye|ya|yo|"
    r"lil|nah|wanna|gotta|dont|wat|wut|n)\b",
    re.IGNORECASE,
)

#: The same, and the word of address that the dialect has and that others use as a slur.
WITH_ADDRESS = re.compile(DIALECT.pattern + r"|\bnigga[sz]?\b", re.IGNORECASE)


class Row(NamedTuple):
    """A labelled text of a value; texts of one unit stay in one half."""

    text: str
    label: str
    value: str
    unit: str


class Case(NamedTuple):
    """A gap to close."""

    rows: Callable[[], Iterator[Row]]
    by: str
    positive: str
    gap: Measure
    layer: int
    group: bool
    """Whether units are groups; near-copies are then not looked for: of templates, they would join most into one."""


def tweets(dialect: re.Pattern[str]) -> Iterator[Row]:
    """Davidson: offensive or hateful, or neither; whether a tweet is written in dialect."""
    with (DATA / "davidson" / "labeled_data.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            label, text = "neither" if row["class"] == "2" else "offensive", row["tweet"]
            yield Row(text, label, "dialect" if dialect.search(text) else "other", text)


def sentences(languages: Sequence[str]) -> Iterator[Row]:
    """Multilingual HateCheck: hateful or not, in several languages; all sentences of a template stay together."""
    for language in languages:
        path = DATA / "multilingual_hatecheck" / f"hatecheck_cases_final_{language}.csv"
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                yield Row(row["test_case"], row["label_gold"], language, row["templ_id"])


CASES = {
    "davidson": Case(partial(tweets, DIALECT), "writing", "offensive", "fpr", 3, group=False),
    "davidson_address": Case(partial(tweets, WITH_ADDRESS), "writing", "offensive", "fpr", 3, group=False),
    "hatecheck_five": Case(partial(sentences, FIVE), "language", "hateful", "recall", 5, group=True),
    "hatecheck_ten": Case(partial(sentences, TEN), "language", "hateful", "recall", 5, group=True),
}


def halves_of(case: Case, folder: Path) -> dict[str, DataSpec]:
    """fit.csv and judge.csv."""
    halves: dict[str, list[Row]] = {"fit": [], "judge": []}
    for row in case.rows():
        halves[("fit", "judge")[hashlib.sha256(row.unit.encode()).digest()[0] % 2]].append(row)
    specs = {}
    for half, rows in halves.items():
        path = folder / f"{half}.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("text", "label", case.by, "unit"), *rows])
        settings: dict[str, Any] = {"group": "unit", "near_duplicates": None} if case.group else {}
        specs[half] = DataSpec(path=str(path), positive=case.positive, **settings)
    return specs


def proposed(case: Case) -> dict[str, Any]:
    """Fit, search, judge."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, terminal() as reporter:
        folder = Path(name)
        halves = halves_of(case, folder)
        spec = FitSpec.of(layer=case.layer, sae=f"bundled:minilm-l{case.layer}-4k", C=(0.01, 0.1), folds=3)
        fitted = fit_classifier(halves["fit"], folder / "bundle", spec, reporter=reporter)
        judge = halves["judge"].model_copy(update={"by": (case.by,)})
        found = propose_edit(folder / "bundle", judge, gap=case.gap, reporter=reporter)
    del found["scores"]["flipped"]["rows"]  # names of rows of a file that is gone
    found["fitted"] = {"rows": fitted["n_rows"], "macro_f1": fitted["macro_f1"], "features": fitted["n_features"]}
    return found | {"seconds": round(time.perf_counter() - start, 1)}


def main() -> None:
    """Every case named, beside those that were kept before."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    for name in sys.argv[1:] or CASES:
        kept[name] = proposed(CASES[name])
        write_json(RESULTS, kept)


if __name__ == "__main__":
    main()
