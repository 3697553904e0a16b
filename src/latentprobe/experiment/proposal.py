"""Which features to drop so that a classifier treats groups alike: searched on half of the rows, judged on the other.

Knows the order of the steps; each is done elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.config import DataSpec
from latentprobe.deploy import Bundle, Classifier
from latentprobe.errors import SpecError
from latentprobe.experiment.edit import (
    decided,
    edit_of,
    read_judged,
    require_another,
    require_apart,
    save,
    without_features,
)
from latentprobe.experiment.environment import Reporter, Silent
from latentprobe.experiment.judging import Judged, part_of
from latentprobe.explain.edit import without
from latentprobe.explain.gaps import Measure, Search, closing, gap_of, require_measure
from latentprobe.learn import FittedProbe, split
from latentprobe.learn.metrics import macro_f1
from latentprobe.learn.paired import paired_scores

__all__ = ["propose_edit", "searched_edit", "with_moved_threshold"]


def propose_edit(
    path: Path,
    data: DataSpec,
    *,
    gap: Measure = "macro_f1",
    most: int = 20,
    refit: DataSpec | None = None,
    out: Path | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Find the features to drop to close the gap between the values of a column, and judge that on rows held out.

    Half of the rows, drawn by content, are searched; every figure with an interval is of the other half. How many
    features are proposed is learned on inner folds of the half that is searched (`explain.gaps.closing`); it may be
    none.

    Args:
        path: a classifier; not changed.
        data: labelled rows that it was not fitted on, with one column in ``by``.
        gap: the score in which the values differ: ``macro_f1``, ``accuracy``; of two classes also ``recall``, ``fpr``.
        most: features to drop at most.
        refit: labelled rows to fit the remaining features on anew, before the edit is judged; other rows than ``data``.
        out: folder for the classifier without the features proposed. Default: none is written.
        seed: of the halves and the inner folds.
        reporter: who hears how far it is.

    Returns:
        What ``edit_classifier`` returns, judged on the rows held out, and ``proposal``: ``by``, ``gap``,
        ``n_searched``, ``n_held_out``, ``steps`` and, of a binary task, ``threshold``. A step has ``n_dropped``,
        ``feature``, ``label``, ``label_score``, ``searched`` (``gap``, ``macro_f1``), ``inner`` and ``proposed``.
        ``inner`` is the ``change`` of gap minus macro F1 against dropping nothing, each inner fold judged by the search
        on the others, and its standard ``error``. ``threshold`` holds macro F1 and the gap, as in ``learn.paired``, of
        the edit against the original with its threshold moved until it flags as many rows: a gap that closes by
        flagging more or less, whatever was dropped, is closed by that as well.

    Raises:
        SpecError: no such gap, or not one column; nothing is proposed that ``out`` could hold.
        CorpusError: rows that cannot be used.
        OutputError: ``out`` cannot be written.
    """
    reporter = reporter or Silent()
    if len(data.by) != 1:
        raise SpecError(
            "a gap is between the values of one column", got=", ".join(data.by) or "none", fix="name it: --by COLUMN"
        )
    if out is not None:
        require_another(path, out)
    classifier = Classifier.load(path)
    old = classifier.bundle
    require_measure(old.manifest.kind, gap)
    rows = read_judged(classifier, data, reporter)
    again = None if refit is None else read_judged(classifier, refit, reporter, folds=5)
    if again is not None:
        require_apart(again, rows)
    halves = split(rows.corpus, test=0.5, seed=seed)
    searched, held = part_of(rows, halves.train), part_of(rows, halves.test)
    reporter.say(f"searching {len(searched.target):,} rows, judging on {len(held.target):,}")
    search = searched_edit(old.probe, searched, gap, most=most, slope=old.manifest.calibration.slope, seed=seed)
    drop = sorted(search.order[: search.proposed])
    new = without_features(old, drop, again, held) if drop else None
    found = _unchanged(old, held) if new is None else edit_of(old, new, drop, held)
    found["proposal"] = {
        "by": data.by[0],
        "gap": gap,
        "n_searched": len(searched.target),
        "n_held_out": len(held.target),
        "steps": _steps(old, search, searched, gap),
        "threshold": None if new is None else _against_threshold(old.probe, new.probe, searched, held, gap),
    }
    if out is not None:
        if new is None:
            raise SpecError("there is no edit to write", got="no feature whose removal surely closes the gap",
                            fix="leave --out out, name another --gap, or bring more rows")  # fmt: skip
        save(new, out, found)
    return found


def searched_edit(
    probe: FittedProbe, searched: Judged, gap: Measure, *, most: int = 20, slope: Any = 1.0, seed: int = 0
) -> Search:
    """`explain.gaps.closing` on rows with one column."""
    return closing(
        probe,
        searched.rows,
        searched.target,
        _values(searched),
        searched.units,
        measure=gap,
        most=most,
        slope=slope,
        seed=seed,
    )


def with_moved_threshold(
    before: FittedProbe, after: FittedProbe, searched: Judged, held: Judged
) -> tuple[float, NDArray[np.int64]]:
    """A binary probe moved to flag as many of the rows searched as its edit: threshold, and labels held out, [n]."""
    share = float(decided(after, searched.rows, searched.target).mean())
    moved = float(np.quantile(before.decision(searched.rows)[:, 0], 1 - share))
    return moved, (before.decision(held.rows)[:, 0] > moved).astype(np.int64)


def _values(rows: Judged) -> tuple[str, ...]:
    (values,) = rows.corpus.columns.values()
    return values


def _steps(old: Bundle, search: Search, searched: Judged, gap: Measure) -> list[dict[str, Any]]:
    """Every step of the search from none on."""
    steps: list[dict[str, Any]] = []
    for count in range(len(search.order) + 1):
        probe = without(old.probe, search.order[:count]) if count else old.probe
        said = decided(probe, searched.rows, searched.target)
        figures = {
            "gap": gap_of(searched.target, said, _values(searched), gap),
            "macro_f1": macro_f1(searched.target, said),
        }
        last = search.order[count - 1] if count else None
        steps.append(
            {
                "n_dropped": count,
                "feature": last,
                **old.shown_label(-1 if last is None else last),
                "searched": figures,
                "inner": {"change": float(search.change[count]), "error": float(search.error[count])},
                "proposed": count == search.proposed,
            }
        )
    return steps


def _against_threshold(
    before: FittedProbe, after: FittedProbe, searched: Judged, held: Judged, gap: Measure
) -> dict[str, Any] | None:
    """The original, moved to flag as many of the rows searched as the edited one (before), and that one (after)."""
    if searched.target.kind != "binary":
        return None
    decision, moved = with_moved_threshold(before, after, searched, held)
    pair = (moved, decided(after, held.rows, held.target))
    corpus = held.corpus
    found = paired_scores(held.target, *pair, held.units, ids=corpus.ids, columns=corpus.columns)
    (by,) = found["by"].values()
    return {"decision": decision, "macro_f1": found["macro_f1"], "gap": by["changes"].get(gap)}


def _unchanged(old: Bundle, held: Judged) -> dict[str, Any]:
    """The result where nothing is proposed."""
    said = decided(old.probe, held.rows, held.target)
    columns = held.corpus.columns
    count = len(old.probe.features)
    return {
        "classifier": old.manifest.fingerprint,
        "dropped": [],
        "refitted_on": None,
        "n_features": {"before": count, "after": count},
        "data": held.corpus.name,
        "scores": paired_scores(held.target, said, said, held.units, ids=held.corpus.ids, columns=columns),
    }
