"""From the module whose output an SAE was trained on, as libraries that hook modules name it, to a hook point.

Knows names only: nothing of a model's code.
"""

from __future__ import annotations

import re

from latentprobe.encode.formats.place import Place
from latentprobe.encode.hookpoints import HookPoint

__all__ = ["hook_of_module", "prove_added"]

_BLOCK = re.compile(r"(?:[a-z_]+\.)*(?:layers|layer|h|blocks)[._](?P<layer>0|[1-9]\d{0,3})(?P<mlp>\.mlp)?")
#: Not of ``layer``, as BERT and its kin have it: there the attention's module adds the stream and normalizes. Nor
#: ``self_attention``, in which Bloom adds the stream.
_ATTENTION = re.compile(r"(?:[a-z_]+\.)*(?:layers|h)[._](?P<layer>0|[1-9]\d{0,3})\.(?:attn|attention|self_attn)")
_EMBEDDING = re.compile(r"(?:[a-z_]+\.)*(?:embed_in|embed_tokens|wte)")

#: Models that normalize what their MLP or attention gives before they add it: there the module's output is neither
#: ``mlp_out`` nor ``attn_out``.
_SANDWICHED = re.compile(r"gemma-?[23]|olmo-?[23]", re.IGNORECASE)
#: Models whose embedding is multiplied, inside its module or behind it, as the version of transformers has it.
_SCALED = re.compile("gemma", re.IGNORECASE)


def hook_of_module(place: Place, name: str, model: str | None) -> HookPoint | None:
    """The hook point whose states are the output of a module; None where there is none that is read.

    Args:
        place: of the SAE, for messages.
        name: path of the module, such as ``layers.3.mlp``.
        model: what the SAE says it was trained on.

    Raises:
        SAEError: in this model, or in one that it may be, the module's output is not what the name says.
    """
    if match := _BLOCK.fullmatch(name):
        if match["mlp"]:
            prove_added(place, name, model)
        return HookPoint(int(match["layer"]), "mlp_out" if match["mlp"] else "resid_post")
    if match := _ATTENTION.fullmatch(name):
        _prove_named(place, name, model)
        prove_added(place, name, model)
        return HookPoint(int(match["layer"]), "attn_out")
    if _EMBEDDING.fullmatch(name):
        _prove_named(place, name, model)
        if _SCALED.search(model or ""):
            raise place.refusal(
                "the output of an embedding's module is what enters the first block",
                got=f"{name} of {model}, which multiplies it by sqrt(d_model) in some versions of transformers only",
                fix="use an SAE of the block: layers.L",
            )
        return HookPoint(0, "embed")
    return None


def prove_added(place: Place, name: str, model: str | None) -> None:
    """Refuse a part of a block whose output is normalized before it is added to the residual stream."""
    if model is not None and _SANDWICHED.search(model):
        raise place.refusal(
            "what a part of a block adds to the residual stream is the output of its module",
            got=f"{name} of {model}, which normalizes it first",
            fix="use an SAE of the block: layers.L",
        )


def _prove_named(place: Place, name: str, model: str | None) -> None:
    """Refuse a module that means another place in another model, where the model is not named."""
    if model is None:
        raise place.refusal(
            f"the model is named, which tells what {name} gives",
            got="none",
            fix="keep the config of the SAE's repository beside its folders: it names the model",
        )
