"""Say in a few words where each latent fires most, from its strongest training tokens alone.

The rule, for each latent: take its strongest tokens (one for each text and word, so that repeated texts count once),
join word pieces to whole words, and prefer words that carry much of the activation and on which the latent fires
often. Where no few words do, look for a shared word before, after or near, or a shared word piece. Calls no service.

    python scripts/label_minilm_saes.py --data DIR --out src/latentprobe/assets/saes

writes the labels of folders that are already there anew; training calls describe_latents itself.
"""

import argparse
import html
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from safetensors.torch import load_file

import minilm_texts
from minilm_sae_folder import Row, encode
from minilm_states import CACHE, cached, model_folder

WORD = re.compile(r"&#?\w+;|[@#]\w+|\w+(?:['\u2019]\w+)*|[^\w\s]")
# Every second text is plenty to see where a latent fires, at half the time.
EVERY = 2
STRONGEST = 400
# Words as common as this ("the", "of") say little beside another word.
COMMON = 0.004
NEAR = 6
MIN_TEXTS = 3
MAX_WORDS = 4
LONGEST = 24

GENRES = {
    "davidson": "tweets",
    "xlmt_english": "tweets",
    "xlmt_other": "tweets not in English",
    "germeval2018": "tweets not in English",
    "banking77": "banking questions",
    "openai_moderation": "moderation samples",
    "gpteacher_roleplay": "role-play",
    "wikitext2_small": "encyclopedia text",
    "pubmedqa": "medical abstracts",
}
GENRE_NAMES = sorted(set(GENRES.values()))


@dataclass(frozen=True)
class Words:
    """Every word of every text in order: its type (row of names) and text; the word of each token; texts' genres."""

    genre: np.ndarray
    in_genre: np.ndarray
    names: list[str]
    kind: np.ndarray
    text: np.ndarray
    of_token: np.ndarray
    share: np.ndarray
    pairs: dict[int, int]

    def neighbour(self, places: np.ndarray, step: int) -> np.ndarray:
        """Return the types of the words `step` places away, -1 beyond the text."""
        there = places + step
        inside = (there >= 0) & (there < len(self.kind))
        there = np.where(inside, there, 0)
        return np.where(inside & (self.text[there] == self.text[places]), self.kind[there], -1)


def read_words(rows: list[tuple[str, str]], tokens: dict[str, np.ndarray]) -> Words:
    """Split the texts into words and find the word of each token by its place in the text."""
    codes: dict[str, int] = {}
    kinds, owners, starts, base = [], [], [], 0
    bases = np.zeros(len(rows), np.int64)
    for number, (_, string) in enumerate(rows):
        bases[number] = base
        for match in WORD.finditer(string):
            kinds.append(codes.setdefault(html.unescape(match[0]).casefold(), len(codes)))
            owners.append(number)
            starts.append(base + match.start())
        base += len(string) + 1
    token_start = bases[tokens["text"]] + tokens["start"]
    of_token = np.maximum(np.searchsorted(np.array(starts), token_start, "right") - 1, 0)
    kind, text = np.array(kinds, np.int64), np.array(owners, np.int64)
    together = text[1:] == text[:-1]
    pairs, counts = np.unique((kind[:-1] * len(codes) + kind[1:])[together], return_counts=True)
    share = np.bincount(kind, minlength=len(codes)) / len(kind)
    genre = np.array([GENRE_NAMES.index(GENRES[source]) for source, _ in rows])
    in_genre = np.zeros((len(codes), len(GENRE_NAMES)))
    np.add.at(in_genre, (kind, genre[text]), 1)
    follows = dict(zip(pairs.tolist(), counts.tolist(), strict=True))
    return Words(genre, in_genre, list(codes), kind, text, of_token, share, follows)


def activations(states: torch.Tensor, encode: Callable[[torch.Tensor], torch.Tensor]) -> sp.csc_matrix:
    """Return all latents on all tokens, sparse, a column for each latent."""
    values, columns, counts = [], [], []
    for part in torch.split(states, 2048):
        latents = encode(part.float())
        width = latents.shape[1]
        row, column = latents.nonzero(as_tuple=True)
        values.append(latents[row, column].numpy())
        columns.append(column.to(torch.int32).numpy())
        counts.append(torch.bincount(row, minlength=len(part)).numpy())
    starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return sp.csr_matrix((np.concatenate(values), np.concatenate(columns), starts), (len(states), width)).tocsc()


