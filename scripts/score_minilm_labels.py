"""Score the labels of the bundled MiniLM SAEs on text that none of them was made from, and write both down.

    python scripts/score_minilm_labels.py --data DIR --out src/latentprobe/assets/saes --results results/labels.json

Each folder's labels.jsonl gets score, low and high for every latent that fires in at least ten of the texts, and
strongest, strongest_low and strongest_high where the strongest tenth of the words it fires on stand in as many;
results/labels.json what share of either predicts better than chance. As a check of the measure itself, every label is
also scored as that of another latent, drawn by chance: of those, next to none may pass.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

import minilm_texts
from label_minilm_saes import activations
from latentprobe.explain.label_rules import rule_of
from latentprobe.explain.label_scores import LabelScore, LabelScores, better_than_chance, score_labels
from latentprobe.files import sha256_file
from latentprobe.store.labels import SCORES
from latentprobe.store.token_activations import TokenActivations
from minilm_sae_folder import encode
from minilm_states import CACHE, cached

# Every third text is plenty: a hundred places of each latent are drawn from them.
EVERY = 3


def says_something(label: str) -> bool:
    """Tell whether a label names a word at all; "mixed" and "never seen on" do not, and are not scored."""
    rule = rule_of(label)
    return rule is not None and not rule.silent


def summary(labels: dict[int, str], scores: LabelScores, others: LabelScores) -> dict[str, Any]:
    """The row of one SAE: how many labels, how good, and how good those of other latents."""
    precision = [score.precision for score in scores.everywhere.values() if score.precision is not None]
    return {
        "labels": len(labels),
        "say_nothing": sum(not says_something(label) for label in labels.values()),
        "everywhere": judged(scores.everywhere, others.everywhere),
        "strongest": judged(scores.strongest, others.strongest),
        "median_precision": round(float(np.median(precision)), 3),
    }


def judged(scores: dict[int, LabelScore], others: dict[int, LabelScore]) -> dict[str, Any]:
    """One of the two scores, over all labels of an SAE."""
    values = np.array([score.score for score in scores.values()])
    better = better_than_chance(scores)
    return {
        "scored": len(scores),
        "better": len(better),
        "share_better": round(len(better) / len(scores), 4),
        "share_better_of_another": round(len(better_than_chance(others)) / len(others), 4),
        "score_quartiles": [round(float(q), 3) for q in np.quantile(values, (0.25, 0.5, 0.75))],
        "share_above_0.7": round(float((values >= 0.7).mean()), 4),
        "median_recall": round(float(np.median([score.recall for score in scores.values()])), 3),
    }


def with_scores(line: dict[str, Any], scores: LabelScores) -> dict[str, Any]:
    """A row of labels.jsonl with its scores, and no others."""
    told = {name: value for name, value in line.items() if name not in SCORES}
    for prefix, found in (("", scores.everywhere), ("strongest_", scores.strongest)):
        if (score := found.get(line["feature"])) is not None:
            name = prefix.removesuffix("_") or "score"
            told |= {name: round(score.score, 3), f"{prefix}low": round(score.low, 3)}
            told[f"{prefix}high"] = round(score.high, 3)
    return told


def main() -> None:
    """Score every SAE folder under --out."""
    parser = argparse.ArgumentParser(description="Score the labels of the bundled MiniLM SAEs.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the data sets")
    parser.add_argument("--out", type=Path, required=True, help="where the SAE folders are")
    parser.add_argument("--results", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where hidden states are kept (2 GB)")
    arguments = parser.parse_args()
    rows = minilm_texts.label_texts(arguments.data)
    tokens = cached(arguments.cache, "labels", rows, "float32")
    kept = np.flatnonzero(np.asarray(tokens["text"]) % EVERY == 0)
    texts = [text for _, text in rows[::EVERY]]
    names = [source for source, _ in rows[::EVERY]]
    results: dict[str, Any] = {
        "script": "scripts/score_minilm_labels.py",
        "texts": {name: names.count(name) for name in sorted(set(names))},
        "tokens": len(kept),
        "false_discovery_rate": 0.05,
        "saes": {},
    }
    for folder in sorted(path.parent for path in arguments.out.glob("*/card.json")):
        layer = json.loads((folder / "card.json").read_text(encoding="utf-8"))["plan"]["layer"]
        weights = load_file(folder / "sae_weights.safetensors")
        states = torch.from_numpy(np.asarray(tokens[f"layer{layer}"])[kept])
        latents = activations(states, lambda x, w=weights: encode(w, x))  # type: ignore[misc]
        text, start, end = (np.asarray(tokens[name])[kept] for name in ("text", "start", "end"))
        own = TokenActivations(text.astype(np.int64) // EVERY, start, end, latents)
        file = folder / "labels.jsonl"
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
        labels = {line["feature"]: line["label"] for line in lines}
        shuffled = np.random.default_rng(0).permutation(list(labels))
        of_another = {j: labels[int(k)] for j, k in zip(labels, shuffled, strict=True)}
        scores, others = (
            score_labels(texts, own, {j: label for j, label in said.items() if says_something(label)})
            for said in (labels, of_another)
        )
        told = summary(labels, scores, others)
        print(folder.name, told, flush=True)
        aside = folder / ".labels.new"
        rows_told = [json.dumps(with_scores(line, scores), ensure_ascii=False) for line in lines]
        aside.write_text("\n".join(rows_told) + "\n", encoding="utf-8")
        aside.replace(file)
        results["saes"][folder.name] = {"labels_sha256": sha256_file(file), **told}
    arguments.results.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
