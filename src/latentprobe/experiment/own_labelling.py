"""Own labels of an SAE's features and scores of any labels, from texts: the model and the SAE run once over them.

Of the texts that labels are made from a fifth is held out, by content, and the labels are scored on it at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.config import BackboneSpec
from latentprobe.corpus import normalized, read_texts
from latentprobe.encode.backbone import Backbone, load_backbone
from latentprobe.encode.featurize import Source, featurize
from latentprobe.encode.formats import label_key, label_table, load_sae
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.model_files import MINILM
from latentprobe.encode.sae import SAE
from latentprobe.encode.sources import require_fit, settle_bos
from latentprobe.encode.token_latents import token_latents
from latentprobe.errors import CorpusError, SpecError
from latentprobe.experiment.chat import Chat
from latentprobe.experiment.environment import Reporter, Silent
from latentprobe.explain.label_rules import rule_of
from latentprobe.explain.label_scores import Judge, LabelScore, LabelScores, better_than_chance, score_labels
from latentprobe.explain.own_labels import describe_features, label_excerpts
from latentprobe.explain.words import Excerpt
from latentprobe.files import sha256_json
from latentprobe.store import DenseFeatures
from latentprobe.store.labels import FeatureLabel, LabelTable, write_label_table
from latentprobe.store.token_activations import TokenActivations

__all__ = ["make_labels", "score_own_labels"]

#: Share of the texts that labels are not made from but scored on.
HELD_OUT = 0.2


def make_labels(
    sae: str,
    texts: Path,
    *,
    text: str = "text",
    model: str | None = None,
    features: str | None = None,
    chat: Chat | None = None,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Describe the features of an SAE by the words and contexts that light them, or let a chat model do so.

    Args:
        sae: its reference.
        texts: file with some thousand texts of the kind the classifier will read.
        text: column with them.
        model: Hugging Face id, folder or alias. Default: the SAE's own.
        features: such as ``3,17,40-49``; other labels stay as they are. Default: all, and no other label stays.
        chat: who writes them instead, and judges them.
        device: where the model runs.
        reporter: who hears how far it is.

    Returns:
        sae, labels; scored, better_than_chance and median_score, and the same of the strongest places under
        ``strongest``; provenance and file.

    Raises:
        LatentprobeError: something cannot be used as asked; nothing is written then.
    """
    reporter = reporter or Silent()
    if chat is not None and features is None:
        raise SpecError(
            "features to describe were expected",
            got="an endpoint and no features",
            fix="name them: --features 3,17,40-49; each costs a question, and judging its label up to fifteen more",
        )
    read = _read(sae, texts, text, model, features, device, reporter)
    rows, tokens, wanted = read.rows, read.tokens, read.wanted
    held = np.array([_fraction(row) < HELD_OUT for row in rows])
    ours, own = _part(rows, tokens, ~held)
    if chat is None:
        labels = {
            feature: FeatureLabel(told, "words") for feature, told in describe_features(ours, own, wanted).items()
        }
    else:
        labels = {}
        for done, (feature, places) in enumerate(label_excerpts(ours, own, wanted).items(), start=1):
            labels[feature] = FeatureLabel(chat.write(*places), "endpoint", chat.model)
            reporter.progress("describe", done, len(wanted))
    if not labels:
        raise CorpusError("texts that light a feature were expected", got=f"{len(rows)} texts, none of them on",
                          fix="give more texts, of the kind the SAE was trained on")  # fmt: skip
    judged, judges = _scored(*_part(rows, tokens, held), labels, chat, reporter)
    before = label_table(sae) if features is not None else LabelTable({})
    provenance = {
        "source": texts.name, "sha256": _hash(rows), "made": date.today().isoformat(), "how": "made here",
        "model": read.model, "width": read.width, "texts": len(rows),
        "scored_on": {"texts": int(held.sum()), "held_out": f"a fifth of {texts.name}", "judges": judges},
    }  # fmt: skip
    if before.features:
        provenance["over"] = before.provenance
    return _kept(sae, LabelTable(before.features | _with(labels, judged), provenance), judged)