@dataclass(frozen=True)
class Hits:
    """The strongest places of one latent: words, tokens and weights that sum to 1; how often each word fires at all."""

    places: np.ndarray
    tokens: np.ndarray
    weights: np.ndarray
    fired: dict[int, float]


def strongest(column: np.ndarray, values: np.ndarray, words: Words) -> Hits:
    """Take the strongest tokens of one latent, each pair of text and word once."""
    order = np.argsort(-values, kind="stable")[: 4 * STRONGEST]
    places = words.of_token[column[order]]
    pair = words.text[places] * len(words.names) + words.kind[places]
    first = np.sort(np.unique(pair, return_index=True)[1])
    strong = values[order][first] >= 0.6 * values[order][first][:10].mean()
    chosen = order[first[strong][:STRONGEST]]
    weights = values[chosen] / values[chosen].sum()
    everywhere = np.unique(words.of_token[column])
    kinds, counts = np.unique(words.kind[everywhere], return_counts=True)
    rates = counts / (words.share[kinds] * len(words.kind))
    return Hits(words.of_token[column[chosen]], column[chosen], weights, dict(zip(kinds.tolist(), rates, strict=True)))


def shares(kinds: np.ndarray, weights: np.ndarray, texts: np.ndarray) -> list[tuple[int, float]]:
    """Return (type, share of weight), greatest first, of types seen in enough different texts."""
    found, inverse = np.unique(kinds, return_inverse=True)
    weight = np.bincount(inverse, weights)
    different = np.unique(inverse * (texts.max() + 1) + texts) // (texts.max() + 1)
    enough = np.bincount(different, minlength=len(found)) >= min(MIN_TEXTS, len(np.unique(texts)))
    order = np.argsort(-weight, kind="stable")
    return [(int(found[i]), float(weight[i])) for i in order if enough[i]]


def quotable(name: str) -> bool:
    """Tell whether a word may stand in a label: no links, no other people's handles, nothing overlong."""
    return len(name) <= LONGEST and (not name.startswith("@") or name == "@user") and "http" not in name[1:]


def akin(one: str, other: str) -> bool:
    """Tell whether two words look like forms of one word, or whether one phrase contains the other."""
    if f" {one} " in f" {other} " or f" {other} " in f" {one} ":
        return True
    alike = 0
    while alike < min(len(one), len(other)) and one[alike] == other[alike]:
        alike += 1
    return alike >= max(3, 0.6 * max(len(one), len(other)))


def quote(names: list[str]) -> str:
    """Return the first few names in quotes, one form of each word."""
    kept: list[str] = []
    for name in names:
        if len(kept) < MAX_WORDS and not any(akin(name, other) for other in kept):
            kept.append(name)
    return ", ".join("'\"'" if name == '"' else f'"{name}"' for name in kept)


def phrase(kind: int, hits: Hits, words: Words) -> str:
    """Return the word, with a neighbour where that neighbour is much of what makes the latent fire there."""
    mine = words.kind[hits.places] == kind
    places, weights = hits.places[mine], hits.weights[mine]
    total = words.share[kind] * len(words.kind)
    name = words.names[kind]
    for step in (-1, 1):
        near = shares(words.neighbour(places, step), weights / weights.sum(), words.text[places])
        if not near or near[0][0] < 0 or len(places) < MIN_TEXTS:
            continue
        other, share = near[0]
        pair = other * len(words.names) + kind if step < 0 else kind * len(words.names) + other
        usual = words.pairs.get(pair, 0) / total
        neighbour = words.names[other]
        least, lift = (0.8, 2.5) if words.share[other] > COMMON else (0.5, 1.5)
        if share >= max(least, lift * usual) and neighbour[0].isalnum() and quotable(neighbour):
            return f"{neighbour} {name}" if step < 0 else f"{name} {neighbour}"
    return name


