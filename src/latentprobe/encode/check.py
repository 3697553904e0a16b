"""Whether an SAE was loaded right: what it does to a model's hidden states, beside what its publisher states.

A wrong layer, a missing scale or another model's weights leave an SAE that runs and gives numbers; here it shows. Knows
nothing of files and of labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentprobe.config import BackboneSpec
from latentprobe.corpus import ImageFile, Rows, read_texts
from latentprobe.encode.backbone import Backbone, load_backbone
from latentprobe.encode.featurize import batches
from latentprobe.encode.formats import describe, load_sae
from latentprobe.encode.image_families import find_image_family, reads_images
from latentprobe.encode.impossible import EXPLODING
from latentprobe.encode.latents import TokenLatents
from latentprobe.encode.model_files import MINILM, find_model
from latentprobe.encode.origin import Agreement, compare_with_origin
from latentprobe.encode.sae import SAE
from latentprobe.encode.sources import require_fit, settle_bos
from latentprobe.encode.splice import CrossEntropy, cross_entropy, is_causal
from latentprobe.errors import CorpusError, SpecError

__all__ = ["Check", "Figures", "check_sae", "demo_texts", "judge", "measure"]

DEMO = Path(__file__).resolve().parents[1] / "assets" / "demo" / "messages_en.csv"

#: Beyond these, reconstructions and hidden states are not in one scale.
NORM_RATIOS = (0.5, 2.0)


@dataclass(frozen=True)
class Figures:
    """What an SAE does to some hidden states."""

    tokens: int
    l0: float
    """Active features a token, on average."""
    dead_share: float
    """Share of features never active on these tokens; few tokens leave many features out."""
    explained_variance: float
    """1 - sum of squared errors / sum of squared distances from the mean state."""
    cosine: float
    """Between state and reconstruction, on average over tokens."""
    norm_ratio: float
    """Mean norm of the states / mean norm of what the SAE rebuilds of them: far from 1 where a scale is missing."""
    largest: float
    """Largest value of a feature, in norms of the state it was read from."""


@dataclass(frozen=True)
class Check:
    """An SAE on a text: figures, what was published, and a verdict.

    ``verdict`` is ``right``, ``doubtful`` or ``wrong``; ``reasons`` says why in plain sentences.
    """

    reference: str
    model: str
    hook: str
    width: int
    figures: Figures
    cross_entropy: CrossEntropy | None
    """None where the model predicts no next token."""
    published: Mapping[str, float]
    origin: Agreement | None
    verdict: str
    reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON: the figures at the top."""
        values = asdict(self)
        return {**values.pop("figures"), **values, "reasons": list(self.reasons)}


def check_sae(
    reference: str,
    *,
    model: str | None = None,
    texts: Sequence[str] | None = None,
    images: Sequence[ImageFile] | None = None,
    origin: bool = False,
    device: str = "auto",
) -> Check:
    """Run a model on some texts or images and see whether an SAE does what an SAE does.

    Args:
        reference: of the SAE.
        model: Hugging Face id, folder or alias; by default the one the SAE names.
        texts: some hundred lines are enough; by default the messages that come with the package. They are read with a
            BOS token where the SAE says that it was trained with one.
        images: in place of texts, for a model that reads images; some dozen are enough.
        origin: also compare with the library that owns the format, which must be installed.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.

    Raises:
        SAEError, ModelError: something cannot be found, or the two do not fit each other.
        SpecError: the SAE names no model, and none was given; texts and images, or no images for a vision encoder.
        CorpusError: no text holds a token.
        MissingExtraError: ``origin`` without that library.
    """
    sae = load_sae(reference, decoder=True)
    spec = BackboneSpec(
        model=_model(sae, model),
        layers=(sae.hook.layer,),
        hook=sae.hook.site,
        saes=(reference,),
        accept_model=model is not None,
        device=device,
    )
    rows = _rows(spec, texts, images)
    backbone = _load(spec, sae, images=images is not None)
    require_fit(sae, spec, backbone.files)
    moved = sae.to(backbone.device)
    figures, x = measure(moved, backbone, rows)
    published = _published(reference)
    predicts = images is None and is_causal(backbone.files)
    entropy = cross_entropy(moved, backbone, [str(row) for row in rows]) if predicts else None
    agreement = compare_with_origin(reference, sae, x.cpu()) if origin else None
    verdict, reasons = judge(figures, sae.width, published, entropy, agreement)
    name = backbone.files.name
    return Check(
        reference, name, sae.hook.name, sae.width, figures, entropy, published, agreement, verdict, tuple(reasons)
    )


