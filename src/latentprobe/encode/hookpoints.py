"""Names of the places in a model where a hidden state is taken: a layer and a site in it.

Layers are counted from 0, and ``resid_post`` of layer L is the output of block L. A place has one name here: the
residual stream before block L > 0 is ``resid_post`` of block L - 1. Knows nothing of any model: which module belongs to
a name is written in ``families.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import get_args

from latentprobe.config import Site
from latentprobe.errors import SAEError, nearest

__all__ = ["HookPoint", "Site"]

_ENDINGS: dict[Site, str] = {
    "resid_post": "hook_resid_post",
    "resid_mid": "hook_resid_mid",
    "mlp_out": "hook_mlp_out",
    "attn_out": "hook_attn_out",
    "attn_z": "attn.hook_z",
    "resid_pre": "hook_resid_pre",
}
_SITES = {ending: site for site, ending in _ENDINGS.items()}
_EMBED = "hook_embed"

#: Sites before all blocks, whose layer is 0.
_FIRST: tuple[Site, ...] = ("resid_pre", "embed")


@dataclass(frozen=True, order=True)
class HookPoint:
    """One place in a model.

    Args:
        layer: the block, counted from 0.
        site: ``resid_post``, the output of the block; ``resid_mid``, the residual stream between its attention and its
            MLP; ``mlp_out`` and ``attn_out``, what its MLP and its attention add to that stream, behind the norm that
            some families have there; ``attn_z``, the input of the attention's output projection, heads side by side. Of
            layer 0 also ``resid_pre``, what enters the block, and ``embed``, the token embedding.

    Raises:
        SAEError: a negative layer, an unknown site, or one before all blocks with another layer than 0.

    >>> HookPoint(3, "resid_post").name
    'blocks.3.hook_resid_post'
    >>> HookPoint.parse("blocks.0.attn.hook_z")
    HookPoint(layer=0, site='attn_z')
    >>> HookPoint.parse("blocks.8.hook_resid_pre")
    HookPoint(layer=7, site='resid_post')
    """

    layer: int
    site: Site

    def __post_init__(self) -> None:
        if not isinstance(self.layer, int) or isinstance(self.layer, bool) or self.layer < 0:
            raise SAEError("a layer is a whole number from 0", got=repr(self.layer), fix="count the blocks from 0")
        if self.site not in get_args(Site):
            sites = get_args(Site)
            raise SAEError(
                f"a site is one of {', '.join(sites)}",
                got=repr(self.site),
                fix=f"use one of them{nearest(str(self.site), sites)}",
            )
        if self.site in _FIRST and self.layer != 0:
            raise SAEError(
                f"{self.site} lies before all blocks, and belongs to layer 0",
                got=f"layer {self.layer}",
                fix=f"set the layer to 0; what enters block {self.layer} is resid_post of layer {self.layer - 1}",
            )

    @property
    def name(self) -> str:
        """The name that SAE checkpoints use, such as ``blocks.3.hook_resid_post``."""
        return _EMBED if self.site == "embed" else f"blocks.{self.layer}.{_ENDINGS[self.site]}"

    @classmethod
    def parse(cls, name: str) -> HookPoint:
        """The hook point of a checkpoint's hook name.

        Raises:
            SAEError: not ``hook_embed``, nor ``blocks.L.`` and one of the names of a site.
        """
        if name == _EMBED:
            return cls(0, "embed")
        match = re.fullmatch(r"blocks\.(0|[1-9]\d{0,5})\.([a-z_.]+)", name) if isinstance(name, str) else None
        if match is None or match[2] not in _SITES:
            raise SAEError(
                f"a hook point is {_EMBED}, or blocks.L. and one of {', '.join(_SITES)}",
                got=repr(name),
                fix="use an SAE that was trained at one of these places",
            )
        layer, site = int(match[1]), _SITES[match[2]]
        return cls(layer - 1, "resid_post") if site == "resid_pre" and layer else cls(layer, site)
