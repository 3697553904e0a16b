"""A run with everything beside the table: what is asked for is there, agrees with the table, and comes out again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from latentprobe.config import parse_spec, read_spec
from latentprobe.errors import SpecError
from latentprobe.experiment import plan, run_experiment
from tests.cli.small_world import messages, small_spec, write_csv, write_spec


@dataclass(frozen=True)
class Ran:
    folder: Path
    results: dict[str, Any]


def asked(**evaluate: Any) -> dict[str, Any]:
    """A small spec that asks for it all; messages come with a channel, and two of them nearly twice."""
    return small_spec(
        data={"by": ["channel"]},
        pooling=["max"],
        baselines=["hidden", "tfidf", "majority"],
        probe={"C": [0.1, 1.0], "also": ["tree", "centroid", "l1_path"]},
        evaluate={"folds": 3, "bootstrap": 100} | evaluate,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("statistics")
    rows = [row | {"channel": "mail" if i % 3 else "chat"} for i, row in enumerate(messages(100))]
    nearly = [row | {"id": f"again-{row['id']}", "text": row["text"] + " !"} for row in rows[:12]]
    write_csv(folder / "messages.csv", rows + nearly)
    return folder


def run(world: Path, spec: dict[str, Any], out: str) -> Ran:
    path = write_spec(world / f"{out}.yaml", spec)
    folder = run_experiment(read_spec(path), world / out, store=world / "store", jobs=1)
    return Ran(folder, json.loads((folder / "results.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def ran(world: Path) -> Ran:
    return run(world, asked(repeats=2), "out")


@pytest.mark.slow
def test_every_block_agrees_with_the_table(ran: Ran) -> None:
    results = ran.results
    first = results["repeats"]["splits"][0]
    assert (first["selected"], first["macro_f1"]) == (results["selected"]["name"], results["selected"]["macro_f1"])
    assert first["difference"] == results["difference"]["value"]
    assert len(results["repeats"]["splits"]) == 2
    curse = results["winners_curse"]["sae"]
    assert curse["chosen"] == results["selected"]["name"]
    assert curse["best_macro_f1"] == max(row["macro_f1"] for row in results["rows"] if row["kind"] == "sae")
    linear = results["probes"][0]
    assert (linear["name"], linear["probe"]) == (results["selected"]["name"], "linear")
    assert linear["macro_f1"] == results["selected"]["macro_f1"] and linear["low"] == results["selected"]["low"]
    assert [one["probe"] for one in results["probes"]] == ["linear", "tree", "centroid", "l1_path"] * 3
    assert len({one["name"] for one in results["probes"]}) == 3
    assert f"{results['n_test']} test rows" in results["power"]["sentence"]
    (effect,) = (one["effect"] for one in results["differences"] if one["baseline"] == results["best_baseline"]["name"])
    assert effect == results["effect"]


@pytest.mark.slow
def test_near_copies_are_counted_and_those_drawn_apart_train(ran: Ran) -> None:
    leakage = ran.results["leakage"]
    assert (leakage["exact_copies"], leakage["near_copies"], leakage["clusters"]) == (0, 24, 12)
    assert leakage["moved_to_train"] > 0
    assert any(f"near-copies of them stand: {leakage['moved_to_train']}." in note for note in ran.results["notes"])


@pytest.mark.slow
def test_groups_are_scored_for_the_selected_row_and_every_baseline(ran: Ran) -> None:
    block = ran.results["by"]["channel"]
    n = sum(one["n"] for one in block["scores"][0]["values"].values()) + block["left_out"]["rows"]
    assert n == ran.results["n_test"]
    assert {one["role"] for one in block["scores"]} == {"selected", "best baseline", "baseline"}
    assert len(block["scores"]) == 1 + sum(row["kind"] == "baseline" for row in ran.results["rows"])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_with_and_without_what_was_kept(ran: Ran, world: Path) -> None:
    again = run(world, asked(repeats=2), "again").folder / "results.json"
    path = write_spec(world / "fresh.yaml", asked(repeats=2))
    fresh = run_experiment(read_spec(path), world / "fresh", store=world / "fresh-store", jobs=1) / "results.json"
    assert (ran.folder / "results.json").read_bytes() == again.read_bytes() == fresh.read_bytes()


@pytest.mark.slow
def test_nested_folds_leave_the_table_as_it_is_and_add_the_pooled_score(ran: Ran, world: Path) -> None:
    nested = run(world, asked(scheme="nested"), "nested").results
    assert nested["rows"] == ran.results["rows"]
    assert [one["fold"] for one in nested["repeats"]["splits"]] == [0, 1, 2]
    assert sum(one["n_test"] for one in nested["repeats"]["splits"]) == nested["n_rows"]
    assert nested["repeats"]["pooled"]["n"] == nested["n_rows"]


@pytest.mark.slow
def test_what_was_not_asked_for_is_null(ran: Ran, world: Path) -> None:
    plain = run(world, asked() | {"probe": {"C": [0.1, 1.0]}, "data": small_spec()["data"]}, "plain").results
    assert (plain["repeats"], plain["by"], plain["probes"]) == (None, None, None)
    assert plain["rows"] == ran.results["rows"]


def test_the_plan_counts_the_fits_of_every_split(world: Path) -> None:
    fits = {}
    for name, how in {"once": {}, "twice": {"repeats": 2}, "nested": {"scheme": "nested"}}.items():
        path = write_spec(world / f"plan-{name}.yaml", asked(**how))
        fits[name] = plan(read_spec(path), world / "store")["probe_fits"]
    assert (fits["twice"], fits["nested"]) == (2 * fits["once"], 4 * fits["once"])


@pytest.mark.parametrize("how", [{"repeats": 3}, {"scheme": "nested"}])
def test_further_test_parts_beside_a_given_one_are_refused(how: dict[str, Any]) -> None:
    spec = small_spec(data={"test": {"column": "part"}}, evaluate=how)
    with pytest.raises(SpecError, match="no other can be drawn"):
        parse_spec(spec)
