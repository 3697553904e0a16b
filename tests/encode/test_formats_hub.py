"""Every family from the cache of the Hugging Face hub: the same SAE as from a folder, and only the files it needs."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub
import huggingface_hub.constants
import pytest

from latentprobe.encode.formats import describe, load_sae
from tests.encode.conformance import CASES
from tests.encode.layouts.case import Case
from tests.encode.test_formats_references import cached

#: One case a family; whose first folder is the repository itself, where its name counts.
FAMILIES = {case.family: case for case in reversed(CASES)}
NAMED = ("Gemma Scope 1", "Gemma Scope 2", "Qwen-Scope", "Llama Scope R1")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An offline cache, and the files that are asked of it."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    found: list[str] = []
    plain = huggingface_hub.hf_hub_download

    def counted(**words):
        path = plain(**words)
        found.append(words["filename"])
        return path

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", counted)
    return found


@pytest.mark.parametrize("case", FAMILIES.values(), ids=FAMILIES)
def test_a_family_is_read_from_the_cache_as_from_a_folder(tmp_path: Path, asked: list[str], case: Case) -> None:
    made = tmp_path / "made"
    place = case.write(made, case.tensors())
    local = load_sae(str(place))
    parts = place.relative_to(made).parts
    repository = f"someone/{parts[0]}" if case.family in NAMED else "someone/saes"
    inside = "/".join(parts[1:] if case.family in NAMED else parts)
    source = made / parts[0] if case.family in NAMED else made
    shutil.copytree(source, cached(tmp_path / "hub", repository, ""))
    shutil.rmtree(made)
    reference = f"hf:{repository}/{inside}".rstrip("/")
    sae = load_sae(reference)
    assert (sae.sha256, sae.hook, sae.model, sae.pre_ops) == (local.sha256, local.hook, local.model, local.pre_ops)
    assert len(asked) == len(set(asked)) <= 3
    assert describe(reference)["hook"] == sae.hook.name
