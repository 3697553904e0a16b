"""Every kind of row in one table: what is there is found on every path, and what is not there on none."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from latentprobe.config import BackboneSpec, ExperimentSpec, parse_spec
from latentprobe.encode.backbone import load_backbone
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.errors import SpecError
from latentprobe.experiment import run_experiment
from latentprobe.experiment.features import make_plan
from latentprobe.experiment.planning import plan
from latentprobe.report import wording
from tests.encode.checkpoints import config_v6, write_saelens
from tests.encode.conftest import WORDS

ALL = ["hidden", "prompted", "pca8", "sae_hidden", "random_sae", "tfidf", "majority", "length"]
N, LAYER, D_IN, WIDTH = 240, 2, 16, 64


@dataclass
class World:
    """Texts of random words, a tiny random model and a random SAE of it."""

    folder: Path
    model: Path
    texts: list[str]

    def states(self) -> np.ndarray:
        """Mean hidden state of each text, ``[n, d]``."""
        backbone = load_backbone(BackboneSpec(model=str(self.model), layers=(LAYER,)))
        hook = HookPoint(LAYER, "resid_post")
        x = [backbone.hidden_states(backbone.tokenize([text]), [hook])[hook].numpy().mean(0) for text in self.texts]
        return np.stack(x)

    def spec(self, name: str, labels: np.ndarray, **changes: Any) -> ExperimentSpec:
        with (self.folder / f"{name}.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([("text", "label"), *zip(self.texts, labels, strict=True)])
        return parse_spec(
            {
                "name": name,
                "data": {"path": str(self.folder / f"{name}.csv"), "test": 0.3},
                "backbones": [{"model": str(self.model), "layers": [LAYER], "saes": [str(self.folder / "sae")]}],
                "pooling": ["mean", "max", "top8"],
                "binarize": ["none", "auto"],
                "task": {"prompt": "{text} good not bad"},
                "baselines": ALL,
                "probe": {"C": [0.1, 1.0]},
                "evaluate": {"folds": 3, "bootstrap": 200},
            }
            | changes
        )

    def run(self, name: str, labels: np.ndarray, **changes: Any) -> dict[str, Any]:
        out = run_experiment(self.spec(name, labels, **changes), self.folder / name, store=self.store, jobs=1)
        return dict(json.loads((out / "results.json").read_text()))

    @property
    def store(self) -> Path:
        return self.folder / "store"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[[str], Path]) -> World:
    folder, draw = tmp_path_factory.mktemp("paths"), np.random.default_rng(0)
    seed = torch.Generator().manual_seed(1)
    tensors = {
        "W_enc": torch.randn(D_IN, WIDTH, generator=seed) / D_IN**0.5,
        "W_dec": torch.randn(WIDTH, D_IN, generator=seed),
        "b_dec": torch.zeros(D_IN),
        "b_enc": torch.randn(WIDTH, generator=seed) / 5,
        "threshold": torch.rand(WIDTH, generator=seed) + 0.2,
    }
    metadata = {"hook_name": f"blocks.{LAYER}.hook_resid_post", "model_name": "tiny", "prepend_bos": False}
    write_saelens(folder / "sae", config_v6("jumprelu", d_in=D_IN, d_sae=WIDTH, metadata=metadata), tensors)
    texts = {" ".join(draw.choice(WORDS, draw.integers(4, 9))): None for _ in range(N + 20)}
    return World(folder, tiny_model("bert"), list(texts)[:N])


def by_family(results: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    families: dict[str, list[dict[str, Any]]] = {}
    for row in results["rows"]:
        families.setdefault(wording.family(row), []).append(row)
    return families


@pytest.fixture(scope="module")
def planted(world: World) -> dict[str, Any]:
    """The class is on which side of a plane through the mean hidden states a text stands."""
    states = world.states()
    along = (states - states.mean(0)) @ np.random.default_rng(3).normal(size=D_IN)
    return world.run("planted", np.where(along > np.median(along), "above", "below"))


@pytest.mark.slow
def test_what_is_planted_in_hidden_states_is_found_there_as_well_as_in_sae_features(planted: dict[str, Any]) -> None:
    best = {name: max(row["inner_macro_f1"] for row in rows) for name, rows in by_family(planted).items()}
    assert set(best) == {"sae", "hidden", "prompted", "pca", "both", "random", "tfidf", "majority", "length"}
    assert best["hidden"] > 0.85 and best["sae"] > 0.75
    assert best["both"] > 0.8 and best["random"] > 0.75 and best["pca"] > 0.75
    assert best["majority"] < 0.4 and best["length"] < 0.65
    assert planted["selected"]["kind"] == "sae" and planted["selected"]["macro_f1"] > 0.65
    assert planted["best_baseline"]["macro_f1"] > 0.75


@pytest.mark.slow
def test_each_row_has_a_name_a_kind_and_its_predictions(world: World, planted: dict[str, Any]) -> None:
    names = [row["name"] for row in planted["rows"]]
    assert len(set(names)) == len(names)
    place = f"layer {LAYER}"
    for name in (f"{place} hidden mean", f"{place} hidden mean pca8", f"{place} prompted hidden last"):
        assert name in names
    families = by_family(planted)
    assert len(families["random"]) == len(families["sae"]) == 6  # the same poolings and binarizations
    assert {row["sae"] for row in families["random"]} == {f"random:{world.folder / 'sae'}"}
    assert {row["width"] for row in families["random"]} == {WIDTH}
    assert all(row["kind"] == "baseline" for family, rows in families.items() for row in rows if family != "sae")
    assert [row["name"].rpartition(" ")[2] for row in families["both"]] == ["mean", "max", "mean"]
    assert all(row["sae"] and row["sae"] == families["sae"][0]["sae"] for row in families["both"])
    assert {row["n_features"] for row in families["pca"]} == {8}
    predictions = pq.read_table(world.folder / "planted" / "predictions.parquet")
    for row in planted["rows"]:
        if row["kind"] == "baseline":
            assert f"{row['name']}/label" in predictions.column_names
    assert (world.folder / "planted" / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_labels_of_pure_noise_score_at_chance_on_every_path(world: World) -> None:
    noise = world.run("noise", np.random.default_rng(1).permutation(np.arange(N) % 2))
    families = by_family(noise)
    assert len(families) == 9
    for family, rows in families.items():
        for row in rows:
            low = 0.25 if family in ("majority", "length") else 0.35  # those may give one class alone
            assert low < row["inner_macro_f1"] < 0.65, row["name"]
            assert low - 0.1 < row["macro_f1"] < 0.72, row["name"]
    scores = [row["inner_macro_f1"] for name, rows in families.items() for row in rows if name != "majority"]
    assert abs(np.mean(scores) - 0.5) < 0.05
    assert noise["difference"]["low"] <= 0 <= noise["difference"]["high"]


@pytest.mark.slow
def test_the_same_spec_gives_the_same_bytes_from_an_empty_store(world: World, planted: dict[str, Any]) -> None:
    labels = [row["label"] for row in csv.DictReader((world.folder / "planted.csv").open())]
    spec = world.spec("planted", np.array(labels))
    again = run_experiment(spec, world.folder / "again", store=world.folder / "other store", jobs=1)
    assert (again / "results.json").read_bytes() == (world.folder / "planted" / "results.json").read_bytes()


def test_a_dry_run_counts_the_pass_over_the_prompt(world: World) -> None:
    spec = world.spec("dry", np.arange(N) % 2)
    told = plan(spec, world.folder / "empty")
    assert (told["sources"], told["sources_to_extract"], told["rows_through_a_model"]) == (4, 4, 2 * N)
    plain = plan(spec.model_copy(update={"baselines": ("hidden", "random_sae")}), world.folder / "empty")
    assert (plain["sources"], plain["rows_through_a_model"]) == (3, N)


def test_backbones_that_differ_in_what_they_read_read_the_prompt_once(world: World) -> None:
    spec = world.spec("twice", np.arange(N) % 2)
    everything = spec.backbones[0].model_copy(update={"tokens": "all"})
    planned = make_plan(spec.model_copy(update={"backbones": (*spec.backbones, everything)}), world.folder / "empty")
    assert sum(source.prompted for source in planned.all_sources) == 1
    assert len(planned.passes) == 3


def test_a_prompt_without_room_for_a_text_is_refused_and_nothing_is_written(world: World) -> None:
    spec = world.spec("room", np.arange(N) % 2, task={"prompt": "{text}" + " bad" * 40})
    with pytest.raises(SpecError, match="room"):
        run_experiment(spec, world.folder / "room", store=world.store, jobs=1)
    assert not (world.folder / "room").exists()
