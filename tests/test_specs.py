"""The specs that come with the project: the small ones that run here, and the grid of the paper."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from latentprobe.config import DataSpec, read_behaviour_spec, read_spec, read_transfer_spec
from latentprobe.encode.formats import describe
from latentprobe.experiment import estimates, plan

ROOT = Path(__file__).parent.parent
PAPER = sorted((ROOT / "specs" / "paper").glob("*.yaml"))
#: Those that read what scripts write into runs/ first: questions, answers and SAEs of the model that was asked.
MADE = sorted((ROOT / "specs" / "behaviour").glob("cloze*.yaml"))
#: Those whose data and models are bundled or shared.
HERE = [path for path in sorted((ROOT / "specs").rglob("*.yaml")) if "paper" not in path.parts and path not in MADE]
#: Specs of `transfer` in the folder of `behaviour`.
CROSSED = ("pubmedqa_models", "cloze_models", "cloze_models_without", "matching")


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


def read(path: Path) -> Any:
    """A spec, read as the verb that takes it does."""
    if path.parent.name == "transfer" or path.stem in CROSSED:
        return read_transfer_spec(path)
    ran = path.parent.name != "behaviour" or path.stem == "pubmedqa_answers"
    return read_spec(path) if ran else read_behaviour_spec(path)


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.stem)
def test_a_spec_of_what_scripts_write_can_be_read(path: Path) -> None:
    assert read(path).name == path.stem


@pytest.mark.disable_socket
@pytest.mark.parametrize("path", sorted((ROOT / "specs" / "paper").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_spec_of_the_grid_is_planned_without_a_network_and_without_anything_here(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    planned = plan(read(path), tmp_path / "store")
    assert planned["rows"] == 1000 * len(planned.get("domains", "1")) and planned["passes"]
    assert planned["references"] and all(one["download"] for one in planned["references"])
    # The SAEs that are asked of PaliGemma 2 are those of Gemma 2: no SAE that is known is of that model.
    assert all(one["known"] or "paligemma" in one["reference"] for one in planned["references"])
    assert "not on this machine" in planned["notes"][0]
    pictures = any("images of" in note for note in planned["notes"])
    assert (planned["estimates"]["tokens"]["value"] is None) == pictures
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.disable_socket
@pytest.mark.parametrize("path", HERE, ids=lambda path: str(path.relative_to(ROOT / "specs")))
def test_every_spec_that_runs_here_is_planned_with_what_is_here(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path, shared_models: Path
) -> None:
    monkeypatch.setattr(estimates, "SECONDS", 0)  # one sample is enough
    spec = without_near_copies(read(path))
    if "runs" in Path(getattr(spec.data, "path", "")).parts:  # the table that `latentprobe behaviour` writes
        spec = spec.model_copy(update={"data": spec.data.model_copy(update={"path": str(answers(tmp_path))})})
    planned = plan(spec, tmp_path / "store")
    assert planned["passes"] and all(one["here"] for one in planned["references"])
    assert None not in [estimate["value"] for estimate in planned["estimates"].values()]
    assert not (tmp_path / "store").exists()


def without_near_copies(spec: Any) -> Any:
    """The same, which is read in less time."""
    changed = {}
    for key in ("data", "domains"):
        part = getattr(spec, key, None)
        if isinstance(part, dict):
            changed[key] = {name: one.model_copy(update={"near_duplicates": None}) for name, one in part.items()}
        elif isinstance(part, DataSpec):
            changed[key] = part.model_copy(update={"near_duplicates": None})
    return spec.model_copy(update=changed)


def answers(folder: Path) -> Path:
    """A table as `latentprobe behaviour` writes it."""
    rows = [[f"{row}", f"is it {row}?", *(str(row % k == 0).lower() for k in (2, 3))] for row in range(40)]
    lines = [["id", "prompt", "answered_right", "without_answered_right"], *rows]
    path = folder / "answers.csv"
    path.write_text("".join(",".join(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_the_grid_is_what_its_script_writes() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "paper_specs.py", "--check"], stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, done.stderr
