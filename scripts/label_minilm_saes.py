"""Label the bundled MiniLM SAEs by words of their training texts, with the rule of latentprobe.explain.own_labels.

    python scripts/label_minilm_saes.py --data DIR --out src/latentprobe/assets/saes

writes the labels of folders that are already there anew; training calls describe_latents itself.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from safetensors.torch import load_file

import minilm_texts
from latentprobe.explain.own_labels import describe_features
from latentprobe.store.token_activations import TokenActivations
from minilm_sae_folder import Row, encode
from minilm_states import CACHE, cached

# Every second text is plenty to see where a latent fires, at half the time.
EVERY = 2

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


def describe_latents(
    rows: list[tuple[str, str]],
    tokens: dict[str, np.ndarray],
    states: torch.Tensor,
    encode_states: Callable[[torch.Tensor], torch.Tensor],
) -> list[Row]:
    """Return one row for labels.jsonl for each latent."""
    kept = np.flatnonzero(np.asarray(tokens["text"]) % EVERY == 0)
    text, start, end = (np.asarray(tokens[name])[kept] for name in ("text", "start", "end"))
    latents = activations(states[torch.from_numpy(kept)], encode_states)
    width = latents.shape[1]
    labels = describe_features(
        [string for _, string in rows],
        TokenActivations(text.astype(np.int64), start, end, latents),
        range(width),
        groups=[GENRES[source] for source, _ in rows],
    )
    counts = np.diff(latents.indptr) / len(kept)
    tops = latents.max(axis=0).toarray().ravel()
    return [
        {
            "feature": j,
            "label": labels.get(j, "never seen on"),
            "frequency": float(f"{counts[j]:.4g}"),
            "max": float(f"{tops[j]:.4g}"),
        }
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
