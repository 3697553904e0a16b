"""A classifier in use: texts (or images) in, decisions out, each with the features and tokens that made it.

It runs the language model and a bundle's own columns of the SAE; the SAE itself is not needed. Knows nothing of files
and of servers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, zip_longest
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from latentprobe.config import FitSpec
from latentprobe.corpus import ImageFile, Rows, corpus_from
from latentprobe.corpus.images import check_images
from latentprobe.corpus.texts import checked_texts, rows_listed, texts_of
from latentprobe.deploy.bundle import Bundle
from latentprobe.deploy.decisions import (
    Decision,
    decision_on,
    evidence_for,
    explained_class,
    explanation_of,
)
from latentprobe.deploy.encoding import EncodedBatch, encode_texts
from latentprobe.deploy.explanation import Explanation
from latentprobe.deploy.fitting import fit_bundle
from latentprobe.encode.backbone import Backbone
from latentprobe.encode.extract import shared_reader
from latentprobe.encode.model_files import find_model
from latentprobe.errors import BundleError, CorpusError, SpecError

__all__ = ["Classifier"]

#: Rows and characters of a stream that are looked at together, so that batches can be of like length.
ROWS, CHARACTERS = 512, 500_000


class Classifier:
    """A fitted classifier of texts that can say why; or of images, which are given by their paths.

    Made by :meth:`fit` and :meth:`load`. The language model is loaded on first use, and shared by all classifiers of
    the same model and layer.

    Args:
        bundle: the classifier without its model.
        model: where the model lies, if not where it lay when the classifier was fitted. It must be the same one.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.

    >>> texts = [f"{words} {i}" for i in range(5) for words in ("thank you so much", "you useless idiots")]
    >>> classifier = Classifier.fit(texts, ["fine", "rude"] * 5)
    >>> classifier.predict(["what idiots"])
    ['rude']
    """

    def __init__(self, bundle: Bundle, *, model: str | None = None, device: str = "auto") -> None:
        self.bundle = bundle
        self._model = model
        self._device = device
        self._backbone: Backbone | None = None

    @classmethod
    def fit(
        cls,
        texts: Iterable[str] | Iterable[Path],
        labels: Any,
        *,
        groups: Sequence[Any] | None = None,
        positive: str | None = None,
        **settings: Any,
    ) -> Self:
        """Fit a classifier on labelled texts, or on labelled images.

        C is chosen on inner folds and probabilities are calibrated out of fold; ``bundle.manifest.metrics`` are those
        of rows held out in turn. The classifier itself is then fitted on all rows.

        Args:
            texts: ``n`` texts; or ``n`` paths of images, each a ``pathlib.Path``.
            labels: one a row: strings, whole numbers or booleans. For a multi-label task: name -> 0, 1 or None a row.
            groups: rows of one group are held out together.
            positive: of two classes, the one that is scored and flagged. Default: the last in sorted order.
            **settings: model, layer, sae, pooling, hook, tokens, bos, template, prompt, select, max_norm_ratio,
                on_overflow, max_tokens, revision, device, dtype as in ``SAEVectorizer``, and kept for ``predict``;
                binarize: ``none``, a number (1 where the pooled value is above it), or ``auto``, learned per feature;
                selection: ``all``, ``top{K}`` or ``l1``, the features kept;
                C, penalty, class_weight of the linear model; folds, 5; seed, 0, of the folds and the interval.

        Raises:
            CorpusError, SpecError, ModelError, SAEError: something cannot be used as asked.
        """
        spec = FitSpec.of(**settings)
        corpus = corpus_from(rows_listed(texts), labels, groups=groups, positive=positive)
        return cls(fit_bundle(corpus, spec), device=spec.backbone.device)

    @classmethod
    def load(cls, path: str | Path, *, model: str | None = None, device: str = "auto") -> Self:
        """The classifier in a folder. Its model is loaded on first use.

        Raises:
            BundleError: the folder is missing, damaged, or of another format.
        """
        return cls(Bundle.load(path), model=model, device=device)

    def save(self, path: str | Path) -> None:
        """Write the classifier as a folder, without its model; one that is there is replaced.

        Raises:
            OutputError: the folder holds other files, or cannot be written.
        """
        self.bundle.save(path)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; of two, the second is the one that is scored and flagged."""
        return self.bundle.manifest.classes

    @property
    def backbone(self) -> Backbone:
        """The language model: loaded on first use, and proven to be the one the classifier was fitted with.

        Raises:
            ModelError: it cannot be found.
            BundleError: it is another one.
        """
        if self._backbone is None:
            spec = self.bundle.backbone
            spec = spec.model_copy(update={"device": self._device})
            if self._model is not None:
                spec = spec.model_copy(update={"model": self._model, "revision": None})
            fitted = self.bundle.manifest.backbone.identity.model_dump()
            found = find_model(spec.model, spec.revision).identity
            different = [name for name in ("config", "weights", "tokenizer") if found[name] != fitted[name]]
            if different:
                raise BundleError(
                    f"a classifier goes with the very model it was fitted with, {fitted['model']}",
                    got=f"{spec.model} with other {' and '.join(different)}",
                    fix="get that model here and name its folder: Classifier.load(path, model=...); or fit anew",
                )
            self._backbone = shared_reader(spec, images=self.reads_images)
            self.bundle = self.bundle.to(self._backbone.device)
        return self._backbone

    @property
    def reads_images(self) -> bool:
        """Whether it decides on images. What other methods call a text is then the path of one."""
        return self.bundle.manifest.backbone.rows == "images"

    def _checked(self, texts: Sequence[Any], names: Sequence[str]) -> Rows:
        """Texts, or images, that can be encoded."""
        if self.reads_images:
            checked = all(isinstance(text, ImageFile) for text in texts)
            return list(texts) if checked else check_images([Path(path) for path in texts])
        return texts_of(texts, names, column="texts")[0]

    def predict(self, texts: Iterable[str]) -> list[str] | list[list[str]]:
        """The label of each text, in order; of a multi-label task, the list of those that apply.

        Raises:
            CorpusError: a bare string, or a value that is no text.
            BundleError: the model found is not the one the classifier was fitted with.
        """
        return [decision["label"] for decision in self.decide(texts)]  # type: ignore[return-value]

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """Calibrated probabilities ``[n, classes]``, in the order of :attr:`classes`; rows in order of the texts.

        Those of a multi-label task are of each label by itself.
        """
        rows = [list(decision["probabilities"].values()) for decision in self.decide(texts)]
        return np.array(rows, np.float64).reshape(len(rows), len(self.classes))

    def decision_function(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """Decision values ``[n, K]`` before calibration; K = 1 for two classes, positive for the second."""
        if self.reads_images and not isinstance(texts, str):
            texts = [str(path) for path in texts]
        checked = checked_texts(texts)
        given = self._checked(checked, checked)
        values = np.empty((len(given), len(self.bundle.probe.intercept)))
        for batch in encode_texts(given, self.backbone, self.bundle):
            values[batch.rows] = self.bundle.probe.decision(batch.pooled)
        return values

    def decide(self, texts: Iterable[str], ids: Iterable[str] | None = None, *, explain: int = 0) -> Iterator[Decision]:
        """Decide texts one by one, in order, holding only some hundred of them at a time.

        Args:
            texts: any number, from a list or a stream. A missing or empty one gets the decision of the intercept.
            ids: their names. Default: row numbers from 0.
            explain: features to show with each decision; 0 leaves ``features`` and ``explanation`` out.

        Raises:
            CorpusError: a bare string, a value that is no text, or not one id a text.
            BundleError: the model found is not the one the classifier was fitted with.
        """
        if explain < 0:
            raise SpecError("explain is a number of features, at least 0", got=explain, fix="give 0 to leave them out")
        if isinstance(texts, str):
            checked_texts(texts)
        names = map(str, count()) if ids is None else iter(ids)
        return self._decisions(iter(texts), names, explain, endless=ids is None)

    def explain(self, text: str, k: int = 10) -> Explanation:
        """The ``k`` features that move the decision on a text most, largest effect first, with the tokens that light
        them.

        Contributions are towards the positive class (binary) or the likeliest one; all of them and the intercept sum
        to the decision value. It is a list; notebooks show it as the text with its tokens marked.
        """
        if not isinstance(text, str):
            raise CorpusError("one text was expected", got=type(text).__name__, fix="explain one text at a time")
        (decision,) = self.decide([text], explain=k)
        return Explanation(decision.get("features", []), None if self.reads_images else text)

    def _decisions(
        self, texts: Iterator[str], names: Iterator[str], explain: int, *, endless: bool
    ) -> Iterator[Decision]:
        for part_names, part in _parts(texts, names, endless=endless):
            backbone = self.backbone
            clean = self._checked(part, part_names)
            decided: dict[int, Decision] = {}
            for batch in encode_texts(clean, backbone, self.bundle):
                decided |= self._decide_batch(batch, clean, part_names, explain)
            yield from (decided[row] for row in range(len(part)))

    def _decide_batch(
        self, batch: EncodedBatch, texts: Rows, names: Sequence[str], explain: int
    ) -> dict[int, Decision]:
        """Decisions by row."""
        decided = {}
        decisions = self.bundle.probe.decision(batch.pooled)
        probabilities = self.bundle.calibration.probabilities(decisions)
        for place, row in enumerate(batch.rows):
            decision = decision_on(names[row], probabilities[place], self.bundle)
            if explain:
                towards = explained_class(probabilities[place], self.bundle)
                shown = evidence_for(texts[row], batch, place, towards, self.bundle, explain)
                decision["features"] = shown
                decision["explanation"] = explanation_of(shown, decisions[place], towards, self.bundle)
            decided[row] = decision
        return decided


def _parts(texts: Iterator[str], names: Iterator[str], *, endless: bool) -> Iterator[tuple[list[str], list[str]]]:
    """Cut a stream into parts of some hundred rows: names and texts. ``endless`` names need not end with the texts."""
    nothing = object()
    part_names: list[str] = []
    part: list[str] = []
    characters = 0
    pairs: Iterable[Any] = zip(names, texts, strict=False) if endless else zip_longest(names, texts, fillvalue=nothing)
    for name, text in pairs:
        if name is nothing or text is nothing:
            raise CorpusError("one id for each text was expected", got="more of one", fix="give as many of both")
        part_names.append(str(name))
        part.append(text)
        characters += len(text) if isinstance(text, str) else 0
        if len(part) >= ROWS or characters >= CHARACTERS:
            yield part_names, part
            part_names, part, characters = [], [], 0
    if part:
        yield part_names, part
