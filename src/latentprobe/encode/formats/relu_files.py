"""Single files of a ReLU SAE: Goodfire's for Llama, and qresearch's for DeepSeek-R1-Distill.

Model and layer stand in the file's name, which must be the published one; encoders do not subtract ``b_dec``. Knows
nothing of where the file came from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from latentprobe.encode.formats.place import Facts, Place
from latentprobe.encode.hookpoints import HookPoint

if TYPE_CHECKING:  # torch is imported when weights are read, not when facts are
    from latentprobe.encode.sae import SAE

__all__ = ["DEEPSEEK_R1", "GOODFIRE", "Family"]


@dataclass(frozen=True)
class Family:
    """Files of one publisher.

    Args:
        path: what their paths look like, with the groups ``model`` and ``layer``.
        organisation: of the models.
        names: what the tensors' names start with: encoder and decoder.
        sizes: input size and width of each model, for facts without weights.
    """

    path: re.Pattern[str]
    organisation: str
    names: tuple[str, str]
    sizes: dict[str, tuple[int, int]]

    def facts(self, place: Place) -> Facts:
        """What the file's name says of the SAE; its sizes come from the weights where they are there.

        Raises:
            SAEError: the name is not a published one.
        """
        from latentprobe.encode.formats.tensors import open_pt

        match = self.path.fullmatch(place.origin)
        if match is None:
            raise place.refusal("the file's name tells model and layer", got=place.origin, fix="keep its name")
        if place.has(place.named) or match["model"] not in self.sizes:
            width, d_in = open_pt(place, place.named)[0].matrix(f"{self.names[0]}.weight")
        else:
            d_in, width = self.sizes[match["model"]]
        hook = HookPoint(int(match["layer"]), "resid_post")
        return Facts("standard", d_in, width, hook, f"{self.organisation}/{match['model']}")

    def load(self, place: Place, *, decoder: bool) -> SAE:
        """The SAE of a file.

        Raises:
            SAEError: as :meth:`facts`, or the weights are damaged, hold code, or do not fit each other.
        """
        import torch

        from latentprobe.encode.activations import Threshold
        from latentprobe.encode.formats.tensors import open_pt
        from latentprobe.encode.sae import SAE

        known = self.facts(place)
        tensors, _ = open_pt(place, place.named)
        (enc, dec), d_in, width = self.names, known.d_in, known.width
        tensors.prove(
            {
                f"{enc}.weight": (width, d_in),
                f"{enc}.bias": (width,),
                f"{dec}.weight": (d_in, width),
                f"{dec}.bias": (d_in,),
            }
        )
        return SAE(
            reference=place.reference,
            sha256=place.sha256([place.named]),
            hook=known.hook,
            model=known.model,
            W_enc=tensors.read(f"{enc}.weight").T,
            b_enc=tensors.read(f"{enc}.bias"),
            activation=Threshold(torch.zeros(width)),
            W_dec=tensors.read(f"{dec}.weight").T if decoder else None,
            b_dec=tensors.read(f"{dec}.bias") if decoder else None,
        )


GOODFIRE = Family(
    path=re.compile(r"(?:.*/)?(?P<model>Llama-3\.\d-\d+B-Instruct)-SAE-l(?P<layer>0|[1-9]\d?)\.pth?"),
    organisation="meta-llama",
    names=("encoder_linear", "decoder_linear"),
    sizes={"Llama-3.1-8B-Instruct": (4096, 65536), "Llama-3.3-70B-Instruct": (8192, 65536)},
)
DEEPSEEK_R1 = Family(
    path=re.compile(r"(?:.*/)?(?P<model>DeepSeek-R1-Distill-Llama-8B)-SAE-l(?P<layer>0|[1-9]\d?)\.pt"),
    organisation="deepseek-ai",
    names=("encoder", "decoder"),
    sizes={"DeepSeek-R1-Distill-Llama-8B": (4096, 65536)},
)
