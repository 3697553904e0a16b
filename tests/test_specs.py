"""The specs that come with the project: the small ones that run here, and the grid of the paper."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from latentprobe.config import read_behaviour_spec, read_spec, read_transfer_spec
from latentprobe.encode.formats import describe

ROOT = Path(__file__).parent.parent
PAPER = sorted((ROOT / "specs" / "paper").glob("*.yaml"))


@pytest.mark.parametrize("path", sorted((ROOT / "specs").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_spec_is_one_that_can_run(path: Path) -> None:
    assert read_spec(path).name == path.stem


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_every_sae_of_the_grid_is_known_and_belongs_to_its_model_and_layer(path: Path) -> None:
    for backbone in read_spec(path).backbones:
        for reference in backbone.saes:
            facts = describe(reference)
            assert facts["refused"] is None
            assert facts["layer"] in backbone.layers
            # The paper's code gave the tuned model the SAEs of the pretrained one: mistake 2.
            assert facts["model"] == backbone.model or "paligemma2-3b" in backbone.model


def test_every_spec_that_comes_along_can_be_read_by_its_verb() -> None:
    ran = {"pubmedqa_answers"}
    crossed = {"pubmedqa_models", "cloze_models", "cloze_models_without", "matching"}
    for path in sorted((ROOT / "specs").rglob("*/transfer/*.yaml")) + sorted((ROOT / "specs/transfer").glob("*.yaml")):
        assert read_transfer_spec(path).name
    for path in sorted((ROOT / "specs").rglob("behaviour/*.yaml")):
        read = read_spec if path.stem in ran else read_transfer_spec if path.stem in crossed else read_behaviour_spec
        assert read(path).name


def test_the_grid_is_what_its_script_writes() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "paper_specs.py", "--check"], stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, done.stderr
