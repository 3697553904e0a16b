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
from latentprobe.experiment.edit import decided, edit_of, require_another, save, without_features
from latentprobe.experiment.environment import Reporter, Silent
from latentprobe.experiment.judging import Judged, part_of, read_labelled, seen_by
from latentprobe.explain.edit import without
from latentprobe.explain.gaps import Measure, closing, gap_of, require_measure
from latentprobe.learn import FittedProbe, split
from latentprobe.learn.metrics import macro_f1
from latentprobe.learn.paired import paired_scores

__all__ = ["propose_edit"]


def propose_edit(
    path: Path,
    data: DataSpec,
    *,
    gap: Measure = "macro_f1",
    most: int = 20,
    out: Path | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Find the features to drop to close the gap between the values of a column, and judge that on rows held out.

    Half of the rows, drawn by content, are searched; every figure with an interval is of the other half. The proposal
    is the step of the search with the least gap minus macro F1 on the rows searched: it may be to drop nothing.

    Args:
        path: a classifier; not changed.
        data: labelled rows that it was not fitted on, with one column in ``by``.
        gap: the score in which the values differ: ``macro_f1``, ``accuracy``; of two classes also ``recall``, ``fpr``.
        most: features to drop at most.
        out: folder for the classifier without the features proposed. Default: none is written.
        seed: of the halves.
        reporter: who hears how far it is.

    Returns:
        What ``edit_classifier`` returns, judged on the rows held out, and ``proposal``: ``by``, ``gap``,
        ``n_searched``, ``n_held_out``, ``steps`` and, of a binary task, ``threshold``. A step has ``n_dropped``,
        ``feature``, ``label``, ``label_score``, ``searched`` (``gap``, ``macro_f1``), ``pareto`` (no other step is
        better in both there), ``proposed`` and, where it is one of these, ``held_out``: ``macro_f1`` and ``gap`` as in
        ``learn.paired``. ``threshold`` holds the same against the original with its threshold moved until it flags as
        many rows: a gap that closes by flagging more or less, whatever was dropped, is closed by that as well.

    Raises:
        SpecError: no such gap, or not one column.
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
    corpus, target = read_labelled(data, old.manifest, reporter)
    halves = split(corpus, test=0.5, seed=seed)
    rows = seen_by(classifier, corpus, target, reporter)
    searched, held = part_of(rows, halves.train), part_of(rows, halves.test)
    reporter.say(f"searching {len(searched.target):,} rows, judging on {len(held.target):,}")
    slope = old.manifest.calibration.slope
    order = closing(old.probe, searched.rows, searched.target, _values(searched), measure=gap, most=most, slope=slope)
    steps = _steps(old, order, searched, gap)
    drop = sorted(order[: next(step["n_dropped"] for step in steps if step["proposed"])])
    for step in steps:
        if step["pareto"] or step["proposed"]:
            step["held_out"] = _held_out(old.probe, _cut(old.probe, order[: step["n_dropped"]]), held, gap)
    new = without_features(old, drop, None, held) if drop else None
    found = _unchanged(old, held) if new is None else edit_of(old, new, drop, held)
    found["proposal"] = {
        "by": data.by[0],
        "gap": gap,
        "n_searched": len(searched.target),
        "n_held_out": len(held.target),
        "steps": steps,
        "threshold": _against_threshold(old.probe, drop, searched, held, gap) if drop else None,
    }
    if out is not None:
        if new is None:
            raise SpecError("there is no edit to write", got="no feature whose removal closes the gap",
                            fix="leave --out out, name another --gap, or bring more rows")  # fmt: skip
        save(new, out, found)
    return found


def _values(rows: Judged) -> tuple[str, ...]:
    (values,) = rows.corpus.columns.values()
    return values


def _cut(probe: FittedProbe, drop: list[int]) -> FittedProbe:
    return without(probe, drop) if drop else probe


def _steps(old: Bundle, order: list[int], searched: Judged, gap: Measure) -> list[dict[str, Any]]:
    """Every step of the search from none on, with its figures on the rows searched."""
    steps: list[dict[str, Any]] = []
    for count in range(len(order) + 1):
        said = decided(_cut(old.probe, order[:count]), searched.rows, searched.target)
        figures = {
            "gap": gap_of(searched.target, said, _values(searched), gap),
            "macro_f1": macro_f1(searched.target, said),
        }
        last = order[count - 1] if count else None
        label = old.shown_label(-1 if last is None else last)
        steps.append({"n_dropped": count, "feature": last, **label, "searched": figures, "held_out": None})
    figures_of = [(step["searched"]["gap"], -step["searched"]["macro_f1"]) for step in steps]
    best = int(np.argmin([sum(figures) for figures in figures_of]))
    for place, (step, own) in enumerate(zip(steps, figures_of, strict=True)):
        beaten = any(
            all(a <= b for a, b in zip(other, own, strict=True)) and (other != own or earlier < place)
            for earlier, other in enumerate(figures_of)
            if earlier != place
        )
        step |= {"pareto": not beaten, "proposed": place == best}
    return steps


def _held_out(before: FittedProbe, after: FittedProbe, held: Judged, gap: Measure) -> dict[str, Any]:
    said = [decided(probe, held.rows, held.target) for probe in (before, after)]
    return _figures(held, said[0], said[1], gap)


def _figures(held: Judged, before: NDArray[Any], after: NDArray[Any], gap: Measure) -> dict[str, Any]:
    """Macro F1 and the gap of two classifiers on the rows held out."""
    found = paired_scores(held.target, before, after, held.units, ids=held.corpus.ids, columns=held.corpus.columns)
    (by,) = found["by"].values()
    return {"macro_f1": found["macro_f1"], "gap": by["changes"].get(gap)}


def _against_threshold(
    probe: FittedProbe, drop: list[int], searched: Judged, held: Judged, gap: Measure
) -> dict[str, Any] | None:
    """The original, moved to flag as many of the rows searched as the edited one (before), and that one (after)."""
    if searched.target.kind != "binary":
        return None
    share = float(decided(without(probe, drop), searched.rows, searched.target).mean())
    moved = float(np.quantile(probe.decision(searched.rows)[:, 0], 1 - share))
    before = (probe.decision(held.rows)[:, 0] > moved).astype(np.int64)
    after = decided(without(probe, drop), held.rows, held.target)
    return {"decision": moved, **_figures(held, before, after, gap)}


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
