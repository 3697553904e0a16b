"""A sparse autoencoder in one canonical form, whatever file it came from, and how it encodes hidden states.

    pre = prepare(x) @ W_enc + b_enc        z = what the activation leaves of it, never below 0

Everything that can be folded is folded when it is loaded: the decoder bias that some families subtract from x, the
scale of their inputs, the norms of their decoders. All maths is float32, in blocks of tokens and features, so that
memory does not grow with the width. Knows nothing of files and of models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentprobe.encode.activations import Activation, PreActivations, Separate
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.latents import TokenLatents
from latentprobe.encode.row_operations import PRE_OPS, UNDONE, PreOp
from latentprobe.errors import SAEError
from latentprobe.files import sha256_json

__all__ = ["SAE", "without_b_dec"]

#: Tokens and features of one block: the buffer is at most 512 x 8,192 float32, 16 MiB.
TOKENS, FEATURES = 512, 8192


@dataclass(frozen=True, eq=False)
class SAE:
    """An encoder, proven when made; with its decoder if that was asked for.

    Args:
        reference: what the user called it.
        sha256: content hash of the files it came from.
        hook: where its inputs are taken.
        model: the model it was trained on, as its maker calls it, or None where that is not said.
        W_enc: float32 ``[d_in, width]``.
        b_enc: float32 ``[width]``, everything folded in.
        activation: a ``Threshold``, ``TopK``, ``GroupMax`` or ``Gated``.
        pre_ops: names of row-wise operations of ``PRE_OPS``, in order.
        W_dec: float32 ``[width, d_in]``, or None where only the encoder was loaded.
        b_dec: float32 ``[d_in]``, likewise.
        prepend_bos: whether it was trained on texts with a BOS token before them, or None where that is not said.

    Raises:
        SAEError: shapes or types do not fit each other, a number is not finite, a threshold is negative, k is not in
            1 .. width or does not divide it into groups.

    >>> from latentprobe.encode.activations import Threshold
    >>> sae = SAE("by hand", "0" * 64, HookPoint(0, "resid_post"), None, torch.eye(2), torch.zeros(2),
    ...           Threshold(torch.tensor([0.5, 0.5])))
    >>> sae.encode(torch.tensor([[2.0, 0.5], [-1.0, 1.0]])).csr().toarray().tolist()
    [[2.0, 0.0], [0.0, 1.0]]
    """

    reference: str
    sha256: str
    hook: HookPoint
    model: str | None
    W_enc: Tensor = field(repr=False)
    b_enc: Tensor = field(repr=False)
    activation: Activation = field(repr=False)
    pre_ops: tuple[PreOp, ...] = ()
    W_dec: Tensor | None = field(default=None, repr=False)
    b_dec: Tensor | None = field(default=None, repr=False)
    prepend_bos: bool | None = None

    def __post_init__(self) -> None:
        for name, tensor, shape in self._parts():
            self._prove(name, tensor, shape)
        if fault := self.activation.fault(self.width):
            raise self._refusal(*fault)
        if unknown := [name for name in self.pre_ops if name not in PRE_OPS]:
            raise self._refusal(f"row-wise operations are {', '.join(PRE_OPS)}", unknown[0])

    @property
    def d_in(self) -> int:
        """Size of the hidden states it takes."""
        return int(self.W_enc.shape[0])

    @property
    def width(self) -> int:
        """Number of features."""
        return int(self.W_enc.shape[1])

    @torch.inference_mode()
    def encode(self, x: Tensor) -> TokenLatents:
        """The active features of each token.

        Args:
            x: hidden states at ``hook``, ``[tokens, d_in]``, any floating type, finite. Zero tokens are fine.

        Returns:
            ``z > 0`` only, by token, on the host. A token's latents do not depend on the other tokens.

        Raises:
            SAEError: another shape, not floating numbers, or a value that is not finite.
        """
        x = self._checked(x)
        chunks = [self.activation.active(self._pre(chunk)) for chunk in torch.split(x, TOKENS)] if len(x) else []
        counts = np.concatenate([np.zeros(1, np.int64), *(counts for counts, _, _ in chunks)])
        indices = np.concatenate([np.zeros(0, np.int32), *(indices for _, indices, _ in chunks)])
        values = np.concatenate([np.zeros(0, np.float32), *(values for _, _, values in chunks)])
        return TokenLatents(np.cumsum(counts, dtype=np.int64), indices, values, self.width)

    @torch.inference_mode()
    def columns(self, features: Sequence[int] | NDArray[Any]) -> SAE:
        """The SAE that computes some features only, and computes them alike.

        Args:
            features: which; they become 0 .. m - 1 in ascending order.

        Raises:
            SAEError: none, one twice, one out of range; or a TopK or GroupMax SAE, whose features depend on others.
        """
        if not isinstance(self.activation, Separate):
            raise SAEError(
                "only an SAE whose features stand alone can be cut down to some of them",
                got=f"a {type(self.activation).__name__} SAE: which features are active depends on others, the "
                "whole encoder is needed",
                fix="keep the whole SAE, or use one with thresholds (JumpReLU, BatchTopK, ReLU) or gates",
            )
        chosen = np.asarray(features)
        distinct = np.unique(chosen)
        right = chosen.ndim == 1 and chosen.dtype.kind in "iu" and 0 < len(distinct) == len(chosen)
        if not right or distinct[0] < 0 or distinct[-1] >= self.width:
            raise SAEError(
                f"features are different whole numbers from 0 to {self.width - 1}, at least one",
                got=f"{chosen.tolist()!r:.80}",
                fix="name each feature to keep once",
            )
        keep = torch.from_numpy(distinct.astype(np.int64)).to(self.W_enc.device)
        return replace(
            self,
            sha256=sha256_json({"sae": self.sha256, "features": distinct.tolist()}),
            W_enc=self.W_enc[:, keep].contiguous(),
            b_enc=self.b_enc[keep],
            activation=self.activation.mapped(lambda vector: vector[keep]),
            W_dec=None if self.W_dec is None else self.W_dec[keep],
        )

    def decode(self, latents: TokenLatents) -> Tensor:
        """The hidden states that latents stand for, float32 ``[tokens, d_in]`` on the host.

        Raises:
            SAEError: loaded without its decoder, another width, or the SAE sees rescaled rows, whose scale is lost.
        """
        if self.W_dec is None or self.b_dec is None:
            raise SAEError(
                "decoding needs the decoder", got="an encoder only", fix="load it with load_sae(..., decoder=True)"
            )
        if self.pre_ops:
            raise SAEError(
                "latents alone give the hidden state back",
                got=f"an SAE that applies {', '.join(self.pre_ops)} to each row, which latents do not keep",
                fix="use an SAE without run-time normalization where reconstructions are needed",
            )
        if latents.width != self.width:
            raise SAEError(
                f"latents of width {self.width} were expected", got=latents.width, fix="decode with their own SAE"
            )
        return _rebuilt(latents, self.W_dec, self.b_dec)

    @torch.inference_mode()
    def reconstruct(self, x: Tensor) -> tuple[TokenLatents, Tensor]:
        """The active features of each token, and the hidden states they stand for, float32 on the host.

        Unlike :meth:`decode` it sees the rows, and brings back the scale and mean that a row-wise operation took.

        Raises:
            SAEError: as :meth:`encode`, or loaded without its decoder.
        """
        if self.W_dec is None or self.b_dec is None:
            raise SAEError(
                "decoding needs the decoder", got="an encoder only", fix="load it with load_sae(..., decoder=True)"
            )
        latents = self.encode(x)
        rows = [self._checked(x)]
        for name in self.pre_ops:
            rows.append(PRE_OPS[name](rows[-1]))
        rebuilt = _rebuilt(latents, self.W_dec, self.b_dec)
        for name, before in zip(reversed(self.pre_ops), reversed(rows[:-1]), strict=True):
            rebuilt = UNDONE[name](rebuilt, before.cpu())
        return latents, rebuilt

    def to(self, device: torch.device | str) -> SAE:
        """The same SAE with its tensors on a device."""
        return replace(
            self,
            W_enc=self.W_enc.to(device),
            b_enc=self.b_enc.to(device),
            activation=self.activation.mapped(lambda vector: vector.to(device)),
            W_dec=None if self.W_dec is None else self.W_dec.to(device),
            b_dec=None if self.b_dec is None else self.b_dec.to(device),
        )

    def _pre(self, x: Tensor) -> PreActivations:
        return PreActivations(len(x), self.width, x.device, self._blocks(self._prepared(x)))

    def _blocks(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Pre-activations, block of features by block, in one buffer that the next block overwrites."""
        size = min(FEATURES, self.width)
        memory = torch.empty(len(x) * size, dtype=torch.float32, device=x.device)
        for start in range(0, self.width, FEATURES):
            block = slice(start, min(start + FEATURES, self.width))
            out = memory[: len(x) * (block.stop - start)].view(len(x), block.stop - start)
            yield start, torch.addmm(self.b_enc[block], x, self.W_enc[:, block], out=out)

    def _checked(self, x: Tensor) -> Tensor:
        """The input as float32 beside the weights, or a refusal."""
        if not isinstance(x, Tensor) or x.ndim != 2 or x.shape[1] != self.d_in or not x.is_floating_point():
            came = f"{x.dtype} {list(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise SAEError(
                f"hidden states are a floating tensor [tokens, {self.d_in}]",
                got=came,
                fix=f"give the states at {self.hook.name} of the model this SAE was trained on, one row a token",
            )
        x = x.to(self.W_enc.device, torch.float32)
        if not _finite(x):
            raise SAEError(
                "hidden states are finite numbers",
                got="NaN or infinity among them",
                fix="run the model in float32 or bfloat16: float16 overflows in some models",
            )
        return x

    def _prepared(self, x: Tensor) -> Tensor:
        """Rows after the row-wise operations."""
        for name in self.pre_ops:
            x = PRE_OPS[name](x)
        if self.pre_ops and not _finite(x):
            raise SAEError(
                f"{', '.join(self.pre_ops)} is defined for every row",
                got="a row of zeros",
                fix="leave such tokens out: they carry nothing",
            )
        return x

    def _parts(self) -> list[tuple[str, Tensor, tuple[int, ...]]]:
        """Every tensor with its name and the shape it must have."""
        if self.W_enc.ndim != 2 or 0 in self.W_enc.shape:
            raise self._refusal("W_enc is [d_in, width], neither of them 0", f"W_enc {list(self.W_enc.shape)}")
        parts = [("W_enc", self.W_enc, (self.d_in, self.width)), ("b_enc", self.b_enc, (self.width,))]
        parts += [(name, vector, (self.width,)) for name, vector in self.activation.vectors.items()]
        if self.W_dec is not None:
            parts.append(("W_dec", self.W_dec, (self.width, self.d_in)))
        if self.b_dec is not None:
            parts.append(("b_dec", self.b_dec, (self.d_in,)))
        return parts

    def _prove(self, name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
        """Refuse a tensor of another shape or type, or with a number that is none."""
        if tuple(tensor.shape) != shape or tensor.dtype != torch.float32:
            came = f"{tensor.dtype} {list(tensor.shape)}"
            raise self._refusal(f"{name} is float32 {list(shape)}, as the other tensors say", came)
        if not _finite(tensor):
            raise self._refusal(f"every number of {name} is finite", "NaN or infinity")

    def _refusal(self, problem: str, got: str) -> SAEError:
        return SAEError(
            f"the SAE {self.reference} cannot be used: {problem}",
            got=got,
            fix="get the files again from where they came; if they are the same, they are damaged at the source",
        )


def without_b_dec(b_enc: Tensor, b_dec: Tensor, W_enc: Tensor) -> Tensor:
    """The encoder bias that makes ``x @ W_enc + bias`` equal ``(x - b_dec) @ W_enc + b_enc``; summed in float64."""
    subtracted, shift = b_dec.double(), torch.empty(len(b_enc), dtype=torch.float64, device=b_enc.device)
    size = FEATURES // 8
    buffer = torch.empty(W_enc.shape[0], size, dtype=torch.float64, device=W_enc.device)
    for start in range(0, len(b_enc), size):
        block = W_enc[:, start : start + size]
        shift[start : start + size] = subtracted @ buffer[:, : block.shape[1]].copy_(block)
    return (b_enc.double() - shift).float()


def _finite(tensor: Tensor) -> bool:
    """Whether all numbers are finite, without a mask as large as the tensor."""
    if tensor.numel() == 0:
        return True
    if tensor.ndim == 2 and not tensor.is_contiguous():
        tensor = tensor.T  # weights of a linear layer, seen the other way round: aminmax would copy them
    low, high = tensor.aminmax()
    return bool(torch.isfinite(low) & torch.isfinite(high))


def _rebuilt(latents: TokenLatents, W_dec: Tensor, b_dec: Tensor) -> Tensor:
    dense = latents.csr() @ W_dec.cpu().numpy() + b_dec.cpu().numpy()
    return torch.from_numpy(np.asarray(dense, np.float32))
