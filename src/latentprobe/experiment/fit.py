"""From a labelled file to a saved classifier, without a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from latentprobe.config import DataSpec
from latentprobe.corpus import read_corpus
from latentprobe.deploy import fit_bundle
from latentprobe.errors import CorpusError
from latentprobe.experiment.environment import Reporter, Silent
from latentprobe.experiment.places import require_folder

__all__ = ["fit_classifier"]

FOLDS = 5


def fit_classifier(
    data: DataSpec,
    out: Path,
    *,
    model: str = "minilm",
    layer: int = 3,
    sae: str = "bundled:minilm-l3-4k",
    pooling: str = "max",
    binarize: str | float = "none",
    selection: str = "all",
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Fit on all rows of ``data`` and save the classifier as the folder ``out``.

    Returns:
        The classifier's metrics, measured out of fold.

    Raises:
        LatentprobeError: data, model, SAE or folder cannot be used; nothing is fitted then.
    """
    reporter = reporter or Silent()
    require_folder(out, "probe.json")
    corpus = read_corpus(data.model_copy(update={"test": 0.2}), folds=FOLDS)
    if corpus.images is not None:
        raise CorpusError(
            "`fit` makes classifiers of texts",
            got=f"images, in {data.path}",
            fix="write a spec and `latentprobe run` it: the folder `bundle` of its results is a classifier of images",
        )
    for note in corpus.notes:
        reporter.say(f"note: {note}")
    bundle = fit_bundle(
        corpus,
        model=model,
        layer=layer,
        sae=sae,
        pooling=pooling,
        binarize=binarize,
        selection=selection,
        folds=FOLDS,
        progress=lambda done, total: reporter.progress("encode", done, total),
    )
    bundle.save(out)
    return dict(bundle.manifest.metrics)
