"""From a labelled corpus to a bundle: encode, choose C on inner folds, calibrate out of fold, refit on all rows.

Knows the order of the steps; each is done elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationError

from latentprobe.config import Binarize, Frozen, ProbeSpec, Selection
from latentprobe.corpus import Corpus
from latentprobe.deploy.bundle import Bundle, build_bundle
from latentprobe.deploy.card import card_for
from latentprobe.encode.formats import labels
from latentprobe.encode.vectorizer import SAEVectorizer, invalid_parameter, pooled_rows
from latentprobe.learn import Calibration, Chosen, Recipe, calibrate, choose, inner_folds, units_of
from latentprobe.learn.decisions import labels_of
from latentprobe.learn.intervals import bootstrap_macro_f1, interval
from latentprobe.learn.metrics import per_class, scores

__all__ = ["fit_bundle"]


class _Settings(Frozen):
    """The parameters that :class:`SAEVectorizer` does not check."""

    binarize: Binarize
    selection: Selection
    probe: ProbeSpec
    folds: Annotated[int, Field(ge=2)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]


#: Resamples behind the interval of macro F1.
BOOTSTRAP = 1000


def fit_bundle(
    corpus: Corpus,
    *,
    model: str = "minilm",
    layer: int = 3,
    sae: str = "bundled:minilm-l3-4k",
    pooling: str = "max",
    binarize: str | float = "none",
    selection: str = "all",
    C: Sequence[float] = ProbeSpec().C,
    folds: int = 5,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Bundle:
    """A classifier fitted on all rows of a corpus; its figures are those of rows held out in turn.

    Args:
        corpus: the rows.
        model, layer, sae, pooling: as in :class:`SAEVectorizer`.
        binarize: ``none``, a threshold, or ``auto``, learned per feature.
        selection: ``all``, ``top{K}`` or ``l1``.
        C: inverse regularization strengths to choose from.
        folds: inner folds; rows of one group, and copies of a text, are held out together.
        seed: of the folds and the interval.
        progress: called with texts encoded and texts in all.

    Raises:
        SpecError, ModelError, SAEError, CorpusError: something cannot be used as asked; nothing is fitted then.
    """
    try:
        settings = _Settings(
            binarize=binarize, selection=selection, probe=ProbeSpec(C=tuple(C)), folds=folds, seed=seed
        )
    except ValidationError as error:
        raise invalid_parameter(error) from error
    units = units_of(corpus)
    split = inner_folds(corpus.target, units, folds, seed)
    vectorizer = SAEVectorizer(model, layer, sae, pooling=pooling)
    backbone, whole = vectorizer.fit(corpus.texts).loaded()
    rows = pooled_rows(corpus.texts, backbone, whole, pooling, progress=progress)
    recipe = Recipe("sparse", settings.binarize, selection)
    chosen = choose(rows, corpus.target, split, recipe, settings.probe)
    calibration = calibrate(chosen.out_of_fold, corpus.target)
    measured = f"out of fold, {folds} folds, the same ones that chose C"
    return build_bundle(
        chosen.probe,
        sae=whole,
        backbone=backbone.spec,
        files=backbone.files,
        pooling=pooling,
        binarize=settings.binarize,
        selection=selection,
        target=corpus.target,
        calibration=calibration,
        labels=labels(sae),
        metrics=_metrics(corpus, units, chosen, calibration, seed) | {"measured": measured},
        card=card_for(corpus.name, corpus.target, measured=measured, notes=corpus.notes),
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