def score_own_labels(
    sae: str,
    texts: Path,
    *,
    text: str = "text",
    model: str | None = None,
    features: str | None = None,
    chat: Chat | None = None,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Score the labels that an SAE has, wherever they come from, on held-out texts, and keep the scores with them.

    Args, returns and raises as :func:`make_labels`; labels that are no rule are judged by ``chat``, or else by how like
    the place the label is to MiniLM. Texts that the labels were made from are refused.
    """
    reporter = reporter or Silent()
    table = label_table(sae)
    if not table.features:
        raise SpecError("an SAE with labels was expected", got=f"{sae}, without any", fix="import or make them first")
    read = _read(sae, texts, text, model, features, device, reporter, but=table.provenance.get("sha256"))
    labels = {feature: table.features[feature] for feature in read.wanted if feature in table.features}
    judged, judges = _scored(read.rows, read.tokens, labels, chat, reporter)
    scored_on = {"texts": len(read.rows), "held_out": texts.name, "judges": judges}
    provenance = table.provenance | {"scored_on": scored_on}
    return _kept(sae, LabelTable(table.features | _with(labels, judged), provenance), judged)


@dataclass(frozen=True)
class _Read:
    """Texts that the model and the SAE have run over."""

    rows: list[str]
    tokens: TokenActivations
    wanted: list[int]
    """The features that were asked for."""
    model: str
    width: int


def _read(
    sae: str,
    texts: Path,
    text: str,
    model: str | None,
    features: str | None,
    device: str,
    reporter: Reporter,
    *,
    but: str | None = None,
) -> _Read:
    """The texts of a file, each once, with every feature on every token of them; ``but``: the hash of those refused."""
    rows = list({normalized(row): row for row in read_texts(texts, text=text)[1] if row.strip()}.values())
    if but == _hash(rows):
        raise CorpusError("held-out texts were expected", got=f"{texts}, from which the labels were made",
                          fix="give other texts")  # fmt: skip
    backbone, loaded = _pair(sae, model, device)
    wanted = _numbers(features, loaded.width)
    tokens = token_latents(rows, backbone, loaded, progress=lambda done, all_: reporter.progress("encode", done, all_))
    return _Read(rows, tokens, wanted, backbone.files.name, loaded.width)


def _hash(rows: Sequence[str]) -> str:
    return sha256_json(sorted(map(normalized, rows)))


def _fraction(text: str) -> float:
    """The place of a text in [0, 1), by its content: copies stay together."""
    return int.from_bytes(hashlib.sha256(f"labels:{normalized(text)}".encode()).digest()[:8], "big") / 2**64


def _numbers(written: str | None, width: int) -> list[int]:
    """Features of a list such as ``3,17,40-49``; all where there is none."""
    if written is None:
        return list(range(width))
    chosen: set[int] = set()
    for part in written.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise SpecError("features are written like 3,17,40-49", got=repr(written), fix="write numbers and ranges")
        if int(last or first) >= width:
            raise SpecError(f"features from 0 to {width - 1} were expected", got=part, fix="name features of this SAE")
        chosen |= set(range(int(first), int(last or first) + 1))
    return sorted(chosen)


def _pair(sae: str, model: str | None, device: str) -> tuple[Backbone, SAE]:
    """The SAE and its model, proven to fit each other."""
    loaded = load_sae(sae)
    if model is None and loaded.model is None:
        raise SpecError("the SAE does not say on which model it was trained", got=sae, fix="name it: --model")
    name = model or ("minilm" if loaded.model == MINILM else str(loaded.model))
    spec = BackboneSpec(
        model=name, layers=(loaded.hook.layer,), hook=loaded.hook.site, saes=(sae,), accept_model=model is not None,
        device=device,
    )  # fmt: skip
    backbone = load_backbone(settle_bos(spec, [loaded]))
    require_fit(loaded, spec, backbone.files)
    return backbone, loaded.to(backbone.device)


def _part(rows: Sequence[str], tokens: TokenActivations, keep: NDArray[np.bool_]) -> tuple[list[str], TokenActivations]:
    """Some of the texts, with their tokens."""
    number = np.cumsum(keep) - 1
    kept = keep[tokens.text]
    texts = [row for row, stays in zip(rows, keep, strict=True) if stays]
    latents = tokens.latents.tocsr()[kept].tocsc()
    return texts, TokenActivations(number[tokens.text[kept]], tokens.start[kept], tokens.end[kept], latents)


def _scored(
    rows: Sequence[str],
    tokens: TokenActivations,
    labels: Mapping[int, FeatureLabel],
    chat: Chat | None,
    reporter: Reporter,
) -> tuple[LabelScores, list[str]]:
    """The scores of labels, and who judged them."""
    judges, judge = ["rule"], None
    if any(rule_of(row.label) is None for row in labels.values()):
        judge = chat.judge if chat is not None else _likeness()
        judges.append(chat.model if chat is not None else "likeness of label and place to MiniLM")
    said = {feature: row.label for feature, row in labels.items()}
    progress = lambda done, all_: reporter.progress("score", done, all_)  # noqa: E731
    return score_labels(rows, tokens, said, judge=judge, progress=progress), judges


def _likeness() -> Judge:
    """How like each place, with its words around, is to a label: the cosine of MiniLM's mean states."""
    hook = HookPoint(5, "resid_post")
    backbone = load_backbone(BackboneSpec(model="minilm", layers=(5,), saes=()))

    def judge(label: str, places: Sequence[Excerpt]) -> NDArray[np.float64]:
        read = [label, *(place.text for place in places)]
        (features,) = featurize(read, list(map(str, range(len(read)))), backbone, [Source(hook, None, ("mean",))])
        assert isinstance(features, DenseFeatures)
        states = features.values["mean"].astype(np.float64)
        states /= np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12)
        return np.asarray(states[1:] @ states[0])

    return judge


def _with(labels: Mapping[int, FeatureLabel], scores: LabelScores) -> dict[int, FeatureLabel]:
    """Labels with their scores; those of before are gone where there is none now."""

    def numbers(feature: int) -> list[float | None]:
        both = (found.get(feature) for found in scores)
        return [None if one is None else getattr(one, name) for one in both for name in ("score", "low", "high")]

    return {
        feature: FeatureLabel(row.label, row.type, row.explainer, *numbers(feature)) for feature, row in labels.items()
    }


def _kept(sae: str, table: LabelTable, scores: LabelScores) -> dict[str, Any]:
    """Write the table, and tell what it holds."""
    file = write_label_table(label_key(sae), table)
    return {
        **table.provenance,
        "sae": sae,
        "labels": len(table.features),
        **_worth(scores.everywhere),
        "strongest": _worth(scores.strongest),
        "file": str(file),
    }


def _worth(scores: Mapping[int, LabelScore]) -> dict[str, Any]:
    """How many labels were scored, and how good they are."""
    values = [score.score for score in scores.values()]
    return {
        "scored": len(scores),
        "better_than_chance": len(better_than_chance(scores)),
        "median_score": float(np.median(values)) if values else None,
    }
