"""A classifier without some of its features, judged before and after on labelled rows.

The classifier that was there is not touched; the new one says what was taken out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.config import DataSpec
from latentprobe.corpus import Target
from latentprobe.deploy import Bundle, Classifier
from latentprobe.deploy.editing import edited
from latentprobe.errors import CorpusError, OutputError
from latentprobe.experiment.environment import Reporter, Silent
from latentprobe.experiment.judging import Judged, read_labelled, seen_by
from latentprobe.experiment.places import require_folder
from latentprobe.explain.edit import Refitted, refitted, require_features, without
from latentprobe.files import write_json, write_text
from latentprobe.learn.decisions import labels_of
from latentprobe.learn.metrics import macro_f1
from latentprobe.learn.paired import paired_scores
from latentprobe.report.comparison import edit_page

__all__ = ["EDIT", "edit_classifier"]

#: Files of an edited classifier that say what the edit did, for programs and for people.
EDIT, PAGE = "edit.json", "edit.html"


def edit_classifier(
    path: Path,
    out: Path,
    drop: Sequence[int],
    *,
    data: DataSpec | None = None,
    refit: DataSpec | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Write the classifier at ``path`` without some features as ``out``, and say what that does.

    Args:
        path: a classifier; not changed.
        out: folder of the new one.
        drop: numbers of features of its SAE.
        data: labelled rows to judge both on; ``by`` names columns to score apart. They should be rows that neither
            was fitted on.
        refit: labelled rows to fit the remaining features on anew; without, weights are removed and nothing else.
        reporter: who hears how far it is.

    Returns:
        What ``out/edit.json`` holds: ``classifier``, ``dropped`` (``feature``, ``label``, ``label_score``),
        ``refitted_on``, ``n_features`` (``before``, ``after``), ``data`` (its name, or None) and ``scores``: of
        ``learn.paired.paired_scores``, or None.

    Raises:
        SpecError: a feature that the classifier does not use, or all of them.
        CorpusError: rows that cannot be used, or that were to be fitted on and judged on.
        OutputError: ``out`` cannot be written, or is the classifier itself.
    """
    reporter = reporter or Silent()
    require_another(path, out)
    classifier = Classifier.load(path)
    old = classifier.bundle
    drop = sorted(set(drop))
    require_features(old.probe, drop)
    judged = None if data is None else read_judged(classifier, data, reporter)
    again = None if refit is None else read_judged(classifier, refit, reporter, folds=5)
    if judged is not None and again is not None:
        require_apart(again, judged)
    new = without_features(old, drop, again, judged)
    found = edit_of(old, new, drop, judged)
    save(new, out, found)
    return found


def without_features(old: Bundle, drop: Sequence[int], again: Judged | None, judged: Judged | None) -> Bundle:
    """The bundle without some features: fitted anew on rows, if there are any, and measured on others, if any."""
    fitted: Refitted | None = None
    if again is not None:
        binarize = old.manifest.binarize
        fitted = refitted(again.rows, again.target, again.units, old.probe, drop, binarize=binarize)
    probe = without(old.probe, drop) if fitted is None else fitted.chosen.probe
    metrics: dict[str, Any] = {"measured": "before it was edited, and hold no longer"}
    if judged is not None:
        score = macro_f1(judged.target, labels_of(probe.decision(judged.rows), judged.target.kind))
        metrics = {"macro_f1": score, "n_rows": len(judged.corpus), "measured": f"on {judged.corpus.name}"}
    elif fitted is not None and again is not None:
        measured = f"out of fold, 5 folds of {again.corpus.name}"
        metrics = {"macro_f1": fitted.chosen.inner_macro_f1, "n_rows": len(again.corpus), "measured": measured}
    metrics["n_features"] = len(probe.features)
    calibration = old.calibration if fitted is None else fitted.calibration
    return edited(
        old, probe, calibration, drop, metrics=metrics, refitted_on=None if again is None else again.corpus.name
    )


def edit_of(old: Bundle, new: Bundle, drop: Sequence[int], judged: Judged | None) -> dict[str, Any]:
    """What an edit did, as ``edit_classifier`` returns it."""
    return {
        "classifier": old.manifest.fingerprint,
        "dropped": [{"feature": feature, **old.shown_label(feature)} for feature in drop],
        "refitted_on": new.manifest.edits[-1].refitted_on,
        "n_features": {"before": len(old.probe.features), "after": len(new.probe.features)},
        "data": None if judged is None else judged.corpus.name,
        "scores": None if judged is None else scores_of(old, new, judged),
    }


def scores_of(old: Bundle, new: Bundle, judged: Judged) -> dict[str, Any]:
    """Both classifiers on the same rows."""
    before, after = (decided(bundle.probe, judged.rows, judged.target) for bundle in (old, new))
    corpus = judged.corpus
    return paired_scores(judged.target, before, after, judged.units, ids=corpus.ids, columns=corpus.columns)


def decided(probe: Any, rows: Any, target: Target) -> NDArray[np.int64]:
    """What a probe says of some rows."""
    return labels_of(probe.decision(rows), target.kind)


def save(new: Bundle, out: Path, found: dict[str, Any]) -> None:
    """Write the new classifier with what the edit did beside it."""
    new.save(out)
    write_json(out / EDIT, found)
    write_text(out / PAGE, edit_page(found))


def require_another(path: Path, out: Path) -> None:
    """Refuse to write where the original is, or where something else is.

    Raises:
        OutputError: it is.
    """
    require_folder(out, "probe.json")
    if out.exists() and path.exists() and out.samefile(path):
        raise OutputError("the edited classifier goes beside the original", got=str(out), fix="name another --out")


def read_judged(classifier: Classifier, data: DataSpec, reporter: Reporter, *, folds: int = 2) -> Judged:
    """Labelled rows as the classifier sees them."""
    corpus, target = read_labelled(data, classifier.bundle.manifest, reporter, folds=folds)
    return seen_by(classifier, corpus, target, reporter)


def require_apart(fitted: Judged, judged: Judged) -> None:
    """Refuse to judge on rows that were fitted on.

    Raises:
        CorpusError: a text stands in both.
    """
    shared = set(fitted.corpus.keys) & set(judged.corpus.keys) - {""}
    if shared:
        raise CorpusError(
            "rows to judge an edit on must not be those that it was fitted on",
            got=f"{len(shared)} texts that stand in both --refit and --data",
            fix="name other rows with --data, or leave one of the two out",
        )
