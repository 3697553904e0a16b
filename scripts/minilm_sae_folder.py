"""What a folder of an SAE trained here holds: weights in SAELens' layout, cfg.json, card.json, and of a bundled MiniLM
SAE its README.md and labels.

Knows how such weights encode, and so measures them; every figure comes from the stored, rounded weights in float32.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from minilm_states import WIDTH, WINDOW

Row = dict[str, object]


@torch.inference_mode()
def encode(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Encode raw float32 states exactly as latentprobe does: JumpReLU, in float32."""
    pre = (x - weights["b_dec"]) @ weights["W_enc"].float() + weights["b_enc"]
    return torch.relu(pre) * (pre > weights["threshold"])


@torch.inference_mode()
def set_threshold(weights: dict[str, torch.Tensor], x: torch.Tensor, k: int) -> None:
    """Set the one threshold that k latents a token exceed on average, judged with the rounded weights."""
    values = torch.cat([encode(weights, part).topk(4 * k).values.flatten() for part in torch.split(x, 2048)])
    cut = float(np.partition(values.numpy(), len(values) - k * len(x))[len(values) - k * len(x)])
    weights["threshold"] = torch.full_like(weights["threshold"], cut)


@torch.inference_mode()
def figures(weights: dict[str, torch.Tensor], x: torch.Tensor) -> dict[str, float]:
    """Measure sparsity and reconstruction on these raw float32 states."""
    on, error, active = torch.zeros(len(weights["b_enc"])), 0.0, []
    for part in torch.split(x, 2048):
        latents = encode(weights, part)
        on += (latents > 0).sum(0)
        active.append((latents > 0).sum(1))
        error += float((part - latents @ weights["W_dec"].float() - weights["b_dec"]).double().square().sum())
    counts = torch.cat(active).float()
    return {
        "tokens": len(x),
        "l0_mean": round(float(counts.mean()), 2),
        "l0_median": float(counts.median()),
        "explained_variance": round(1 - error / float((x - x.mean(0)).double().square().sum()), 4),
        "off_share": round(float((on == 0).float().mean()), 4),
        "densest_share": round(float(on.max()) / len(x), 4),
    }


def config(
    model: str, layer: int, shape: tuple[int, int], *, prepend_bos: bool, context_size: int, script: str
) -> dict[str, object]:
    """Return cfg.json in SAELens' native layout."""
    return {
        "architecture": "jumprelu",
        "d_in": shape[0],
        "d_sae": shape[1],
        "dtype": "float16",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "model_name": model,
            "hook_name": f"blocks.{layer}.hook_resid_post",
            "hook_head_index": None,
            "prepend_bos": prepend_bos,
            "context_size": context_size,
            # SAELens reads this as the version of the layout; without it the folder would count as one of before v6.
            "sae_lens_version": "6.0.0",
            "trained_by": f"latentprobe {script}",
        },
    }


def readme(card: dict[str, Any]) -> str:
    """Return the model card as Markdown, every number from card.json."""
    held_out, training, plan = card["held_out"], card["training"], card["plan"]
    rows = "\n".join(
        f"| {name} | {row['licence']} | {row['rows']:,} | {row['tokens']:,} | {row['share']:.0%} |"
        for name, row in training["data"].items()
    )
    return f"""# {plan["name"]}

A sparse autoencoder for the output of block {plan["layer"]} (counted from 0) of
sentence-transformers/all-MiniLM-L6-v2: {WIDTH} -> {plan["d_sae"]} latents, JumpReLU, float16 weights, SAELens layout.
For each content token (no CLS, SEP or padding) with raw float32 hidden state x:

    pre = (x - b_dec) @ W_enc + b_enc
    z = relu(pre) * (pre > threshold)

Trained by `{card["script"]}` as BatchTopK (k = {plan["k"]}), {plan["steps"]:,} steps of {plan["batch"]:,} tokens,
seed {card["seed"]}, then one threshold for all latents.

| on held-out text ({held_out["tokens"]:,} tokens) | |
|---|---|
| active latents a token, mean (median) | {held_out["l0_mean"]} ({held_out["l0_median"]:.0f}) |
| explained variance | {held_out["explained_variance"]} |
| densest latent, share of tokens | {held_out["densest_share"]:.1%} |
| latents never on in every second training text | {training["dead_share"]:.2%} |

| training text | licence | rows | tokens | share of draws |
|---|---|---|---|---|
{rows}

Left out: {"; ".join(card["left_out"])}.
Held-out text: {", ".join(held_out["data"])}.

The learning rate was chosen by explained variance, partly on a third of the held-out text; nothing else was.

Licence of the weights: {card["licence"]}. No text of the data sets is stored here. `labels.jsonl` has, for each
latent, words it answers to, its share of tokens on and its greatest value, all from every second training text. The
words are found by a rule (`scripts/label_minilm_saes.py`): they say where a latent fires most, not what it means. Some
are offensive, as is some of the text. `score` says how well the label predicts on held-out text where the latent fires
(area under the ROC curve, 0.5 is chance; `low` to `high` is its 95 % interval; `scripts/score_minilm_labels.py`), and
`strongest` the same where it fires strongest.
"""


def write_folder(
    folder: Path,
    weights: dict[str, torch.Tensor],
    settings: dict[str, object],
    card: dict[str, Any],
    more: Mapping[str, str] | None = None,
) -> None:
    """Write weights, cfg.json, card.json and further texts by name aside, then put all in place of an older folder."""
    aside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    stored = aside / "sae_weights.safetensors"
    save_file(weights, stored)
    stored.chmod(0o644)
    card["sha256"] = hashlib.sha256(stored.read_bytes()).hexdigest()
    texts = {
        name: json.dumps(values, indent=2) + "\n" for name, values in (("cfg.json", settings), ("card.json", card))
    }
    for name, text in {**texts, **(more or {})}.items():
        (aside / name).write_text(text, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    aside.replace(folder)


def write_bundled(folder: Path, weights: dict[str, torch.Tensor], labels: list[Row], card: dict[str, Any]) -> None:
    """Write the whole folder of a bundled SAE."""
    plan, of_model = card["plan"], "sentence-transformers/all-MiniLM-L6-v2"
    shape, script = (WIDTH, plan["d_sae"]), card["script"]
    settings = config(of_model, plan["layer"], shape, prepend_bos=False, context_size=WINDOW + 2, script=script)
    card["licence"] = "Apache-2.0"
    lines = [json.dumps(label, ensure_ascii=False) + "\n" for label in labels]
    write_folder(folder, weights, settings, card, {"README.md": readme(card), "labels.jsonl": "".join(lines)})
