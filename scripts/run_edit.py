"""Propose edits that close gaps between groups, and keep the figures under results/edit.json.

    python scripts/run_edit.py [NAME ...]      NAME: a key of CASES

Cross-fitted: the rows are parted into five, texts or templates whole. In each of five rounds a classifier is fitted on
two parts, features to drop are sought on two others, and both are judged on the last. So each row is judged once, by a
classifier and an edit that never saw it, and all rows tell whether the procedure closes the gap. Two intervals: a
bootstrap over the units of all judged rows, for these five classifiers and edits; and the corrected resampled t
interval over the rounds, which share rows to learn from (Nadeau and Bengio 2003, section 3), for others drawn alike.

Needs the folder `shared` beside the checkout. Features are kept in the usual store. Afterwards `make docs` brings the
figures into docs/edit.md.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentprobe.cli.progress import terminal
from latentprobe.config import DataSpec, FitSpec
from latentprobe.corpus import read_corpus
from latentprobe.encode.extract import extract
from latentprobe.encode.formats import labels
from latentprobe.encode.sources import plan_sources
from latentprobe.experiment.edit import decided
from latentprobe.experiment.judging import Judged, part_of
from latentprobe.experiment.proposal import searched_edit, with_moved_threshold
from latentprobe.explain.edit import without
from latentprobe.explain.gaps import Measure, gap_of
from latentprobe.files import write_json
from latentprobe.learn import FittedProbe, Recipe, calibrate, choose, inner_folds, units_of
from latentprobe.learn.paired import paired_scores
from latentprobe.learn.repeats import corrected_t
from latentprobe.store import FeatureStore, SparseFeatures, default_store

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "results" / "edit.json"

FIVE = ("arabic", "french", "german", "italian", "spanish")
TEN = (*FIVE, "dutch", "hindi", "mandarin", "polish", "portuguese")
#: The groups that the sentences of all FIVE have, so that a group is no sign of a language.
TARGETS = ("women", "trans people", "gay people", "black people", "disabled people")

#: Spellings and words that African American English on Twitter has more often than other English (Blodgett and others
#: 2016, arXiv 1608.08868, section 3). Slurs are left out: the column is to tell dialect, not insult.
DIALECT = re.compile(
    r"\b(ain'?t|gon|tryna|finna|imma|ima|y'?all|dat|dis|wit|bruh|cuz|dey|da|den|dem|doe|tho|bouta|ion|talm|aye|ya|yo|"
    r"lil|nah|wanna|gotta|dont|wat|wut|n)\b",
    re.IGNORECASE,
)
#: Terms for people, of the templates that Dixon and others released ("Measuring and mitigating unintended bias in text
#: classification", 2018; adjectives_people.txt), here also in the plural.
IDENTITY = re.compile(
    r"\b(lesbian|gay|bisexual|transgender|trans|queer|lgbt|lgbtq|homosexual|straight|heterosexual|male|female|nonbinary|"
    r"african|african american|black|white|european|hispanic|latino|latina|latinx|mexican|canadian|american|asian|"
    r"indian|middle eastern|chinese|japanese|christian|muslim|jewish|buddhist|catholic|protestant|sikh|taoist|old|"
    r"older|young|younger|teenage|millenial|middle aged|elderly|blind|deaf|paralyzed)s?\b",
    re.IGNORECASE,
)

Row = dict[str, str]


class Data(NamedTuple):
    """Labelled rows: ``text``, ``label``, ``unit`` and the columns in ``by``."""

    rows: Callable[[], Iterator[Row]]
    by: tuple[str, ...]
    settings: dict[str, Any]
    layer: int


def tweets() -> Iterator[Row]:
    """Davidson: offensive or hateful, or neither."""
    with (DATA / "davidson" / "labeled_data.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            text = row["tweet"]
            yield {
                "text": text,
                "label": "neither" if row["class"] == "2" else "offensive",
                "writing": "dialect" if DIALECT.search(text) else "other",
                "people": "named" if IDENTITY.search(text) else "not named",
            }


def sentences() -> Iterator[Row]:
    """Multilingual HateCheck: hateful or not; all sentences of a template, in all languages, are one unit."""
    for language in TEN:
        path = DATA / "multilingual_hatecheck" / f"hatecheck_cases_final_{language}.csv"
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                group = row["target_ident"]
                yield {
                    "text": row["test_case"],
                    "label": row["label_gold"],
                    "language": language,
                    "target": group if group in TARGETS else "",
                    "group": "named" if group else "not named",
                    "unit": row["templ_id"],
                }


SETS = {
    "davidson": Data(tweets, ("writing", "people"), {"positive": "offensive"}, 3),
    # Near-copies are not looked for: of templates, they would join most into one unit.
    "hatecheck": Data(
        sentences,
        ("language", "target", "group"),
        {"positive": "hateful", "group": "unit", "near_duplicates": None},
        5,
    ),
}


class Case(NamedTuple):
    """A gap to close."""

    data: str
    by: str
    gap: Measure
    languages: tuple[str, ...] = ()
    """Of HateCheck: those looked at."""


#: Declared before any of them went through these rounds: the gaps of earlier attempts, and those that single features
#: are likeliest to cause, with rows enough to see it.
CASES = {
    "hatecheck_five": Case("hatecheck", "language", "recall", FIVE),
    "davidson": Case("davidson", "writing", "fpr"),
    "hatecheck_ten": Case("hatecheck", "language", "recall", TEN),
    "davidson_people": Case("davidson", "people", "fpr"),
    "hatecheck_target": Case("hatecheck", "target", "recall", FIVE),
    "hatecheck_named": Case("hatecheck", "group", "fpr", FIVE),
}


@cache
def encoded(name: str) -> Judged:
    """The rows of a data set with their features, from the store where it has them."""
    data = SETS[name]
    rows = list(data.rows())
    with tempfile.TemporaryDirectory() as folder, terminal() as reporter:
        path = Path(folder) / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        corpus = read_corpus(DataSpec(path=str(path), by=data.by, **data.settings))
        spec = spec_of(data)
        (source,) = plan_sources(spec.backbone, (spec.pooling,), corpus.fingerprint, hidden=False)
        store = FeatureStore(default_store())

        def progress(done: int, total: int) -> None:
            reporter.progress("encode", done, total)

        extract(spec.backbone, [source], corpus.rows, corpus.ids, store, progress=progress)
    features = store.read(source.fingerprint)
    assert isinstance(features, SparseFeatures)
    return Judged(corpus, corpus.target, units_of(corpus), features.csr(spec.pooling))


def spec_of(data: Data) -> FitSpec:
    """What is fitted."""
    return FitSpec.of(layer=data.layer, sae=f"bundled:minilm-l{data.layer}-4k", C=(0.01, 0.1), folds=3)


class Round(NamedTuple):
    """A classifier, and rows that it was not fitted on."""

    probe: FittedProbe
    slope: tuple[float, ...]
    fitted: dict[str, Any]
    searched: NDArray[np.int64]
    judged: NDArray[np.int64]


@cache
def rows_of(data: str, languages: tuple[str, ...]) -> Judged:
    """The rows of a case."""
    rows = encoded(data)
    if not languages:
        return rows
    return part_of(rows, np.flatnonzero(np.isin(rows.corpus.columns["language"], languages)))


@cache
def rounds(data: str, languages: tuple[str, ...]) -> list[Round]:
    """The five rounds, of all cases on the same rows: which column is looked at does not matter to the fit."""
    rows, spec = rows_of(data, languages), spec_of(SETS[data])
    parts = [held for _, held in inner_folds(rows.target, rows.units, 5, 0)]
    found = []
    for place, judged in enumerate(parts):
        first, second, third, fourth = (parts[(place + step) % 5] for step in range(1, 5))
        fit = part_of(rows, np.sort(np.concatenate([first, second])))
        folds = inner_folds(fit.target, fit.units, spec.folds, spec.seed)
        chosen = choose(fit.rows, fit.target, folds, Recipe("sparse"), spec.probe)
        slope = calibrate(chosen.out_of_fold, fit.target).slope
        fitted = {"n_fitted": len(fit.target), "macro_f1": chosen.inner_macro_f1, "C": chosen.probe.C}
        found.append(Round(chosen.probe, slope, fitted, np.sort(np.concatenate([third, fourth])), judged))
        print(f"fitted on {data}, round {place + 1}: {chosen.inner_macro_f1:.3f}", flush=True)
    return found


def proposed(case: Case) -> dict[str, Any]:
    """All rounds of a case, each judged alone and all together."""
    rows = rows_of(case.data, case.languages)
    rows = replace(rows, corpus=replace(rows.corpus, columns={case.by: rows.corpus.columns[case.by]}))
    names = labels(spec_of(SETS[case.data]).sae)
    said = {side: np.zeros(len(rows.target), dtype=np.int64) for side in ("before", "moved", "after")}
    found = []
    for one in rounds(case.data, case.languages):
        searched, held = part_of(rows, one.searched), part_of(rows, one.judged)
        search = searched_edit(one.probe, searched, case.gap, slope=one.slope)
        drop = search.order[: search.proposed]
        after = without(one.probe, drop) if drop else one.probe
        said["before"][one.judged] = decided(one.probe, held.rows, held.target)
        said["after"][one.judged] = decided(after, held.rows, held.target)
        said["moved"][one.judged] = with_moved_threshold(one.probe, after, searched, held)[1]
        (values,) = held.corpus.columns.values()
        gaps = {side: gap_of(held.target, own[one.judged], values, case.gap) for side, own in said.items()}
        found.append(
            one.fitted
            | {"n_searched": len(searched.target), "n_judged": len(held.target), "gap": gaps}
            | {"dropped": [{"feature": feature, "label": names.get(feature)} for feature in drop]}
            | {"inner": {"change": float(search.change[len(drop)]), "error": float(search.error[len(drop)])}}
        )
        print(f"  {len(drop)} dropped: {gaps}", flush=True)
    changes = np.array([one["gap"]["after"] - one["gap"]["before"] for one in found])
    scores, against = (pooled(rows, said[side], said["after"]) for side in ("before", "moved"))
    return {
        "by": case.by,
        "gap": case.gap,
        "rounds": found,
        "over_rounds": corrected_t(changes, 1 / 4) | {"narrower": int((changes < 0).sum())},
        "scores": scores,
        "threshold": {"macro_f1": against["macro_f1"], "gap": against["by"][case.by]["changes"][case.gap]},
    }


def pooled(rows: Judged, before: NDArray[Any], after: NDArray[Any]) -> dict[str, Any]:
    """Scores of two decisions on all rows, without the names of rows of a file that is gone."""
    found = paired_scores(rows.target, before, after, rows.units, ids=rows.corpus.ids, columns=rows.corpus.columns)
    del found["flipped"]["rows"]
    return found


def main() -> None:
    """Every case named, beside those that were kept before."""
    for name in sys.argv[1:] or CASES:
        print(name, flush=True)
        found = proposed(CASES[name])
        kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
        write_json(RESULTS, {name: kept[name] for name in CASES if name in kept} | {name: found})


if __name__ == "__main__":
    main()
