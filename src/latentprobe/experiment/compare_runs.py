"""Two runs, or two classifiers on the same rows: scores, flipped rows, features that came and went.

Runs are compared by the predictions they left, row by row; classifiers are asked anew. Knows nothing of pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.config import DataSpec, read_spec
from latentprobe.corpus import Target, read_corpus
from latentprobe.deploy import Bundle, Classifier
from latentprobe.errors import CorpusError, SpecError
from latentprobe.experiment.edit import decided
from latentprobe.experiment.environment import Reporter, Silent
from latentprobe.experiment.judging import aligned, read_labelled, seen_by
from latentprobe.experiment.places import require_folder
from latentprobe.files import write_json, write_text
from latentprobe.learn import units_of
from latentprobe.learn.paired import paired_scores
from latentprobe.report import read_run
from latentprobe.report.comparison import comparison_page
from latentprobe.report.run_files import RunFiles

__all__ = ["COMPARISON", "compare"]

#: Files of a comparison.
COMPARISON, PAGE = "comparison.json", "comparison.html"


def compare(
    first: Path,
    second: Path,
    *,
    data: DataSpec | None = None,
    by: Sequence[str] = (),
    out: Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """What changes where the second takes the place of the first.

    Args:
        first, second: two runs; with ``data`` also classifiers, and of a run its classifier is meant.
        data: labelled rows to ask both classifiers about. Default: the test rows that both runs predicted.
        by: columns whose values are scored apart; of runs, columns of the data that their spec names.
        out: folder for comparison.json and comparison.html. Default: none.
        reporter: who hears how far it is.

    Returns:
        ``first`` and ``second`` (names), ``data``, ``scores``: of ``learn.paired.paired_scores``, ``before`` being the
        first; ``only_first``, ``only_second``: test rows that one run alone has; ``features``: ``came``, ``went`` (each
        ``feature``, ``label``, ``label_score``, ``weight``: the largest over the classes) and ``kept`` (how many), or
        None where they are of different SAEs.

    Raises:
        SpecError: two runs were expected, or do not predict the same classes.
        CorpusError: they share no row, or say different things of what a row truly is.
        BundleError, OutputError: a folder cannot be read, or written.
    """
    reporter = reporter or Silent()
    if out is not None:
        require_folder(out, COMPARISON)
    if data is None:
        found = _runs(read_run(first), read_run(second), first, by)
    else:
        found = _classifiers(first, second, data.model_copy(update={"by": tuple(by)}), reporter)
    bundles = [Bundle.load(_bundle(path)) for path in (first, second)]
    found = {"first": _name(first), "second": _name(second), **found, "features": _features(*bundles)}
    if found["first"] == found["second"]:
        found |= {"first": str(first), "second": str(second)}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / COMPARISON, found)
        write_text(out / PAGE, comparison_page(found))
    return found


def _bundle(path: Path) -> Path:
    """Where the classifier of a run or of itself lies."""
    return path / "bundle" if (path / "results.json").is_file() else path


def _name(path: Path) -> str:
    return path.resolve().name


def _classifiers(first: Path, second: Path, data: DataSpec, reporter: Reporter) -> dict[str, Any]:
    """Both asked about the same rows."""
    one, other = (Classifier.load(_bundle(path)) for path in (first, second))
    corpus, target = read_labelled(data, one.bundle.manifest, reporter)
    aligned(corpus.target, other.bundle.manifest)
    _require_classes(one.classes, other.classes)
    said = []
    for classifier in (one, other):
        rows = seen_by(classifier, corpus, target, reporter).rows
        codes = decided(classifier.bundle.probe, rows, target)
        order = [classifier.classes.index(name) for name in one.classes]
        said.append(codes[:, order] if target.kind == "multilabel" else np.argsort(order)[codes])
    return {
        "data": corpus.name,
        "only_first": 0,
        "only_second": 0,
        "scores": paired_scores(target, said[0], said[1], units_of(corpus), ids=corpus.ids, columns=corpus.columns),
    }


def _runs(first: RunFiles, second: RunFiles, folder: Path, by: Sequence[str]) -> dict[str, Any]:
    """The test rows that both predicted."""
    _require_classes(first.results["classes"], second.results["classes"])
    places = [{str(id): place for place, id in enumerate(run.predictions["id"])} for run in (first, second)]
    ids = [id for id in places[0] if id in places[1]]
    if not ids:
        raise CorpusError(
            "two runs are compared on test rows that both have",
            got="no row name in common",
            fix="compare runs on the same data with the same split; or give --data to ask both classifiers anew",
        )
    columns = [
        [run.predictions[name][own[id]] for id in ids]
        for run, own in zip((first, second), places, strict=True)
        for name in ("true", "selected/label")
    ]
    if columns[0] != columns[2]:
        differ = sum(a != b for a, b in zip(columns[0], columns[2], strict=True))
        raise CorpusError(
            "two runs are compared on rows of which both know the same truth",
            got=f"{differ} of {len(ids)} rows with another true label",
            fix="compare runs on the same data",
        )
    classes = tuple(first.results["classes"])
    truth, before, after = (_codes(columns[place], classes) for place in (0, 1, 3))
    target = Target(first.results["target"], classes, truth)
    units, values = _units(folder, ids, by)
    return {
        "data": first.results["name"],
        "only_first": len(places[0]) - len(ids),
        "only_second": len(places[1]) - len(ids),
        "scores": paired_scores(target, before, after, units, ids=ids, columns=values),
    }


def _codes(labels: Sequence[Any], classes: Sequence[str]) -> NDArray[np.int64]:
    """Names of classes as codes; lists of them as 0 and 1."""
    if labels and not isinstance(labels[0], str):
        return np.array([[int(name in own) for name in classes] for own in labels], dtype=np.int64)
    return np.array([classes.index(name) for name in labels], dtype=np.int64)


def _units(folder: Path, ids: Sequence[str], by: Sequence[str]) -> tuple[NDArray[Any], dict[str, list[str]]]:
    """What is resampled together, and columns to score by: of the data where the spec names groups, else each row."""
    data = read_spec(folder / "spec.yaml").data
    if data.group is None and not by:
        return np.arange(len(ids)), {}
    corpus = read_corpus(data.model_copy(update={"by": tuple(by)}))
    place = {id: row for row, id in enumerate(corpus.ids)}
    if missing := [id for id in ids if id not in place]:
        raise CorpusError(
            f"the data of the run must still be those it was made on: {data.path}",
            got=f"no row {missing[0]!r}",
            fix="bring that file back, or give --data",
        )
    rows = [place[id] for id in ids]
    return units_of(corpus)[rows], {name: [values[row] for row in rows] for name, values in corpus.columns.items()}


def _require_classes(first: Sequence[str], second: Sequence[str]) -> None:
    if set(first) != set(second):
        raise SpecError(
            "two classifiers are compared that decide between the same classes",
            got=f"{', '.join(map(repr, list(first)[:5]))} and {', '.join(map(repr, list(second)[:5]))}",
            fix="compare classifiers of the same task",
        )


def _features(first: Bundle, second: Bundle) -> dict[str, Any] | None:
    """Features that one uses and the other does not."""
    if first.manifest.sae.sha256 != second.manifest.sae.sha256:
        return None
    used = [set(map(int, bundle.probe.features)) for bundle in (first, second)]
    return {
        "came": _listed(second, used[1] - used[0]),
        "went": _listed(first, used[0] - used[1]),
        "kept": len(used[0] & used[1]),
    }


def _listed(bundle: Bundle, features: set[int]) -> list[Mapping[str, Any]]:
    """Features with label and weight, the heaviest first."""
    weights = bundle.probe.weights
    largest = weights[np.abs(weights).argmax(axis=0), np.arange(weights.shape[1])]
    own = [
        {"feature": int(feature), **bundle.shown_label(int(feature)), "weight": float(weight)}
        for feature, weight in zip(bundle.probe.features, largest, strict=True)
        if int(feature) in features
    ]
    return sorted(own, key=lambda one: -abs(one["weight"]))
