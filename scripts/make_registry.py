"""Make the snapshot of SAELens' published table that comes with the package: facts only, no weights.

    pip download sae-lens --no-deps --dest WHEELS
    python scripts/make_registry.py WHEELS/sae_lens-*.whl

Writes ``src/latentprobe/assets/registry/sae-lens.json.gz``. Where a release names another model than the repository
its SAEs come from, the repository is right. Prints what went in.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import zipfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

OUT = Path(__file__).resolve().parents[1] / "src" / "latentprobe" / "assets" / "registry" / "sae-lens.json.gz"
TABLE = "sae_lens/pretrained_saes.yaml"

_GEMMA_WIDTHS = {
    "4k": 2**12, "16k": 2**14, "32k": 2**15, "65k": 2**16, "131k": 2**17, "262k": 2**18, "524k": 2**19, "1m": 2**20,
}  # fmt: skip
_GEMMA_SITES = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}
_GEMMA_2_SITES = {"resid_post": "hook_resid_post", "mlp_out": "hook_mlp_out", "attn_out": "attn.hook_z"}
_LLAMA_SITES = {"R": "hook_resid_post", "M": "hook_mlp_out", "A": "hook_attn_out"}


def main() -> None:
    """Read a wheel of sae-lens and write the snapshot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    wheel = parser.parse_args().wheel
    with zipfile.ZipFile(wheel) as archive:
        table = yaml.safe_load(archive.read(TABLE))
    releases = [release(name, values) for name, values in sorted(table.items())]
    snapshot = {
        "source": "sae-lens " + wheel.name.split("-")[1],
        "made": datetime.now(UTC).date().isoformat(),
        "columns": ["id", "path", "hook", "width", "l0", "explained_variance", "neuronpedia", "norm_scaling_factor"],
        "releases": releases,
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps(snapshot, separators=(",", ":"), ensure_ascii=False).encode()
    OUT.write_bytes(gzip.compress(content, mtime=0))  # the same table gives the same bytes on the same day
    counts = Counter({each["family"]: 0 for each in releases})
    for each in releases:
        counts[each["family"]] += len(each["saes"])
    total = sum(counts.values())
    sys.stdout.write(f"{len(releases)} releases, {total} SAEs, {OUT.stat().st_size} bytes: {dict(counts)}\n")


def release(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """One release, with what SAELens changes in the configs of its SAEs."""
    family = values.get("conversion_func") or "sae_lens"
    overrides = values.get("config_overrides") or {}
    centred = (overrides.get("model_from_pretrained_kwargs") or {}).get("center_writing_weights", False)
    repository, model = values["repo_id"], values["model"]
    if family == "gemma_2":
        model = "gemma-2-" + "-".join(repository.split("-")[2:4]).replace("-pt", "")
    rows = [row(family, repository, str(name), each) for each in values["saes"]]
    found = {"release": name, "repository": repository, "model": model, "family": family, "saes": rows}
    if centred:
        found["centred"] = True
    if overrides.get("normalize_activations"):
        found["normalization"] = overrides["normalize_activations"]
    return found


def row(family: str, repository: str, name: str, each: dict[str, Any]) -> list[Any]:
    """One SAE in the order of the columns; a path that equals the id is left out, and so are nulls at the end."""
    path = str(each["path"])
    hook, width = HOOKS.get(family, _native)(path, repository, name, str(each["id"]))
    facts = [
        each["id"],
        None if path == each["id"] else path,
        hook,
        width,
        each.get("l0", _stated_l0(path)),
        each.get("variance_explained"),
        each.get("neuronpedia"),
        each.get("norm_scaling_factor"),
    ]
    while facts[-1] is None:
        facts.pop()
    return facts


def _stated_l0(path: str) -> int | None:
    """The mean number of active features that Gemma Scope's folders are named after."""
    match = re.search(r"average_l0_(\d+)$", path)
    return int(match[1]) if match else None


def _gemma_2(path: str, repository: str, name: str, sae: str) -> tuple[str | None, int | None]:
    width = _GEMMA_WIDTHS[path.split("/")[1].removeprefix("width_")]
    if path.startswith("embedding"):
        return "hook_embed", width
    return f"blocks.{_number('layer_', path)}.{_GEMMA_SITES[repository.rsplit('-', 1)[-1]]}", width


def _gemma_3(path: str, repository: str, name: str, sae: str) -> tuple[str | None, int | None]:
    site = _GEMMA_2_SITES.get(path.split("/")[0].removesuffix("_all"), "hook_mlp_in")
    return f"blocks.{_number('layer_', path)}.{site}", _GEMMA_WIDTHS[path.split("width_")[1].split("_")[0]]


def _llama_scope(path: str, repository: str, name: str, sae: str) -> tuple[str | None, int | None]:
    match = re.fullmatch(r"Llama3_1-8B-Base-L(\d+)([RMA])-(\d+)x", path)
    assert match is not None, path
    return f"blocks.{match[1]}.{_LLAMA_SITES[match[2]]}", 4096 * int(match[3])


def _llama_scope_r1(path: str, repository: str, name: str, sae: str) -> tuple[str | None, int | None]:
    return f"blocks.{_number('/L', path)}.hook_resid_post", None


def _dictionary_learning(path: str, repository: str, name: str, sae: str) -> tuple[str | None, int | None]:
    width = re.search(r"width-2pow(\d+)", name)
    return f"blocks.{_number('resid_post_layer_', path)}.hook_resid_post", 2 ** int(width[1]) if width else None


def _qwen_scope(path: str, repository: str, name: str, sae: str) -> tuple[str | None, int | None]:
    return f"blocks.{_number('layer', path)}.hook_resid_post", 1024 * _number("-W", repository)


def _single(path: str, repository: str, name: str, sae: str) -> tuple[str | None, int | None]:
    return f"blocks.{_number('-SAE-l', path)}.hook_resid_post", 65536


def _hook_z(path: str, repository: str, name: str, sae: str) -> tuple[str | None, int | None]:
    return f"blocks.{_number('_L', path)}.attn.hook_z", _number("_ds", path)


def _transcoder(path: str, repository: str, name: str, sae: str) -> tuple[str | None, int | None]:
    return f"blocks.{_number('', path)}.hook_mlp_in", None


def _native(path: str, repository: str, name: str, sae: str) -> tuple[str | None, int | None]:
    """SAELens' own: the id is the hook's name, at times with the width behind it."""
    match = re.fullmatch(r"(blocks\.\d+\.[a-z_.]+?)(?:_(\d+))?", sae)
    width = match[2] or (re.search(r"_(\d{4,6})(?:_anthropic.*|:v\d+)?$", path) or [None, None])[1] if match else None
    return (match[1] if match else None), int(width) if width else None


HOOKS = {
    "gemma_2": _gemma_2,
    "gemma_3": _gemma_3,
    "llama_scope": _llama_scope,
    "llama_scope_r1_distill": _llama_scope_r1,
    "dictionary_learning_1": _dictionary_learning,
    "qwen_scope": _qwen_scope,
    "goodfire": _single,
    "deepseek_r1": _single,
    "connor_rob_hook_z": _hook_z,
    "gemma_2_transcoder": _transcoder,
    "mwhanna_transcoder": _transcoder,
    "mntss_clt_layer_transcoder": _transcoder,
}


def _number(before: str, text: str) -> int:
    """The first number behind a word."""
    match = re.search(re.escape(before) + r"(\d+)", text)
    assert match is not None, f"no number behind {before!r} in {text}"
    return int(match[1])


if __name__ == "__main__":
    main()