def own_words(hits: Hits, words: Words) -> tuple[list[int], float]:
    """Return the few word types that carry the latent, best first, and their share of its weight."""
    found = shares(words.kind[hits.places], hits.weights, words.text[hits.places])
    found = [(kind, share) for kind, share in found if quotable(words.names[kind])]
    scored = sorted(found, key=lambda item: -item[1] * hits.fired[item[0]] ** 0.3)[: MAX_WORDS + 4]
    if not scored:
        return [], 0.0
    best = max(share for _, share in scored)
    kept = [(kind, share) for kind, share in scored if share >= 0.12 * best]
    return [kind for kind, _ in kept], sum(share for _, share in kept)


def beside(hits: Hits, words: Words, step: int, least: float) -> list[str]:
    """Return up to three words that mostly stand right before (-1) or after (1), unusually often for them."""
    found = shares(words.neighbour(hits.places, step), hits.weights, words.text[hits.places])
    if found and found[0][0] < 0 and found[0][1] >= max(0.6, least) and step < 0:
        return [""]
    told = [(kind, share) for kind, share in found if kind >= 0 and share >= max(0.08, 4 * words.share[kind])][:3]
    if sum(share for _, share in told) < least or not all(quotable(words.names[kind]) for kind, _ in told):
        return []
    return [words.names[kind] for kind, share in told if share >= 0.2 * told[0][1]]


def nearby(hits: Hits, words: Words, least: float, but: set[int]) -> list[str]:
    """Return up to three words that often stand within a few places, and seldom do elsewhere."""
    around = np.stack([words.neighbour(hits.places, step) for step in range(-NEAR, NEAR + 1) if step])
    one_each = np.unique((around + 1) * len(hits.places) + np.arange(len(hits.places)))
    kinds, rows = one_each // len(hits.places) - 1, one_each % len(hits.places)
    found = shares(kinds, hits.weights[rows], words.text[hits.places][rows])
    told = []
    for kind, share in found[:60]:
        if kind < 0:
            continue
        usual = 1 - (1 - words.share[kind]) ** (2 * NEAR)
        name = words.names[kind]
        if kind in but or not (name[0].isalnum() and quotable(name)):
            continue
        if share >= max(least, 4 * usual):
            told.append((share * np.log(share / usual), name))
    return [name for _, name in sorted(told, reverse=True)[:2]]


def common_piece(hits: Hits, ids: np.ndarray, pieces: list[str]) -> str:
    """Return the word piece inside words (without ##) that the latent fires on, or nothing."""
    found, inverse = np.unique(ids[hits.tokens], return_inverse=True)
    weight = np.bincount(inverse, hits.weights)
    piece = pieces[found[weight.argmax()]]
    return piece[2:] if weight.max() >= 0.5 and piece.startswith("##") else ""


def home(hits: Hits, words: Words, kinds: set[int]) -> str:
    """Return the one kind of text that the latent fires in, where its words stand in other kinds too."""
    weight = np.bincount(words.genre[words.text[hits.places]], hits.weights, minlength=len(GENRE_NAMES))
    usual = words.in_genre[list(kinds)].sum(0)
    best = int(weight.argmax())
    return GENRE_NAMES[best] if weight[best] >= max(0.7, 1.3 * usual[best] / usual.sum()) else ""


def context(hits: Hits, words: Words, but: set[int], least: float) -> str:
    """Return what tells the places of common words where the latent fires from those where it doesn't."""
    for step, where in ((1, "before"), (-1, "after")):
        if told := beside(hits, words, step, least):
            return f" {where} {quote(told[:2])}" if told[0] else " first in a text"
    if near := nearby(hits, words, 0.6 * least, but):
        return f" near {quote(near)}"
    genre = home(hits, words, but)
    return f" in {genre}" if genre else ""


def topic(hits: Hits, words: Words, kinds: list[int]) -> str:
    """Return what stands around a latent that fires on several common words alike, or nothing."""
    common = [k for k in kinds if words.share[k] > COMMON / 4 or not words.names[k][0].isalnum()]
    if len(kinds) < 3 or len(common) < len(kinds):
        return ""
    if near := nearby(hits, words, 0.2, set(kinds)):
        return f"common words near {quote(near)}"
    genre = home(hits, words, set(kinds))
    return f"common words in {genre}: {quote([words.names[k] for k in kinds[:3]])}" if genre else ""


