"""A plan fetches and writes nothing, and what it says is what the run then does."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from latentprobe.cli.main import app
from latentprobe.config import ExperimentSpec, parse_spec
from latentprobe.encode.extract import shared_reader
from latentprobe.encode.formats import describe
from latentprobe.encode.known import Known
from latentprobe.errors import CorpusError, ModelError, SAEError, SpecError
from latentprobe.experiment import passes, plan, run_experiment
from latentprobe.experiment.environment import Silent
from latentprobe.experiment.features import make_plan
from latentprobe.experiment.representations import representations
from tests.cli.small_world import messages, write_csv, write_spec
from tests.encode.tiny_images import save_pictures
from tests.experiment.test_image_experiment import spec_for

pytestmark = pytest.mark.disable_socket

Spec = Callable[..., ExperimentSpec]
CANONICAL = "gemma-scope:2b-pt-res/layer_12/width_16k/canonical"
GEMMA = {"model": "google/gemma-2-2b", "layers": [12], "saes": [CANONICAL]}
MINILM = {"layers": [1, 3], "saes": ["bundled:minilm-l1-4k", "bundled:minilm-l3-1k"]}


ROWS = 140


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("rows") / "messages.csv", messages(ROWS))


@pytest.fixture
def spec(rows: Path) -> Spec:
    return partial(spec_of, rows)


def spec_of(rows: Path, *backbones: dict[str, Any], **changes: Any) -> ExperimentSpec:
    data = {"path": str(rows), "text": "text", "label": "hostile", "id": "id"}
    return parse_spec({"name": "planned", "data": data, "backbones": list(backbones), **changes})


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has fetched before is not there."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def references(planned: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["reference"]: one for one in planned["references"]}


def values(planned: dict[str, Any]) -> dict[str, Any]:
    return {name: estimate["value"] for name, estimate in planned["estimates"].items()}


def test_a_plan_of_what_is_here_is_what_extraction_then_does(spec: Spec, tmp_path: Path) -> None:
    small = spec(MINILM)
    said = plan(small, tmp_path / "store")
    assert not (tmp_path / "store").exists()
    made = make_plan(small, tmp_path / "store")
    assert said["sources"] == said["sources_to_extract"] == len(made.all_sources) == 4
    assert said["rows_through_a_model"] == made.extract(Silent()) == ROWS
    backbone = shared_reader(small.backbones[0], images=False)
    assert values(said)["tokens"] == sum(len(w) for read in backbone.tokenize(made.corpus.rows) for w in read.windows)
    stored = sum(path.stat().st_size for path in (tmp_path / "store").rglob("*.parquet"))
    assert stored / 2 < values(said)["store_bytes"] < stored * 2
    assert said["representations"] == len(representations(small, made.all_sources, made.corpus, made.store))
    assert all(one["here"] and not one["download"] and one["bytes"] > 10**6 for one in said["references"])
    again = plan(small, tmp_path / "store")
    assert (again["sources_to_extract"], again["rows_through_a_model"]) == (0, 0)
    assert set(values(again).values()) == {0}


@pytest.mark.slow
def test_memory_is_that_of_the_run_within_a_factor_of_two_and_seconds_are_of_its_size(
    spec: Spec, tmp_path: Path
) -> None:
    small = spec(MINILM)
    for attempt in range(3):  # other work on the machine may come and go
        said = values(plan(small, tmp_path / f"{attempt}"))
        start = time.perf_counter()
        make_plan(small, tmp_path / f"{attempt}").extract(Silent())
        took = time.perf_counter() - start
        if took / 5 < said["seconds"] < took * 5:
            break
    else:
        pytest.fail(f"estimated {said['seconds']} s, took {took:.1f} s")
    write_spec(tmp_path / "spec.yaml", small.model_dump(mode="json"))
    command = [sys.executable, "-m", "latentprobe", "extract", str(tmp_path / "spec.yaml"), "--store"]
    # A process starts with the peak of the one that forked it: a small one in between keeps that of pytest out.
    between = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=2); "
    between += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    told = subprocess.run(
        [sys.executable, "-c", between, *command, str(tmp_path / "s")], capture_output=True, check=True
    )
    peak = int(told.stdout) * (1 if sys.platform == "darwin" else 1024)
    assert peak / 2 < said["memory_bytes"] < peak * 2


def test_room_is_estimated_from_width_and_l0_where_the_sae_is_not_here(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SAEs of minilm, as if they were still to be fetched."""
    small = spec({"layers": [3], "saes": ["bundled:minilm-l3-4k"]})
    make_plan(small, tmp_path / "store").extract(Silent())
    known = passes.known_sae("bundled:minilm-l3-4k")
    monkeypatch.setattr(passes, "known_sae", lambda name: Known(name, False, None, known.facts))
    said = values(plan(small, tmp_path / "other"))
    stored = sum(path.stat().st_size for path in (tmp_path / "store").rglob("*.parquet"))
    assert stored / 2 < said["store_bytes"] < stored * 2
    assert (
        said["memory_bytes"] == sum(4 * one["d_in"] * one["width"] for one in [known.facts]) and said["seconds"] is None
    )
    counted = values(plan(spec({"layers": [3], "saes": ["bundled:minilm-l3-1k"]}), tmp_path / "other"))["tokens"]
    assert counted / 2 < said["tokens"] < counted * 2


