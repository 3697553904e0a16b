"""Names of the places in a model where a hidden state is taken: a layer and a site in it.

Layers are counted from 0, and ``resid_post`` of layer L is the output of block L. Knows nothing of any model: which
module belongs to a name is written in ``families.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from latentprobe.errors import SAEError, nearest

__all__ = ["ENDINGS", "HookPoint", "Site"]

Site = Literal["resid_post", "mlp_out", "attn_z"]

_NAMES: dict[str, Site] = {"hook_resid_post": "resid_post", "hook_mlp_out": "mlp_out", "attn.hook_z": "attn_z"}
_ENDINGS: dict[str, str] = {site: ending for ending, site in _NAMES.items()}

#: What the names of hook points end in, behind the block.
ENDINGS = frozenset(_NAMES)


@dataclass(frozen=True, order=True)
class HookPoint:
    """One place in a model.

    Args:
        layer: the block, counted from 0.
        site: ``resid_post``, the output of the block; ``mlp_out``, what its MLP adds; or ``attn_z``, the input of the
            attention's output projection, heads side by side.

    Raises:
        SAEError: a negative layer or an unknown site.

    >>> HookPoint(3, "resid_post").name
    'blocks.3.hook_resid_post'
    >>> HookPoint.parse("blocks.0.attn.hook_z")
    HookPoint(layer=0, site='attn_z')
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

    @property
    def name(self) -> str:
        """The name that SAE checkpoints use, such as ``blocks.3.hook_resid_post``."""
        return f"blocks.{self.layer}.{_ENDINGS[self.site]}"

    @classmethod
    def parse(cls, name: str) -> HookPoint:
        """The hook point of a checkpoint's hook name.

        Raises:
            SAEError: not one of ``blocks.L.hook_resid_post``, ``blocks.L.hook_mlp_out`` and ``blocks.L.attn.hook_z``.
        """
        match = re.fullmatch(r"blocks\.(0|[1-9]\d{0,5})\.([a-z_.]+)", name) if isinstance(name, str) else None
        if match is None or match[2] not in _NAMES:
            raise SAEError(
                "a hook point is blocks.L.hook_resid_post, blocks.L.hook_mlp_out or blocks.L.attn.hook_z",
                got=repr(name),
                fix="use an SAE that was trained at one of these places",
            )
        return cls(int(match[1]), _NAMES[match[2]])
