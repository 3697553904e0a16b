"""From a labelled corpus to a bundle: encode, choose C on inner folds, calibrate out of fold, refit on all rows.

Knows the order of the steps; each is done elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from latentprobe.config import FitSpec
from latentprobe.corpus import Corpus
from latentprobe.deploy.bundle import Bundle, build_bundle
from latentprobe.deploy.card import card_for
from latentprobe.encode.extract import load_pair
from latentprobe.encode.featurize import pooled_rows
from latentprobe.encode.formats import label_table
from latentprobe.learn import Calibration, Chosen, Recipe, calibrate, choose, inner_folds, units_of
from latentprobe.learn.decisions import labels_of
from latentprobe.learn.intervals import bootstrap_macro_f1, interval
from latentprobe.learn.metrics import per_class, scores

__all__ = ["fit_bundle"]


#: Resamples behind the interval of macro F1.
BOOTSTRAP = 1000


def fit_bundle(corpus: Corpus, spec: FitSpec, *, progress: Callable[[int, int], None] | None = None) -> Bundle:
    """A classifier fitted on all rows of a corpus; its figures are those of rows held out in turn.

    Args:
        corpus: the rows, texts or images.
        spec: model, SAE, and what is made of its features.
        progress: called with rows encoded and rows in all.

    Raises:
        SpecError, ModelError, SAEError, CorpusError: something cannot be used as asked; nothing is fitted then.
    """
    images = corpus.images is not None
    units = units_of(corpus)
    split = inner_folds(corpus.target, units, spec.folds, spec.seed)
    backbone, whole = load_pair(spec, images=images)
    rows = pooled_rows(corpus.rows, backbone, whole, spec.pooling, progress=progress)
    chosen = choose(rows, corpus.target, split, Recipe("sparse", spec.binarize, spec.selection), spec.probe)
    calibration = calibrate(chosen.out_of_fold, corpus.target)
    measured = f"out of fold, {spec.folds} folds, the same ones that chose C"
    kind: Literal["texts", "images"] = "images" if images else "texts"
    return build_bundle(
        chosen.probe,
        sae=whole,
        backbone=backbone.spec,
        files=backbone.files,
        pooling=spec.pooling,
        binarize=spec.binarize,
        selection=spec.selection,
        target=corpus.target,
        calibration=calibration,
        labels=label_table(spec.sae).features,
        metrics=_metrics(corpus, units, chosen, calibration, spec.seed) | {"measured": measured},
        card=card_for(corpus.name, corpus.target, measured=measured, notes=corpus.notes, rows=kind),
        rows=kind,
    )


def _metrics(corpus: Corpus, units: Any, chosen: Chosen, calibration: Calibration, seed: int) -> dict[str, Any]:
    """Every score on the held-out rows, with the interval of the first, ready for JSON."""
    target = corpus.target
    predicted = labels_of(chosen.out_of_fold, target.kind)
    resampled = bootstrap_macro_f1(target, [predicted], units, resamples=BOOTSTRAP, seed=seed)
    low, high = interval(resampled[0])
    return {
        **scores(target, predicted, calibration.probabilities(chosen.out_of_fold)),
        "low": low,
        "high": high,
        "n_rows": len(corpus),
        "n_features": int((chosen.probe.weights != 0).any(axis=0).sum()),
        "per_class": per_class(target, predicted),
    }
