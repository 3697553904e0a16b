"""What a causal model predicts when the hidden states of one place are replaced by what an SAE rebuilds of them.

Special tokens keep their states: SAEs are mostly not trained on them. Knows nothing of files and of pooling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from latentprobe.encode.backbone import Backbone
from latentprobe.encode.families import find_blocks, find_tap
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.loading import loading_from
from latentprobe.encode.model_files import ModelFiles
from latentprobe.encode.sae import SAE
from latentprobe.encode.taps import first_argument, with_first_argument
from latentprobe.errors import CorpusError

__all__ = ["CrossEntropy", "cross_entropy", "is_causal", "without_features"]

#: Windows of text that are run three times each.
WINDOWS = 64


@dataclass(frozen=True)
class CrossEntropy:
    """Nats a predicted token, on average."""

    clean: float
    spliced: float
    """With what the SAE rebuilds."""
    ablated: float
    """With zeros."""
    recovered: float
    """(ablated - spliced) / (ablated - clean): 1 where nothing is lost, 0 where all is."""


def is_causal(files: ModelFiles) -> bool:
    """Whether a model predicts next tokens."""
    names = files.config.get("architectures") or []
    return any(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in names)


@torch.inference_mode()
def cross_entropy(sae: SAE, backbone: Backbone, texts: Sequence[str]) -> CrossEntropy:
    """Cross-entropy of a causal model on some texts, clean, spliced and ablated at the SAE's hook point.

    Args:
        sae: with its decoder, on the device of the backbone.
        backbone: of the same model; it tokenizes and selects.
        texts: of which the first windows are used.

    Raises:
        CorpusError: no window has two tokens.
    """
    windows = [
        (ids, mask)
        for row in backbone.tokenize(texts)
        for ids, mask in zip(row.windows, row.selected, strict=True)
        if len(ids) > 1 and mask.any()
    ][:WINDOWS]
    if not windows:
        raise CorpusError("texts of two tokens and more were expected", got="none", fix="give some ordinary text")
    model = _load(backbone)
    replaced: list[Callable[[Tensor], Tensor] | None] = [None, lambda x: _rebuilt(sae, x), torch.zeros_like]
    totals = [0.0, 0.0, 0.0]
    predicted = 0
    for ids, mask in windows:
        row = torch.from_numpy(ids)[None].to(backbone.device)
        selected = torch.from_numpy(mask).to(backbone.device)
        for number, replace in enumerate(replaced):
            with _replaced(model.base_model, sae.hook, selected, replace):
                logits = model(input_ids=row, use_cache=False).logits
            totals[number] += float(nn.functional.cross_entropy(logits[0, :-1].float(), row[0, 1:], reduction="sum"))
        predicted += len(ids) - 1
    clean, spliced, ablated = (total / predicted for total in totals)
    lost = ablated - clean
    return CrossEntropy(clean, spliced, ablated, (ablated - spliced) / lost if lost > 0 else float(spliced <= clean))


@contextmanager
def without_features(model: nn.Module, sae: SAE, features: Sequence[int]) -> Iterator[None]:
    """While it is open, some features are taken out of what a model reads at the SAE's hook point.

    The states of all positions but the first (where BOS stands, and attention sinks) lose what the decoder rebuilds of
    these features. All else, also what the SAE does not rebuild, stays: with no features nothing changes.

    Args:
        model: a base model, without its head.
        sae: with its decoder, on the model's device, and without row-wise operations before its encoder.
        features: their numbers.
    """
    assert sae.W_dec is not None and not sae.pre_ops, "what one feature rebuilds is its value times its direction"
    numbers = list(features)
    directions = sae.W_dec[numbers].float()

    def lose(x: Tensor) -> Tensor:
        values = torch.from_numpy(sae.encode(x).csr()[:, numbers].toarray()).to(directions.device)
        return x - (values @ directions).to(x.device, x.dtype)

    with _replaced(model, sae.hook, None, lose):
        yield


def _load(backbone: Backbone) -> Any:
    """The whole model, with the head that the backbone leaves out."""
    dtype = getattr(torch, backbone.spec.dtype)
    folder = backbone.files.folder
    with loading_from(backbone.files):
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True)
    return model.eval().to(backbone.device)


def _rebuilt(sae: SAE, x: Tensor) -> Tensor:
    return sae.reconstruct(x)[1].to(x.device, x.dtype)


@contextmanager
def _replaced(
    model: nn.Module, hook: HookPoint, selected: Tensor | None, replace: Callable[[Tensor], Tensor] | None
) -> Iterator[None]:
    """While it is open, the states of the selected tokens at a hook point of a base model are replaced; where None are
    named, those of all positions but the first."""
    if replace is None:
        yield
        return
    between = hook.site == "resid_mid"
    tap = find_tap(model, HookPoint(hook.layer, "attn_out") if between else hook)
    entered: list[Tensor] = []  # the stream before the block, where what its attention adds is replaced

    def changed(states: Tensor) -> Tensor:
        states = states.clone(memory_format=torch.contiguous_format)
        chosen = _behind_the_first(states) if selected is None else selected
        rows = states.view(len(chosen), -1)  # OPT runs its MLP on windows laid end to end
        if between:  # the MLP reads the stream and is added to it: it is changed once, for both
            before = entered.pop().reshape(rows.shape)[chosen]
            rows[chosen] = replace(before + rows[chosen]) - before
        else:
            rows[chosen] = replace(rows[chosen])
        return states

    def on_block(module: nn.Module, args: Any, kwargs: Any) -> None:
        entered.append(first_argument(args, kwargs))

    def on_input(module: nn.Module, args: Any, kwargs: Any) -> Any:
        return with_first_argument(changed(first_argument(args, kwargs)), args, kwargs)

    def on_output(module: nn.Module, args: Any, output: Any) -> Any:
        return (changed(output[0]), *output[1:]) if isinstance(output, tuple) else changed(output)

    handles = [
        tap.module.register_forward_pre_hook(on_input, with_kwargs=True)
        if tap.at_input
        else tap.module.register_forward_hook(on_output)
    ]
    if between:
        block = find_blocks(model, str(model.config.model_type))[hook.layer]  # type: ignore[union-attr]
        handles.append(block.register_forward_pre_hook(on_block, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _behind_the_first(states: Tensor) -> Tensor:
    """Which rows of states ``[batch, positions, d]`` laid end to end are not at the first position."""
    batch, positions = states.shape[:2]
    return (torch.arange(batch * positions) % positions > 0).to(states.device)
