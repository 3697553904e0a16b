"""Texts to pooled SAE features as a scikit-learn transformer: what ``TfidfVectorizer`` is to words.

The parameters say everything; the loaded model is never pickled, and is read again where it is needed. Knows nothing of
labels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError

from latentprobe.config import FitSpec
from latentprobe.corpus.texts import checked_texts
from latentprobe.encode.backbone import Backbone
from latentprobe.encode.extract import load_pair
from latentprobe.encode.featurize import pooled_rows
from latentprobe.encode.formats import labels
from latentprobe.encode.sae import SAE
from latentprobe.errors import ModelError

__all__ = ["SAEVectorizer"]


class SAEVectorizer(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is not typed
    """Texts to sparse rows of SAE features.

    Nothing is learnt from the texts: ``fit`` checks the parameters and loads the model and the SAE. Estimators of the
    same model share it in memory, clones included; a pickled one leaves it behind and loads it when it is used.

    Args:
        model: Hugging Face id, folder or the alias ``minilm``.
        layer: block, counted from 0, whose output the SAE reads.
        sae: reference of an SAE of that layer.
        pooling: from tokens to one row: max, sum, mean, last, count, rate, top{N}, rollmax{K}.
        hook: where in the block: ``resid_post``, ``resid_mid``, ``mlp_out``, ``attn_out``, ``attn_z``; or, of layer 0,
            ``resid_pre``, ``embed``.
        tokens: ``content`` leaves special tokens out, ``all`` keeps them. Padding is never seen.
        bos, template, prompt, select, max_norm_ratio, on_overflow, max_tokens, revision, device, dtype, accept_model:
            as under
            ``backbones`` of a spec.

    Attributes:
        n_features_out_: width of the SAE.
        labels_: description of each feature, or None where there is none.
        identity_: content hashes of the model and the SAE.

    >>> X = SAEVectorizer(pooling="mean").fit_transform(["where is my refund?", ""])
    >>> X.shape, X.dtype.name, X[1].nnz
    ((2, 4096), 'float32', 0)
    """

    def __init__(
        self,
        model: str = "minilm",
        layer: int = 3,
        sae: str = "bundled:minilm-l3-4k",
        *,
        pooling: str = "max",
        hook: str = "resid_post",
        tokens: str = "content",
        bos: str = "auto",
        template: str | None = None,
        prompt: str | None = None,
        select: str = "text",
        max_norm_ratio: float | None = None,
        on_overflow: str = "window",
        max_tokens: int | None = None,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        accept_model: bool = False,
    ) -> None:
        self.model = model
        self.layer = layer
        self.sae = sae
        self.pooling = pooling
        self.hook = hook
        self.tokens = tokens
        self.bos = bos
        self.template = template
        self.prompt = prompt
        self.select = select
        self.max_norm_ratio = max_norm_ratio
        self.on_overflow = on_overflow
        self.max_tokens = max_tokens
        self.revision = revision
        self.device = device
        self.dtype = dtype
        self.accept_model = accept_model

    def fit(self, X: Iterable[str], y: object = None) -> Self:
        """Check the parameters and the texts, and load what is needed.

        Raises:
            SpecError: a parameter is out of range.
            ModelError, SAEError: the model or the SAE cannot be found, or they do not belong together.
            CorpusError: a bare string, or a value that is no text.
        """
        checked_texts(X)
        backbone, sae = self._load()
        described = labels(self.sae)
        self.n_features_out_ = sae.width
        self.labels_ = tuple(described.get(feature) for feature in range(sae.width))
        self.identity_ = _identity(backbone, sae)
        self._backbone, self._sae = backbone, sae
        return self

    def fit_transform(self, X: Iterable[str], y: object = None) -> sp.csr_matrix:
        """:meth:`fit`, then :meth:`transform`."""
        texts = checked_texts(X)
        return self.fit(texts).transform(texts)

    def transform(self, X: Iterable[str]) -> sp.csr_matrix:
        """The features of some texts.

        Args:
            X: ``n`` texts: a list, tuple, array or pandas column. An empty or missing text gives an empty row.

        Returns:
            float32 CSR ``[n, width]``, rows in the order of the texts.

        Raises:
            NotFittedError: before :meth:`fit`.
            CorpusError: a bare string, or a value that is no text.
            ModelError: the model or the SAE is not the one it was fitted with (after unpickling elsewhere).
        """
        backbone, sae = self.loaded()
        return pooled_rows(checked_texts(X), backbone, sae, self.pooling)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Names of the columns, such as ``minilm-l3-4k/123``: the SAE's reference and the number of the feature in it.

        Their descriptions are in ``labels_``.

        Raises:
            NotFittedError: before :meth:`fit`.
        """
        self._require_fitted()
        prefix = self.sae.removeprefix("bundled:")
        return np.array([f"{prefix}/{feature}" for feature in range(self.n_features_out_)], dtype=object)

    def loaded(self) -> tuple[Backbone, SAE]:
        """The model and the SAE it was fitted with, on the device in use; loaded again where they were left behind.

        Raises:
            NotFittedError: before :meth:`fit`.
            ModelError: what the parameters name is no longer what it was fitted with.
        """
        self._require_fitted()
        if not hasattr(self, "_backbone"):
            backbone, sae = self._load()
            if _identity(backbone, sae) != self.identity_:
                raise ModelError(
                    "the model and the SAE must be the ones this estimator was fitted with",
                    got=f"other files of {self.model} or {self.sae} on this machine",
                    fix="get the same files here, or fit again",
                )
            self._backbone, self._sae = backbone, sae
        return self._backbone, self._sae

    def _load(self) -> tuple[Backbone, SAE]:
        """Model and SAE as the parameters name them, proven to fit each other."""
        parameters = {name: getattr(self, name) for name in SAEVectorizer._get_param_names()}
        return load_pair(FitSpec.of(**parameters))

    def _require_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError("This SAEVectorizer is not fitted yet: call fit, which loads its model, first.")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "identity_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        for name in ("_backbone", "_sae"):
            state.pop(name, None)
        return state


def _identity(backbone: Backbone, sae: SAE) -> dict[str, Any]:
    return {**backbone.files.identity, "sae": sae.sha256}
