"""A sparse autoencoder in one canonical form, whatever file it came from, and how it encodes hidden states.

    pre = prepare(x) @ W_enc + b_enc        z = what the activation leaves of it, never below 0

Everything that can be folded is folded when it is loaded: the decoder bias that some families subtract from x, the
scale of their inputs, the norms of their decoders. All maths is float32, in blocks of tokens and features, so that
memory does not grow with the width. Knows nothing of files and of models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.latents import TokenLatents
from latentprobe.errors import SAEError
from latentprobe.files import sha256_json

__all__ = ["SAE", "Activation", "Gated", "GroupMax", "PreOp", "Threshold", "TopK", "without_b_dec"]

#: Tokens and features of one block: the buffer is at most 512 x 8,192 float32, 16 MiB.
TOKENS, FEATURES = 512, 8192


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(dim=1, keepdim=True)


def _layer_normed(x: Tensor) -> Tensor:
    # SAELens' own, not torch's: the standard deviation is the unbiased one, and epsilon is added to it, not under it.
    centred = _centred(x)
    return centred / (centred.std(dim=1, keepdim=True) + 1e-5)


def _rescaled(x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x * (math.sqrt(x.shape[1]) / norm)


#: What may be done to each row of hidden states before the encoder. It depends on the row and cannot be folded.
PRE_OPS: dict[str, Callable[[Tensor], Tensor]] = {
    "centre": _centred,
    "layer_norm": _layer_normed,
    "constant_norm_rescale": _rescaled,
}
PreOp = str


def _layer_norm_undone(y: Tensor, x: Tensor) -> Tensor:
    return y * x.std(dim=1, keepdim=True) + x.mean(dim=1, keepdim=True)


def _rescale_undone(y: Tensor, x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return y * (norm / math.sqrt(x.shape[1]))


#: Each of them backwards: what was rebuilt, brought to where the row it came from was.
_UNDONE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "centre": lambda y, x: y + x.mean(dim=1, keepdim=True),
    "layer_norm": _layer_norm_undone,
    "constant_norm_rescale": _rescale_undone,
}


@dataclass(frozen=True, eq=False)
class Threshold:
    """ReLU, JumpReLU and BatchTopK in use: ``z = pre where pre > theta``, strictly; ``theta`` is ``[width]``, >= 0."""

    theta: Tensor


@dataclass(frozen=True)
class TopK:
    """``z = relu(pre)`` where pre is among the k largest of its token, else 0; of equals, those of lower index."""

    k: int


@dataclass(frozen=True)
class GroupMax:
    """``z = relu(pre)`` where pre is the largest of its group, else 0; ``k`` groups of equal size, side by side."""

    k: int


@dataclass(frozen=True, eq=False)
class Gated:
    """``z = relu(scale * pre + shift) where pre > 0``; both ``[width]``, scale above 0."""

    scale: Tensor
    shift: Tensor


Activation = Threshold | TopK | GroupMax | Gated


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
        activation: :class:`Threshold`, :class:`TopK`, :class:`GroupMax` or :class:`Gated`.
        pre_ops: names of row-wise operations of ``PRE_OPS``, in order.
        W_dec: float32 ``[width, d_in]``, or None where only the encoder was loaded.
        b_dec: float32 ``[d_in]``, likewise.
        prepend_bos: whether it was trained on texts with a BOS token before them, or None where that is not said.

    Raises:
        SAEError: shapes or types do not fit each other, a number is not finite, a threshold is negative, k is not in
            1 .. width or does not divide it into groups.

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
        match self.activation:
            case TopK(k) if not 1 <= k <= self.width:
                raise self._refusal(f"k is a whole number from 1 to the width, {self.width}", f"k = {k}")
            case GroupMax(k) if not 1 <= k <= self.width or self.width % k:
                raise self._refusal(f"k groups of equal size make up the width, {self.width}", f"k = {k}")
            case Threshold(theta) if bool((theta < 0).any()):
                raise self._refusal("thresholds are at least 0", f"a threshold of {float(theta.min()):g}")
            case Gated(scale) if not bool((scale > 0).all()):
                raise self._refusal("the scales of a gated SAE are above 0", f"a scale of {float(scale.min()):g}")
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
        chunks = [self._encode_chunk(self._prepared(chunk)) for chunk in torch.split(x, TOKENS)] if len(x) else []
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
        if isinstance(self.activation, TopK | GroupMax):
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
        match self.activation:
            case Threshold(theta):
                activation: Activation = Threshold(theta[keep])
            case Gated(scale, shift):
                activation = Gated(scale[keep], shift[keep])
        return replace(
            self,
            sha256=sha256_json({"sae": self.sha256, "features": distinct.tolist()}),
            W_enc=self.W_enc[:, keep].contiguous(),
            b_enc=self.b_enc[keep],
            activation=activation,
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
            rebuilt = _UNDONE[name](rebuilt, before.cpu())
        return latents, rebuilt

    def to(self, device: torch.device | str) -> SAE:
        """The same SAE with its tensors on a device."""
        match self.activation:
            case Threshold(theta):
                activation: Activation = Threshold(theta.to(device))
            case Gated(scale, shift):
                activation = Gated(scale.to(device), shift.to(device))
            case TopK() | GroupMax():
                activation = self.activation
        return replace(
            self,
            W_enc=self.W_enc.to(device),
            b_enc=self.b_enc.to(device),
            activation=activation,
            W_dec=None if self.W_dec is None else self.W_dec.to(device),
            b_dec=None if self.b_dec is None else self.b_dec.to(device),
        )

    def _encode_chunk(self, x: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """Number of active features of each token; all their indices; all their values."""
        if isinstance(self.activation, TopK):
            return self._encode_topk(x, self.activation.k)
        if isinstance(self.activation, GroupMax):
            return self._encode_groupmax(x, self.activation.k)
        rows, columns, values = [], [], []
        for start, pre in self._blocks(x):
            row, column, value = self._active(pre, start)
            rows.append(row)
            columns.append(column + start)
            values.append(value)
        row, column, value = np.concatenate(rows), np.concatenate(columns), np.concatenate(values)
        if len(rows) > 1:  # each block is in order of tokens, then features: bring the blocks of a token together
            order = np.argsort(row.astype(np.int16), kind="stable")
            row, column, value = row[order], column[order], value[order]
        return np.bincount(row, minlength=len(x)), column.astype(np.int32), value

    def _blocks(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Pre-activations, block of features by block, in one buffer that the next block overwrites."""
        size = min(FEATURES, self.width)
        memory = torch.empty(len(x) * size, dtype=torch.float32, device=x.device)
        for start in range(0, self.width, FEATURES):
            block = slice(start, min(start + FEATURES, self.width))
            out = memory[: len(x) * (block.stop - start)].view(len(x), block.stop - start)
            yield start, torch.addmm(self.b_enc[block], x, self.W_enc[:, block], out=out)

    def _active(self, pre: Tensor, start: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Tokens, features and values of the active entries of one block, in order of tokens, then features."""
        block = slice(start, start + pre.shape[1])
        if isinstance(self.activation, Threshold):
            return _entries(pre, pre > self.activation.theta[block])
        assert isinstance(self.activation, Gated)
        row, column, value = _entries(pre, pre > 0)
        scale, shift = self.activation.scale[block].cpu().numpy(), self.activation.shift[block].cpu().numpy()
        magnitude = scale[column] * value + shift[column]
        on = magnitude > 0
        return row[on], column[on], magnitude[on]

    def _encode_topk(self, x: Tensor, k: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """As :meth:`_encode_chunk`, keeping the k largest so far across blocks, by ascending feature."""
        values = torch.empty(len(x), 0, dtype=torch.float32, device=x.device)
        indices = torch.empty(len(x), 0, dtype=torch.int64, device=x.device)
        for start, pre in self._blocks(x):
            best, place = _largest(pre, k)
            values, indices = torch.cat([values, best], 1), torch.cat([indices, place + start], 1)
            values, place = _largest(values, k)
            indices = indices.gather(1, place)
        row, column, value = _entries(values, values > 0)
        return np.bincount(row, minlength=len(x)), indices.cpu().numpy()[row, column].astype(np.int32), value

    def _encode_groupmax(self, x: Tensor, k: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """As :meth:`_encode_chunk`, keeping the largest so far of each group across blocks; of equals, the first."""
        size = self.width // k
        values = torch.zeros(len(x), k, dtype=torch.float32, device=x.device)
        indices = torch.zeros(len(x), k, dtype=torch.int64, device=x.device)
        for start, pre in self._blocks(x):
            for group, first, part in _groups(pre, start, size):
                best, place = part.max(dim=2)
                places = place + first + size * torch.arange(part.shape[1], device=x.device)
                held = slice(group, group + part.shape[1])
                better = best > values[:, held]
                values[:, held] = torch.where(better, best, values[:, held])
                indices[:, held] = torch.where(better, places, indices[:, held])
        row, column, value = _entries(values, values > 0)
        return np.bincount(row, minlength=len(x)), indices.cpu().numpy()[row, column].astype(np.int32), value

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
        match self.activation:
            case Threshold(theta):
                parts.append(("threshold", theta, (self.width,)))
            case Gated(scale, shift):
                parts += [("scale", scale, (self.width,)), ("shift", shift, (self.width,))]
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


def _entries(pre: Tensor, mask: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Row, column and value of the marked entries, in order."""
    if pre.device.type == "cpu":  # numpy finds the few marked entries faster than torch.nonzero
        flat = np.flatnonzero(mask.numpy())
        row, column = np.divmod(flat, pre.shape[1])
        return row, column, pre.numpy().ravel()[flat]
    row_column = mask.nonzero()
    values = pre[row_column[:, 0], row_column[:, 1]].cpu().numpy()
    row, column = row_column.T.cpu().numpy()
    return row, column, values


def _rebuilt(latents: TokenLatents, W_dec: Tensor, b_dec: Tensor) -> Tensor:
    dense = latents.csr() @ W_dec.cpu().numpy() + b_dec.cpu().numpy()
    return torch.from_numpy(np.asarray(dense, np.float32))


def _groups(pre: Tensor, start: int, size: int) -> Iterator[tuple[int, int, Tensor]]:
    """A block of features, cut where groups end: number of the first group, its first feature, ``[tokens, groups,
    features]``. A group that the block cuts through comes on its own."""
    end = start + pre.shape[1]
    while start < end:
        group = start // size
        whole = (end - start) // size if start % size == 0 else 0
        stop = start + whole * size if whole else min(end, (group + 1) * size)
        yield group, start, pre[:, : stop - start].reshape(len(pre), max(whole, 1), -1)
        pre, start = pre[:, stop - start :], stop


def _largest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Each row's k largest values (all where there are fewer) and their places, ascending; of equals, the first.

    Only values above 0 are told apart so carefully: the others are never active.
    """
    k = min(k, values.shape[1])
    best, places = values.topk(k, dim=1)
    least = best[:, -1:]
    tied = ((values >= least).sum(1) > k) & (least[:, 0] > 0)
    if bool(tied.any()):  # topk may take any of the equals
        ordered, order = values[tied].sort(dim=1, descending=True, stable=True)
        best[tied], places[tied] = ordered[:, :k], order[:, :k]
    places, order = places.sort(dim=1)
    return best.gather(1, order), places
