"""Every SAE family beside the library that owns its format, in an environment of its own that has these libraries.

``make origins`` makes it and runs ``python -m tests.encode.origins``, which writes ``results/origins.json``;
``python -m tests.encode.conformance`` puts that onto ``docs/saes.md``. Knows nothing of numpy's second opinion.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors import safe_open

from latentprobe.encode.formats import load_sae
from latentprobe.encode.origin import READERS, Encode, agreement, imported, named, plain_encode, reading
from latentprobe.errors import LatentprobeError
from tests.encode.checkpoints import DTYPES
from tests.encode.conformance import CASES, ORIGINS, hidden_states
from tests.encode.layouts.case import Case, Tensors

LIBRARIES = ("sae-lens", "eai-sparsify", "dictionary-learning", "torch", "numpy")


@dataclass(frozen=True)
class Origin:
    """A library that reads a family."""

    package: str
    read: Callable[[Path, Path, Tensors], Encode]
    """Its encode, of the SAE at a place under a root, where a repository of the hub would be, with given tensors."""
    note: str = ""
    """What was done to make the two comparable."""
    prepare: Callable[[Tensors], Tensors] = lambda tensors: tensors


def by_folder(format: str) -> Callable[[Path, Path, Tensors], Encode]:
    """What ``latentprobe saes check --origin`` does with a folder."""
    return lambda root, place, tensors: READERS[format].encode(place)


def by_conversion(
    name: str, repository: str = "", *, factor: float | None = None, **sizes: int
) -> Callable[[Path, Path, Tensors], Encode]:
    """SAELens' own conversion of a family, with files of this machine in place of the hub's.

    Args:
        name: as its table calls it.
        repository: id of one on the hub; by default the first folder under the root.
        factor: the input scale that its table would give.
        sizes: where its code states those of the published ones.
    """

    def read(root: Path, place: Path, tensors: Tensors) -> Encode:
        library = imported("sae-lens", "sae_lens")
        loaders = imported("sae-lens", "sae_lens.loading.pretrained_sae_loaders")
        parts = place.relative_to(root).parts
        top = root if repository else root / parts[0]
        convert = loaders.NAMED_PRETRAINED_SAE_LOADERS[name]

        def resized(**words: Any) -> Any:
            return convert(**words | {"cfg_overrides": words["cfg_overrides"] | sizes})

        def load() -> Encode:
            theirs = library.SAE.from_pretrained(
                repository or f"google/{parts[0]}",
                "/".join(parts if repository else parts[1:]),
                device="cpu",
                converter=resized,
            )
            if factor is not None:
                theirs.fold_activation_norm_scaling_factor(factor)
            return plain_encode(theirs)

        with from_disk(loaders, top):
            return reading("sae-lens", load)

    return read


@contextlib.contextmanager
def from_disk(loaders: Any, top: Path) -> Iterator[None]:
    """While it is open, the files of every repository are those under a folder."""

    def path_of(repo_id: str, filename: str, subfolder: str = "", **words: Any) -> str:
        path = top / subfolder / filename
        if not path.is_file():
            raise loaders.EntryNotFoundError(str(path))
        return str(path)

    def shapes(repo_id: str, filename: str) -> dict[str, list[int]]:
        with safe_open(top / filename, framework="pt") as stream:
            return {name: stream.get_slice(name).get_shape() for name in stream.keys()}  # noqa: SIM118  no mapping

    with (
        mock.patch.object(loaders, "hf_hub_download", path_of),
        mock.patch.object(loaders, "get_safetensors_tensor_shapes", shapes),
    ):
        yield


def unit_directions(tensors: Tensors) -> Tensors:
    """Decoder directions of norm 1, as the published ones are."""
    decoder = tensors["decoder.weight"]
    return tensors | {"decoder.weight": decoder / decoder.norm(dim=0, keepdim=True)}


SIZES = {"d_in": 12, "d_sae": 40}
SCALE = math.sqrt(12) / 2.5
LLAMA = by_conversion("llama_scope", "fnlp/Llama3_1-8B-Base-LXR-8x", factor=SCALE)
LLAMA_NOTE = (
    "values are a constant times ours; directions are taken for exactly of norm 1, which they are but for the rounding "
    "of bfloat16"
)

#: Family, or family and architecture, to the libraries that read it; or why none does.
OWNERS: dict[str, tuple[Origin, ...] | str] = {
    "SAELens 6": (Origin("sae-lens", by_folder("SAELens")),),
    "SAELens 3 to 5": (Origin("sae-lens", by_folder("SAELens")),),
    "sparsify": (
        Origin("eai-sparsify", by_folder("sparsify")),
        Origin("sae-lens", by_conversion("sparsify", "EleutherAI/sae")),
    ),
    "dictionary_learning": (
        Origin("dictionary-learning", by_folder("dictionary_learning")),
        Origin("sae-lens", by_conversion("dictionary_learning_1", "canrager/lm_sae")),
    ),
    "dictionary_learning, AutoEncoder": (
        Origin("dictionary-learning", by_folder("dictionary_learning"), "with normalize_decoder=False: as stored"),
        Origin("sae-lens", by_conversion("dictionary_learning_1", "canrager/lm_sae")),
    ),
    "Gemma Scope 1": (Origin("sae-lens", by_conversion("gemma_2")),),
    "Gemma Scope 2": (Origin("sae-lens", by_conversion("gemma_3")),),
    "Llama Scope": (Origin("sae-lens", LLAMA, LLAMA_NOTE, unit_directions),),
    "Llama Scope, topk": "SAELens reads none without a threshold; OpenMOSS's own library is not on PyPI",
    "Llama Scope R1": (
        Origin("sae-lens", by_conversion("llama_scope_r1_distill", "fnlp/Llama-Scope-R1-Distill", factor=SCALE)),
    ),
    "Qwen-Scope": (Origin("sae-lens", by_conversion("qwen_scope", d_in=12, d_sae=1024)),),
    "Goodfire": (Origin("sae-lens", by_conversion("goodfire", "Goodfire/Llama-3.1-8B-Instruct-SAE-l19", **SIZES)),),
    "DeepSeek-R1 qresearch": (
        Origin("sae-lens", by_conversion("deepseek_r1", "qresearch/DeepSeek-R1-Distill-Llama-8B-SAE-l19", **SIZES)),
    ),
    "OpenAI v5": "OpenAI's sparse_autoencoder is not on PyPI, and SAELens does not read these files",
    "ViT-Prisma": "vit-prisma 0.1.4, the version on PyPI, holds no SAEs, and SAELens does not read these files",
}


def owners(case: Case) -> tuple[Origin, ...] | str:
    """Who reads a case, or why nobody does."""
    return OWNERS.get(f"{case.family}, {case.architecture}", OWNERS.get(case.family, "no library was looked for"))


def compared(case: Case, dtype: str, origin: Origin, folder: Path) -> dict[str, Any]:
    """One case in one type beside one library: plain values."""
    row: dict[str, Any] = {
        "family": case.family,
        "architecture": case.architecture,
        "hook": case.hook,
        "dtype": dtype,
        "library": origin.package,
    }
    tensors = {name: tensor.to(DTYPES[dtype]) for name, tensor in origin.prepare(case.tensors()).items()}
    place = case.write(folder, tensors)
    sae = load_sae(str(place))
    x = hidden_states(sae.d_in)
    try:
        encode = origin.read(folder, place, tensors)
        with torch.no_grad():
            theirs = encode(x).float().numpy()
    except LatentprobeError as refused:
        return row | {"agrees": None, "says": f"does not read it: {refused.got[:100]}…"}
    found = agreement(sae.encode(x).csr().toarray(), theirs, origin.package)
    return row | {
        "agrees": found.agrees,
        "values": found.max_difference,
        "support": found.support_difference,
        "active": found.active,
        "scale": round(found.scale, 6),
    }


def rows() -> Iterator[dict[str, Any]]:
    """Every case beside every library that reads its family, or with the reason why none does."""
    for case in CASES:
        known = owners(case)
        if isinstance(known, str):
            yield {
                "family": case.family,
                "architecture": case.architecture,
                "hook": case.hook,
                "dtype": None,
                "library": None,
                "agrees": None,
                "says": known,
            }
            continue
        for origin in known:
            for dtype in case.dtypes:
                with tempfile.TemporaryDirectory() as folder:
                    row = compared(case, dtype, origin, Path(folder))
                yield row | ({"note": origin.note} if origin.note else {})


def main(path: Path) -> None:
    """Compare all and write what came out."""
    for library in READERS.values():  # what is not installed is no finding about a family
        imported(library.package, library.module)
    found = list(rows())
    result = {
        "made": datetime.now(UTC).date().isoformat(),
        "libraries": {name: named(name).split()[-1] for name in LIBRARIES},
        "rows": found,
    }
    lines = ",\n".join("  " + json.dumps(row) for row in result.pop("rows"))
    head = json.dumps(result)[:-1]
    path.write_text(f'{head}, "rows": [\n{lines}\n]}}\n', encoding="utf-8")
    for row in found:
        sys.stdout.write(" ".join(str(value) for value in row.values()) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ORIGINS)