def _rows(spec: BackboneSpec, texts: Sequence[str] | None, images: Sequence[ImageFile] | None) -> Rows:
    """What the model is to read."""
    if texts is not None and images is not None:
        raise SpecError("texts or images were expected", got="both", fix="give --text or --images")
    if images is not None:
        return tuple(images)
    files = find_model(spec.model)
    if reads_images(files.config) and not find_image_family(str(files.config["model_type"])).has_language:
        raise SpecError(
            f"images were expected: {files.name} reads nothing else", got="texts", fix="name a folder: --images"
        )
    return demo_texts() if texts is None else tuple(texts)


def _load(spec: BackboneSpec, sae: SAE, *, images: bool) -> Backbone:
    """The model, which reads texts as those the SAE was trained on."""
    if images:
        from latentprobe.encode.images import load_image_backbone

        return load_image_backbone(spec)
    return load_backbone(settle_bos(spec, [sae]))


def measure(sae: SAE, backbone: Backbone, rows: Rows) -> tuple[Figures, Tensor]:
    """The figures of an SAE, with its decoder, on the selected tokens of texts or images; and the first states.

    Raises:
        CorpusError: no token is selected in any of them.
        SAEError: the SAE has no decoder, or does not take these states.
    """
    tokens = backbone.tokenize(rows)
    sums, first = _Sums(sae.width, sae.d_in), torch.zeros(0, sae.d_in)
    for batch in batches(tokens, backbone.batch_tokens):
        x = backbone.hidden_states([tokens[row] for row in batch], [sae.hook])[sae.hook]
        latents, rebuilt = sae.reconstruct(x)
        sums.add(x.double().cpu(), latents, rebuilt.double())
        first = x if len(x) > len(first) else first
    if sums.tokens == 0:
        raise CorpusError(
            "texts with at least one token were expected",
            got=f"{len(rows)} texts without any",
            fix="give a file with some lines of ordinary text",
        )
    return sums.figures(), first[:512]


def judge(
    figures: Figures,
    width: int,
    published: Mapping[str, float],
    entropy: CrossEntropy | None = None,
    origin: Agreement | None = None,
) -> tuple[str, list[str]]:
    """``right``, ``doubtful`` or ``wrong``, and the reasons in plain sentences."""
    wrong = [reason for fails, reason in _wrong(figures, width, entropy, origin) if fails]
    doubts = [reason for fails, reason in _doubts(figures, published, entropy) if fails]
    if wrong:
        return "wrong", wrong + doubts
    if doubts:
        return "doubtful", doubts
    return "right", [
        f"{figures.l0:.0f} of {width} features are on at a token, and what they rebuild explains "
        f"{figures.explained_variance:.0%} of the variance, in the scale of the states"
    ]


def _wrong(
    figures: Figures, width: int, entropy: CrossEntropy | None, origin: Agreement | None
) -> list[tuple[bool, str]]:
    low, high = NORM_RATIOS
    return [
        (figures.l0 == 0, "no feature is on at any token"),
        (figures.l0 > width / 2, f"{figures.l0:.0f} of {width} features are on at a token: features are rare"),
        (
            figures.largest > EXPLODING,
            f"a feature is {figures.largest:.0f} times as long as the state it was read from",
        ),
        (
            not low < figures.norm_ratio < high,
            f"states are {figures.norm_ratio:.2g} times as long as what is rebuilt of them: a scale is missing, or "
            "they are of another layer or model",
        ),
        (
            figures.explained_variance < 0,
            f"the mean state explains more than what it rebuilds (explained variance {figures.explained_variance:.2f})",
        ),
        (
            entropy is not None and entropy.recovered < 0,
            "the model predicts better with nothing at this place than with what the SAE rebuilds",
        ),
        (origin is not None and not origin.agrees, "its own library gives other features"),
    ]


