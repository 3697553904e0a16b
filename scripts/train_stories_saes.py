"""Train small SAEs on the hidden states of stories260K, so that a model that answers has features of its own.

    python scripts/train_stories_saes.py [--shared DIR] [--out runs/stories260k-saes]

Training, threshold, rounding and figures are those of the bundled MiniLM SAEs; the states are read by latentprobe
itself, at content tokens behind a BOS token. Trained on WikiText's validation part and on the answers of those role
plays of which `make_cloze.py` makes no questions, without any label; measured on the answers of the others. Minutes on
one core.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from latentprobe.config import BackboneSpec
from latentprobe.encode.backbone import Backbone, load_backbone
from latentprobe.encode.featurize import batches
from latentprobe.encode.hookpoints import HookPoint
from make_cloze import as_written, is_asked
from minilm_sae_folder import config, figures, set_threshold, write_folder
from train_minilm_saes import Plan, train

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = "scripts/train_stories_saes.py"
MODEL = "stories260K"
#: Of five blocks: the middle one, and the last, whose output tells the next word.
PLANS = tuple(
    Plan(f"stories260k-l{layer}-512", layer, 512, 3000, k=16, k_start=64, frequent_weight=0.0) for layer in (2, 4)
)


def training_texts(data: Path) -> list[str]:
    """WikiText's validation part and the role plays that no question is made of."""
    lines = (data / "wikitext2_small" / "valid.txt").read_text(encoding="utf-8").split("\n")
    wiki = [as_written(line).replace("<unk>", "") for line in lines if len(line.split()) >= 20]
    return wiki + [text for text in _answers(data) if not is_asked(text)]


def held_out_texts(data: Path) -> list[str]:
    """The role plays that questions are made of."""
    return [text for text in _answers(data) if is_asked(text)]


def _answers(data: Path) -> list[str]:
    rows = json.loads((data / "gpteacher_roleplay" / "roleplay.json").read_text(encoding="utf-8"))
    return [row["output"] for row in rows]


def states_of(texts: Sequence[str], backbone: Backbone, layers: Sequence[int]) -> dict[int, torch.Tensor]:
    """The outputs of some blocks at all content tokens, ``[tokens, 64]`` each."""
    tokens = backbone.tokenize(tuple(texts))
    hooks = [HookPoint(layer, "resid_post") for layer in layers]
    parts = [
        backbone.hidden_states([tokens[row] for row in batch], hooks)
        for batch in batches(tokens, backbone.batch_tokens)
    ]
    return {hook.layer: torch.cat([part[hook] for part in parts]) for hook in hooks}


def make(plan: Plan, states: torch.Tensor, held: torch.Tensor, out: Path) -> None:
    """Train one SAE and write its folder."""
    begun = time.monotonic()
    sae, chance = train(plan, states, np.ones(len(states)), seed=0)
    weights = sae.folded(0.0)
    set_threshold(weights, states[torch.from_numpy(chance.choice(len(states), 32768))], plan.k)
    card = {
        "script": SCRIPT,
        "plan": asdict(plan),
        "training": {"data": ["wikitext2_small valid", "gpteacher_roleplay, 70 %"], "tokens": len(states)},
        "held_out": {"data": ["gpteacher_roleplay, 30 %"], **figures(weights, held)},
        "wall_seconds": round(time.monotonic() - begun),
    }
    shape = (states.shape[1], plan.d_sae)
    settings = config(MODEL, plan.layer, shape, prepend_bos=True, context_size=512, script=SCRIPT)
    write_folder(out / plan.name, weights, settings, card)
    print(plan.name, card["held_out"], f"{card['wall_seconds']} s", flush=True)


def main() -> None:
    """Read the command line and make the SAEs."""
    parser = argparse.ArgumentParser(description="Train small SAEs for stories260K.")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder with data and models")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "stories260k-saes", help="where the folders go")
    arguments = parser.parse_args()
    layers = tuple(plan.layer for plan in PLANS)
    model = str(arguments.shared.resolve() / "models" / MODEL)
    backbone = load_backbone(BackboneSpec(model=model, layers=layers, saes=(), bos="always", device="cpu"))
    data = arguments.shared / "data"
    states, held = (states_of(texts(data), backbone, layers) for texts in (training_texts, held_out_texts))
    for plan in PLANS:
        make(plan, states[plan.layer], held[plan.layer], arguments.out)


if __name__ == "__main__":
    main()
