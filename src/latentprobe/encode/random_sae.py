"""What an SAE is compared with to see what its training is worth: an encoder that was never trained.

As wide and as sparse as the SAE it stands beside, on the same hidden states: columns are random directions of length
1, inputs are centred on their mean, and one threshold for all features is set so that as many are on at a token, on
average, as of the SAE. Mean and counts are taken on some tokens of the rows themselves, without a look at a label.
Knows nothing of poolings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from latentprobe.corpus import Rows
from latentprobe.encode.backbone import Backbone, Tokens
from latentprobe.encode.featurize import batches, without_sinks
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.sae import PRE_OPS, SAE, Threshold, without_b_dec
from latentprobe.files import sha256_json

__all__ = ["RandomSAE", "sample_states"]

#: Raised when the same inputs would give another encoder than before.
VERSION = 1

#: Tokens that mean and threshold are taken from, and the rows that are read at a time to find them.
SAMPLE_TOKENS, SAMPLE_ROWS = 4096, 16
#: Features tried at a time for the threshold: some millions of values, whatever the width.
BLOCK = 1024


@dataclass(frozen=True, eq=False)
class RandomSAE:
    """The plan of an untrained encoder: known before any hidden state is, and made when some are.

    Args:
        of: the SAE it stands beside.
    """

    of: SAE

    @property
    def reference(self) -> str:
        """``random:`` and the reference of the SAE."""
        return f"random:{self.of.reference}"

    @property
    def sha256(self) -> str:
        """Hash of all that makes it, beside the hidden states."""
        return sha256_json({"random_sae": VERSION, "of": self.of.sha256, "tokens": SAMPLE_TOKENS})

    @property
    def hook(self) -> HookPoint:
        """Where its inputs are taken."""
        return self.of.hook

    @property
    def width(self) -> int:
        """Number of features."""
        return self.of.width

    @torch.inference_mode()
    def made(self, x: Tensor) -> SAE:
        """The encoder.

        Args:
            x: hidden states of some tokens, ``[tokens, d_in]``. Of none at all, the threshold is 0.

        Returns:
            An SAE without decoder that has as many features on in ``x`` as the one it stands beside, on the device of
            that one. Where that one is denser than half of its width, which no threshold reaches, every positive
            value is on.
        """
        of = self.of
        x = x.to(of.W_enc.device, torch.float32)
        W_enc = _directions(of.d_in, self.width, seed=int(self.sha256[:12], 16)).to(x.device)
        b_enc = without_b_dec(torch.zeros(self.width, device=x.device), _mean(of, x), W_enc)
        wanted = len(of.encode(x).values)
        largest, theta = np.zeros(0, np.float32), 0.0
        for start in range(0, self.width, BLOCK):  # the wanted + 1 largest values, of which the last is the threshold
            block = slice(start, start + BLOCK)
            values = self._with(W_enc[:, block], b_enc[block], theta).encode(x).values
            largest = np.concatenate([largest, values])
            if len(largest) > wanted:
                largest = np.partition(largest, -wanted - 1)[-wanted - 1 :]
                theta = float(largest[0])
        return self._with(W_enc, b_enc, theta)

    def _with(self, W_enc: Tensor, b_enc: Tensor, theta: float) -> SAE:
        return SAE(
            self.reference,
            self.sha256,
            self.hook,
            self.of.model,
            W_enc.contiguous(),
            b_enc,
            Threshold(torch.full((W_enc.shape[1],), theta, device=W_enc.device)),
            self.of.pre_ops,
            prepend_bos=self.of.prepend_bos,
        )


def _directions(d_in: int, width: int, *, seed: int) -> Tensor:
    """Columns drawn evenly from the sphere, ``[d_in, width]``."""
    W_enc = torch.randn(d_in, width, generator=torch.Generator().manual_seed(seed))
    return W_enc.div_(torch.linalg.vector_norm(W_enc, dim=0))


def _mean(of: SAE, x: Tensor) -> Tensor:
    """The mean of what the encoder sees of the rows, ``[d_in]``."""
    for name in of.pre_ops:
        x = PRE_OPS[name](x)
    return x.double().mean(dim=0).float() if len(x) else torch.zeros(of.d_in, device=x.device)


def sample_states(backbone: Backbone, rows: Rows, hooks: Iterable[HookPoint]) -> dict[HookPoint, Tensor]:
    """Hidden states of about 4,096 selected tokens of the rows, the same tokens at every hook point.

    Rows are drawn at random from a fixed seed, whole ones, until there are tokens enough; of the last ones' too many
    some are dropped at random.

    Args:
        backbone: loaded for the layers of all hook points.
        rows: texts, or images for a backbone that reads them.
        hooks: hook points.

    Returns:
        For each hook point float32 ``[tokens, d]``.
    """
    draw = np.random.default_rng(0)
    order = draw.permutation(len(rows))
    tokens: list[Tokens] = []
    for start in range(0, len(order), SAMPLE_ROWS):
        if sum(map(len, tokens)) >= SAMPLE_TOKENS:
            break
        tokens += backbone.tokenize([rows[row] for row in order[start : start + SAMPLE_ROWS]])
    parts: dict[HookPoint, list[Tensor]] = {hook: [] for hook in hooks}
    for numbers in batches(tokens, backbone.batch_tokens):
        batch = [tokens[number] for number in numbers]
        for hook, x in backbone.hidden_states(batch, list(parts)).items():
            parts[hook].append(without_sinks(x, batch, backbone.spec.max_norm_ratio)[0])
    states = {hook: torch.cat(some) for hook, some in parts.items()}
    return {hook: x[_some(len(x))] for hook, x in states.items()}


def _some(n: int) -> Tensor:
    """At most ``SAMPLE_TOKENS`` positions of n, ascending; the same for the same n."""
    positions = np.random.default_rng(0).permutation(n)[:SAMPLE_TOKENS]
    return torch.from_numpy(np.sort(positions))
