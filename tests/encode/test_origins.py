"""Features beside those of the libraries that own the formats, where these are installed: in an environment of theirs.

``make origins`` makes it at the root of the checkout; ``LATENTPROBE_ORIGINS`` names the interpreter of another one.
"""

from __future__ import annotations

import doctest
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import latentprobe.encode.origin
from latentprobe.encode.formats import registry
from latentprobe.encode.origin import agreement
from tests.encode.checkpoints import write_saelens
from tests.encode.conformance import CASES, ORIGINS, ROOT, beside_libraries
from tests.encode.layouts.case import pt, put, safetensors
from tests.encode.test_check import TEXTS, whole
from tests.encode.test_formats_references import cached

#: The only cases that no library reads, and the only ones that one reads otherwise, for reasons the page gives.
UNREAD = {("Llama Scope", "topk"), *((case.family, case.architecture) for case in CASES if case.family == "OpenAI v5")}
UNREAD |= {(case.family, case.architecture) for case in CASES if case.family == "ViT-Prisma"}


@pytest.fixture
def interpreter() -> str:
    """Python of the environment with the libraries."""
    python = Path(os.environ.get("LATENTPROBE_ORIGINS", ROOT / ".venv-origins" / "bin" / "python"))
    if not python.is_file():
        pytest.skip("needs the libraries that own SAE formats: `make origins` installs them, or LATENTPROBE_ORIGINS")
    return str(python)


def run(interpreter: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    own = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"} | variables
    return subprocess.run([interpreter, "-m", *arguments], capture_output=True, text=True, env=own, check=False)


@pytest.mark.slow
def test_every_family_agrees_with_the_library_that_owns_it(tmp_path: Path, interpreter: str) -> None:
    done = run(interpreter, "tests.encode.origins", str(tmp_path / "origins.json"))
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads((tmp_path / "origins.json").read_text())["rows"]
    for case in CASES:
        rows = [row for row in found if (row["family"], row["architecture"], row["hook"]) == (*names(case), case.hook)]
        own = [row for row in rows if row["library"] == rows[0]["library"]]
        if names(case) in UNREAD:
            assert [row["agrees"] for row in own] == [None] and own[0]["says"]
            continue
        assert [row["dtype"] for row in own] == list(case.dtypes)
        assert all(row["agrees"] and row["active"] > 50 for row in own), own
        if case.family != "Llama Scope":
            assert all(row["values"] < 1e-6 and row["support"] == 0 and row["scale"] == 1 for row in own), own


def names(case: Any) -> tuple[str, str]:
    return case.family, case.architecture


def test_a_case_that_no_library_was_tried_on_is_said_to_be_so() -> None:
    rows = json.loads(ORIGINS.read_text(encoding="utf-8"))["rows"]
    assert beside_libraries([], CASES[0]) == "not compared yet"
    assert beside_libraries(rows, CASES[0]).endswith("(sae-lens)")


def test_an_agreement_sees_a_constant_scale_and_one_that_is_not() -> None:
    ours = np.array([[0.0, 1.0, 2.0, 4.0], [3.0, 0.0, 0.0, 1.0]])
    assert agreement(ours, 3 * ours, "x").agrees and agreement(ours, 3 * ours, "x").scale == 3
    assert not agreement(ours, ours * [1.0, 1.0, 1.0, 1.02], "x").agrees
    found = agreement(ours, ours * [1.0, 1.0, 0.0, 1.0], "x")
    assert found.support_difference == pytest.approx(1 / 5) and not found.agrees
    assert not agreement(ours, np.zeros_like(ours), "x").agrees
    assert doctest.testmod(latentprobe.encode.origin).failed == 0


@pytest.fixture
def check(tmp_path: Path, shared_models: Path, interpreter: str) -> Callable[[str], dict[str, Any]]:
    """What ``latentprobe saes check --origin`` says in that environment, with an empty cache of the hub."""
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS), encoding="utf-8")
    words = ["--model", str(shared_models / "stories260K"), "--text", str(texts), "--device", "cpu", "--origin"]

    def checked(reference: str) -> dict[str, Any]:
        done = run(
            interpreter, "latentprobe", "saes", "check", reference, *words, "--json", HF_HUB_CACHE=str(tmp_path / "hub")
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    return checked


def write_sparsify(folder: Path) -> Path:
    eye = torch.eye(64)
    put(folder, "cfg.json", {"d_in": 64, "num_latents": 128, "k": 64, "expansion_factor": 2})
    tensors = {"encoder.weight": torch.cat([eye, -eye]), "W_dec": torch.cat([eye, -eye])}
    safetensors(folder / "sae.safetensors", tensors | {"encoder.bias": torch.zeros(128), "b_dec": torch.zeros(64)})
    return folder


def write_dictionary(folder: Path) -> Path:
    eye = torch.eye(64)
    trainer = {"dict_class": "AutoEncoder", "activation_dim": 64, "dict_size": 128, "layer": 2, "lm_name": "m"}
    put(folder, "config.json", {"trainer": trainer, "buffer": {"ctx_len": 128}})
    tensors = {"encoder.weight": torch.cat([eye, -eye]), "decoder.weight": 1.1 * torch.cat([eye, -eye], 1)}
    return pt(folder / "ae.pt", tensors | {"encoder.bias": torch.zeros(128), "bias": torch.zeros(64)}).parent


@pytest.mark.slow
@pytest.mark.shared
def test_a_check_beside_the_library_says_that_it_agrees(tmp_path: Path, check: Callable[[str], dict[str, Any]]) -> None:
    in_table = registry.find("gpt2-small-res-jb/blocks.3.hook_resid_pre")
    config, tensors = whole("blocks.3.hook_resid_pre")
    write_saelens(cached(tmp_path / "hub", in_table.repository, in_table.path), config, tensors)
    references = {
        str(write_saelens(tmp_path / "saelens", *whole())): "sae-lens",
        str(write_sparsify(tmp_path / "layers.2")): "eai-sparsify",
        str(write_dictionary(tmp_path / "dictionary")): "dictionary-learning",
        in_table.reference: "sae-lens",
    }
    for reference, library in references.items():
        checked = check(reference)
        assert checked["origin"]["library"].startswith(library + " ")
        assert checked["origin"]["max_difference"] < 1e-6 and checked["origin"]["support_difference"] == 0
        assert checked["origin"]["active"] > 500 and checked["origin"]["scale"] == pytest.approx(1)