def test_what_is_not_here_is_planned_from_the_registry_and_not_fetched(spec: Spec, tmp_path: Path) -> None:
    said = plan(spec(GEMMA), tmp_path / "store")
    found = references(said)
    assert {name: (one["kind"], one["here"], one["known"]) for name, one in found.items()} == {
        "google/gemma-2-2b": ("model", False, True),
        CANONICAL: ("sae", False, True),
    }
    assert found[CANONICAL]["bytes"] == 2304 * 16384 * 2 * 4
    assert (said["rows"], said["sources"], said["sources_to_extract"]) == (ROWS, 2, 2)
    hidden_and_words = 3 + 2 + 1  # three poolings of the hidden state; tf-idf of words and of characters; majority
    assert said["representations"] == len(spec(GEMMA).pooling) * len(spec(GEMMA).binarize) + hidden_and_words
    assert values(said)["store_bytes"] > ROWS * 2304 * 4 * 3
    assert values(said)["memory_bytes"] == 4 * 2304 * 16384 and values(said)["seconds"] is None
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_said_of_what_nobody_knows(spec: Spec, tmp_path: Path) -> None:
    unknown = {"model": "nobody/nothing", "layers": [3], "saes": ["hf:nobody/saes/layer_3"]}
    said = plan(spec(unknown), tmp_path)
    assert [(one["known"], one["download"], one["bytes"]) for one in said["references"]] == [(False, True, None)] * 2
    assert values(said)["store_bytes"] is None
    assert "not known" in said["estimates"]["store_bytes"]["how"]


@pytest.mark.parametrize(
    ("backbone", "error", "told"),
    [
        (GEMMA | {"saes": ["gemma-scope:2b-pt-res/layer_12/width_16q/canonical"]}, SAEError, "width_16q"),
        (GEMMA | {"saes": ["saelens:gemma-scope-2b-pt-rez-canonical/x"]}, SAEError, "did you mean"),
        (
            GEMMA | {"saes": ["saelens:gemma-scope-2b-pt-transcoders/layer_0/width_16k/average_l0_76"]},
            SAEError,
            "trans",
        ),
        (GEMMA | {"layers": [11]}, SAEError, "ask for layer 12"),
        (GEMMA | {"saes": "auto"}, SpecError, "has none"),
        (GEMMA | {"saes": []}, SpecError, "at least one SAE"),
        (GEMMA | {"saes": ["./nowhere"]}, SAEError, "nowhere"),
        (GEMMA | {"model": "./nowhere"}, ModelError, "nowhere"),
        (MINILM | {"saes": [CANONICAL], "layers": [12]}, SAEError, "size 384"),
    ],
    ids=lambda value: None if isinstance(value, dict | type) else value,
)
def test_what_can_be_refused_without_a_network_is(
    spec: Spec, backbone: dict[str, Any], error: type[Exception], told: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as refusal:
        plan(spec(backbone), tmp_path)
    assert told in str(refusal.value)


def test_data_of_the_hub_that_are_not_here_are_not_fetched_and_the_plan_says_what_it_counts_with(
    spec: Spec, tmp_path: Path
) -> None:
    said = plan(spec(GEMMA, data={"path": "hf:nobody/nothing"}), tmp_path)
    assert said["rows"] == 1000
    assert said["notes"][0].startswith("hf:nobody/nothing is not on this machine")
    sizes = [describe(reference) for reference in spec(GEMMA).backbones[0].saes]
    assert values(said)["memory_bytes"] == sum(4 * one["d_in"] * one["width"] for one in sizes)
    with pytest.raises(CorpusError):
        run_experiment(spec(GEMMA, data={"path": "hf:nobody/nothing"}), tmp_path / "out", store=tmp_path)


def test_images_are_planned_too(tmp_path: Path) -> None:
    pictures = save_pictures(tmp_path / "textures", each=20)
    said = plan(spec_for(tmp_path, pictures, "vit", 16), tmp_path / "store")
    assert values(said)["tokens"] == 40 * 17 and "each image" in said["estimates"]["tokens"]["how"]
    assert values(said)["store_bytes"] > 0


def test_a_plan_reads_as_lines_that_name_estimates_as_such(spec: Spec, tmp_path: Path) -> None:
    write_spec(tmp_path / "spec.yaml", spec(GEMMA).model_dump(mode="json"))
    arguments = ["run", str(tmp_path / "spec.yaml"), "--dry-run", "--store", str(tmp_path / "store")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert f"{CANONICAL} (to be fetched, known, 288.0 MiB)" in done.output
    assert "estimated seconds:    - (the model or an SAE is not here)" in done.output
    assert json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output) == plan(spec(GEMMA), tmp_path / "store")
