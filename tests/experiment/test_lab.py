"""The laboratory's verdicts: known truth is found, what holds is told from what fails, and nothing depends on luck."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from typer.testing import CliRunner

from latentprobe.cli.main import app
from latentprobe.errors import OutputError, SpecError
from latentprobe.experiment.lab import CLAIMS, run_lab, write_lab
from latentprobe.experiment.lab.claims import Case, Claim
from latentprobe.experiment.lab.measures import Chosen, Compared, Found, Transferred
from latentprobe.experiment.lab.run import judged
from latentprobe.experiment.lab.table import Arm
from latentprobe.experiment.lab.verdicts import Interval, as_planted, outcome_of, over_worlds
from latentprobe.experiment.lab.world import World

RESULTS = Path(__file__).resolve().parents[2] / "results" / "lab.json"

SMALL = Claim(
    question="Is <b>one</b> token enough?",
    said="A test says so.",
    measure=Compared((Arm("max"), Arm("sum", "sum"))),
    better="max",
    than="sum",
    cases=(
        Case("one loud token decides", World("burst", effect=6, tokens=8), True),
        Case("all tokens decide", World("rate", effect=0.3, causal_rate=0.3, tokens=8), False),
    ),
    lesson="None.",
    rows=60,
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim named "small" beside the others, quick to test."""
    monkeypatch.setitem(CLAIMS, "small", SMALL)


# Known truth.


def test_selection_finds_the_causal_features_where_there_are_some_and_not_where_labels_are_noise() -> None:
    found = Found("mean")(World("rate", effect=0.8), 400, 0)
    assert found["precision of top8"] >= 7 / 8
    assert found["recall of L1"] == 1.0
    noise = Found("mean")(World("none"), 400, 0)
    assert noise["precision of top8"] <= 2 / 8


def test_noise_labels_give_chance_through_every_path() -> None:
    arms = [
        Arm(f"{pooling} {binarize} {selection} {kind}", pooling, kind, binarize, selection)
        for pooling in ("max", "mean", "top5")
        for binarize, selection in (("none", "all"), ("auto", "top16"))
        for kind in ("true", "random")
    ]
    arms += [Arm(f"hidden {pooling}", pooling, None) for pooling in ("mean", "max", "last")]
    figures = Compared(tuple(arms))(World("none", tokens=8), 1200, 0)
    assert len(figures) == 15
    # Four standard deviations of a coin's accuracy on 600 rows.
    assert {name: value for name, value in figures.items() if not 0.41 < value < 0.59} == {}


def test_with_noise_labels_the_best_on_test_is_better_than_the_chosen_one_and_the_chosen_one_is_a_coin() -> None:
    arms = tuple(Arm(f"{p} {b}", p, binarize=b) for p in ("max", "sum", "count") for b in ("none", "auto"))
    figures = Chosen((*arms, Arm("hidden", "mean", None)))(World("none", tokens=8), 800, 0)
    assert abs(figures["chosen on inner folds"] - 0.5) < 0.1
    assert figures["best on test"] >= figures["chosen on inner folds"]
    assert figures["best on test"] > figures["mean of all SAE rows"]


def test_shared_features_carry_over_and_overlap_and_features_of_one_language_do_neither() -> None:
    shared = Transferred("mean")(World("rate", effect=0.8, languages=2), 600, 0)
    own = Transferred("mean")(World("rate", effect=0.8, languages=2, shared=0.0), 600, 0)
    assert min(shared["at home"], shared["abroad"], own["at home"]) > 0.8 > 0.6 > own["abroad"]
    assert shared["overlap of chosen features"] > 0.7 > 0.1 > own["overlap of chosen features"]


def test_a_planted_signal_is_found_in_hidden_states_as_well() -> None:
    figures = Compared((Arm("SAE", "mean"), Arm("hidden", "mean", None)))(World("rate", effect=0.8), 600, 0)
    assert min(figures.values()) > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMS)
def test_each_claim_tells_the_world_where_it_holds_from_the_one_where_it_fails(name: str) -> None:
    claim = CLAIMS[name]
    gaps = {}
    for planted in (True, False):
        case = next(case for case in claim.cases if case.planted is planted)
        worlds = [claim.measure(case.world, claim.rows, seed) for seed in (100, 101)]  # not those of the results
        than = [one[claim.than] if isinstance(claim.than, str) else claim.than for one in worlds]
        gaps[planted] = sum(one[claim.better] for one in worlds) / 2 - sum(than) / 2
    assert gaps[True] > 0.03
    assert gaps[True] - gaps[False] > 0.04


def test_every_claim_of_the_kept_results_came_out_as_planted() -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert [claim["name"] for claim in results["claims"]] == list(CLAIMS)
    for claim in results["claims"]:
        assert claim["as_planted"], claim["verdict"]
        assert [case["when"] for case in claim["cases"]] == [case.when for case in CLAIMS[claim["name"]].cases]


def test_neither_binarization_nor_top_n_changes_what_width_does_as_its_lesson_says() -> None:
    (claim,) = (one for one in json.loads(RESULTS.read_text(encoding="utf-8"))["claims"] if one["name"] == "width")
    for case in claim["cases"]:
        value = {figure["name"]: figure["value"] for figure in case["figures"]}
        for kind in ("", ", binarized", ", top5"):
            assert (value[f"wide{kind}"] > value[f"true{kind}"]) is case["planted"]