def _doubts(figures: Figures, published: Mapping[str, float], entropy: CrossEntropy | None) -> list[tuple[bool, str]]:
    l0, variance = published.get("l0"), published.get("explained_variance")
    return [
        (
            0 <= figures.explained_variance < 0.2,
            f"only {figures.explained_variance:.0%} of the variance is explained",
        ),
        (
            l0 is not None and l0 > 0 and not 1 / 3 < figures.l0 / l0 < 3,
            f"{figures.l0:.0f} features are on at a token, {l0 or 0:.0f} were published",
        ),
        (
            variance is not None and figures.explained_variance < variance - 0.3,
            f"explained variance is {figures.explained_variance:.2f}, {variance or 0:.2f} was published",
        ),
        (
            entropy is not None and 0 <= entropy.recovered < 0.5,
            f"only {entropy.recovered if entropy else 0:.0%} of the model's cross-entropy is recovered",
        ),
    ]


def demo_texts() -> tuple[str, ...]:
    """The English messages that come with the package."""
    return read_texts(DEMO)[1]


def _model(sae: SAE, model: str | None) -> str:
    if model is not None:
        return model
    if sae.model is None:
        raise SpecError(
            "the SAE does not say on which model it was trained", got=sae.reference, fix="name the model: --model"
        )
    return "minilm" if sae.model == MINILM else sae.model


def _published(reference: str) -> dict[str, float]:
    """What the publisher states of an SAE, where it is known."""
    told = describe(reference)
    names = ("l0", "explained_variance", "dead_share")
    return {name: float(told[name]) for name in names if isinstance(told.get(name), int | float)}


class _Sums:
    """Sums over tokens, batch by batch, in float64."""

    def __init__(self, width: int, d_in: int) -> None:
        self.tokens = 0
        self._seen = np.zeros(width, bool)
        self._mean = torch.zeros(d_in, dtype=torch.float64)
        self._spread = 0.0  # sum of squared distances from the mean
        self._error = self._cosine = self._norm = self._rebuilt = 0.0
        self._active, self._largest = 0, 0.0

    def add(self, x: Tensor, latents: TokenLatents, rebuilt: Tensor) -> None:
        """One batch of states, their latents and what is rebuilt of them."""
        if len(x) == 0:
            return
        # Chan's way of joining two variances: sums of squares of long states would lose what tells them apart
        mean, total = x.mean(0), self.tokens + len(x)
        between = float(((mean - self._mean) ** 2).sum()) * self.tokens * len(x) / total
        self._spread += float(((x - mean) ** 2).sum()) + between
        self._mean += (mean - self._mean) * (len(x) / total)
        self.tokens = total
        norms = x.norm(dim=1)
        self._error += float(((x - rebuilt) ** 2).sum())
        self._cosine += float(torch.nn.functional.cosine_similarity(x, rebuilt, dim=1).sum())
        self._norm += float(norms.sum())
        self._rebuilt += float(rebuilt.norm(dim=1).sum())
        self._seen[latents.indices] = True
        self._active += len(latents.values)
        if len(latents.values):
            own = np.repeat(norms.numpy(), np.diff(latents.indptr))
            self._largest = max(self._largest, float((latents.values / np.maximum(own, 1e-12)).max()))

    def figures(self) -> Figures:
        """The figures over all batches."""
        return Figures(
            tokens=self.tokens,
            l0=self._active / self.tokens,
            dead_share=float(1 - self._seen.mean()),
            explained_variance=1 - self._error / max(self._spread, 1e-12),
            cosine=self._cosine / self.tokens,
            norm_ratio=self._norm / max(self._rebuilt, 1e-12),
            largest=self._largest,
        )