def describe(hits: Hits, words: Words, ids: np.ndarray, pieces: list[str], *, detail: bool) -> str:
    """Return the label of one latent that is on somewhere; detail asks for context that tells it from a namesake."""
    kinds, covered = own_words(hits, words)
    quoted = quote([phrase(kind, hits, words) for kind in kinds])
    if around := topic(hits, words, kinds):
        return around
    fired = float(np.mean([hits.fired[kind] for kind in kinds])) if kinds else 0.0
    if covered >= 0.5:
        wanted = detail or (fired < 0.25 and len(kinds) <= 2)
        return quoted + (context(hits, words, set(kinds), 0.25 if detail else 0.5) if wanted else "")
    if piece := common_piece(hits, ids, pieces):
        few = ", ".join(quoted.split(", ")[:2])
        return f'"-{piece}" in words such as {few}' if few else f'"-{piece}" inside words'
    for step, where in ((-1, "after"), (1, "before")):
        if told := beside(hits, words, step, 0.5):
            return f"{where} {quote(told)}" if told[0] else "first word of a text"
    near = nearby(hits, words, 0.4, set(kinds))
    if near and covered < 0.25:
        return f"near {quote(near)}"
    if covered >= 0.35 or fired >= 0.3:
        return quoted + (context(hits, words, set(kinds), 0.25) if detail else "")
    return f"mixed: {quoted}" if quoted else "mixed"


def describe_latents(
    rows: list[tuple[str, str]],
    tokens: dict[str, np.ndarray],
    states: torch.Tensor,
    encode_states: Callable[[torch.Tensor], torch.Tensor],
) -> list[Row]:
    """Return one row for labels.jsonl for each latent."""
    kept = np.flatnonzero(np.asarray(tokens["text"]) % EVERY == 0)
    tokens = {name: np.asarray(tokens[name])[kept] for name in ("ids", "text", "start")}
    words = read_words(rows, tokens)
    latents = activations(states[torch.from_numpy(kept)], encode_states)
    pieces = (model_folder() / "vocab.txt").read_text(encoding="utf-8").split("\n")

    def label(feature: int, *, detail: bool) -> str:
        inside = slice(latents.indptr[feature], latents.indptr[feature + 1])
        if inside.start == inside.stop:
            return "never seen on"
        hits = strongest(latents.indices[inside], latents.data[inside], words)
        return describe(hits, words, tokens["ids"], pieces, detail=detail)

    width = latents.shape[1]
    labels = [label(feature, detail=False) for feature in range(width)]
    often = Counter(labels)
    labels = [label(j, detail=True) if often[text] > 1 else text for j, text in enumerate(labels)]
    counts = np.diff(latents.indptr) / len(kept)
    tops = latents.max(axis=0).toarray().ravel()
    return [
        {"feature": j, "label": labels[j], "frequency": float(f"{counts[j]:.4g}"), "max": float(f"{tops[j]:.4g}")}
        for j in range(width)
    ]


def main() -> None:
    """Label the SAE folders under --out anew."""
    parser = argparse.ArgumentParser(description="Label the bundled MiniLM SAEs anew.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the data sets")
    parser.add_argument("--out", type=Path, required=True, help="where the SAE folders are")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where hidden states are kept (5 GB)")
    parser.add_argument("--only", help="name of the one folder to label")
    arguments = parser.parse_args()
    rows = minilm_texts.training_texts(arguments.data)
    tokens = cached(arguments.cache, "train", rows, "float16")
    for folder in sorted(path.parent for path in arguments.out.glob("*/card.json")):
        if arguments.only in (None, folder.name):
            card: dict[str, Any] = json.loads((folder / "card.json").read_text(encoding="utf-8"))
            weights = load_file(folder / "sae_weights.safetensors")
            states = torch.from_numpy(np.array(tokens[f"layer{card['plan']['layer']}"]))
            labels = describe_latents(rows, tokens, states, lambda x, w=weights: encode(w, x))  # type: ignore[misc]
            lines = [json.dumps(row, ensure_ascii=False) for row in labels]
            aside = folder / ".labels.new"
            aside.write_text("\n".join(lines) + "\n", encoding="utf-8")
            aside.replace(folder / "labels.jsonl")


if __name__ == "__main__":
    main()