def test_every_claim_has_a_world_where_it_holds_and_one_where_it_fails() -> None:
    for name, claim in CLAIMS.items():
        assert {True, False} <= {case.planted for case in claim.cases}, name


# Verdicts.


def test_the_interval_over_worlds_is_that_of_the_t_test() -> None:
    values = [0.1, 0.3, 0.2, 0.25]
    ours = over_worlds(values)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        ((0.10, 0.01, 0.19), "holds"),
        ((0.10, -0.01, 0.21), "unclear"),
        ((0.015, 0.01, 0.02), "level"),
        ((0.0, -0.04, 0.04), "level"),
        ((0.0, -0.06, 0.04), "unclear"),
        ((-0.10, -0.19, -0.01), "reversed"),
    ],
)
def test_a_difference_is_called_what_it_is(interval: tuple[float, float, float], outcome: str) -> None:
    assert outcome_of(Interval(*interval)) == outcome


def test_what_cannot_be_told_is_never_as_planted() -> None:
    assert not as_planted(True, "unclear") and not as_planted(False, "unclear")
    assert as_planted(True, "holds") and as_planted(False, "level") and as_planted(False, "reversed")
    assert not as_planted(False, "holds")


def figures(*differences: float) -> list[dict[str, float]]:
    return [{"max": 0.5 + difference, "sum": 0.5} for difference in differences]


def test_a_claim_that_does_not_come_out_as_planted_says_so() -> None:
    right = judged("small", SMALL, [figures(0.2, 0.21, 0.22), figures(-0.2, -0.21, -0.22)])
    assert right["as_planted"]
    assert right["verdict"] == (
        "Holds when one loud token decides (+0.210 [+0.185, +0.235]); "
        "turns around when all tokens decide (-0.210 [-0.235, -0.185]): max minus sum."
    )
    wrong = judged("small", SMALL, [figures(0.2, 0.21, 0.22), figures(0.2, 0.21, 0.22)])
    assert not wrong["as_planted"]
    assert "or when all tokens decide" in wrong["verdict"]


# Runs.


def test_the_same_worlds_give_the_same_bytes(small: None) -> None:
    one, again = (json.dumps(run_lab(["small"], seeds=2)) for _ in range(2))
    assert one == again


@pytest.mark.slow
def test_the_number_of_threads_changes_nothing() -> None:
    code = (
        "import json; from latentprobe.experiment.lab import run_lab; print(json.dumps(run_lab(['dilution'], seeds=2)))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]
    assert said[0] == said[1] != b""


def test_an_unknown_claim_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(SpecError, match="did you mean 'pooling'"):
        run_lab(["polling"])
    done = CliRunner().invoke(app, ["lab", "polling"])
    assert isinstance(done.exception, SpecError)


def test_a_folder_with_other_files_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    done = CliRunner().invoke(app, ["lab", "--out", str(tmp_path)])
    assert isinstance(done.exception, OutputError)
    assert (tmp_path / "thesis.txt").is_file()


def test_one_world_is_too_few() -> None:
    with pytest.raises(SpecError, match="at least two worlds"):
        run_lab(["pooling"], seeds=1)


def test_the_command_prints_a_table_or_json_and_writes_both_files(small: None, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["lab", "small", "--out", str(tmp_path / "lab")], catch_exceptions=False)
    assert done.exit_code == 0
    assert "one loud token decides" in done.stdout and ": max minus sum." in done.stdout
    kept = json.loads((tmp_path / "lab" / "lab.json").read_text(encoding="utf-8"))
    printed = CliRunner().invoke(app, ["lab", "small", "--json"], catch_exceptions=False)
    assert json.loads(printed.stdout) == kept
    assert sorted(path.name for path in (tmp_path / "lab").iterdir()) == ["lab.html", "lab.json"]


def test_the_page_shows_every_figure_loads_nothing_and_escapes_what_it_shows(tmp_path: Path) -> None:
    claim = judged("small", SMALL, [figures(0.2, 0.21), figures(-0.2, -0.21)])
    write_lab({"name": "lab", "seeds": 2, "claims": [claim]}, tmp_path / "lab")
    page = (tmp_path / "lab" / "lab.html").read_text(encoding="utf-8")
    assert page.count('<svg class="track"') == sum(len(case["figures"]) for case in claim["cases"])
    assert "&lt;b&gt;one&lt;/b&gt;" in page and "<b>" not in page
    assert not re.search(r"<script|src=|href=\"(?!#|data:)|url\(|@import", page)
    assert "default-src 'none'; style-src 'sha256-" in page


def test_the_style_that_the_page_allows_is_the_one_it_has(tmp_path: Path) -> None:
    import base64
    import hashlib

    claim: dict[str, Any] = judged("small", SMALL, [figures(0.2, 0.21), figures(-0.2, -0.21)])
    write_lab({"name": "lab", "seeds": 2, "claims": [claim]}, tmp_path / "lab")
    page = (tmp_path / "lab" / "lab.html").read_text(encoding="utf-8")
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    assert f"'sha256-{digest}'" in page
