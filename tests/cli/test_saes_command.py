"""``latentprobe saes``: what is listed, shown and judged, and with which exit status."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.encode.checkpoints import config_v6, write_saelens

REFERENCE = "gemma-scope:2b-pt-res/layer_12/width_16k/canonical"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "latentprobe", "saes", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=offline, check=False)


def computed() -> float:
    """Seconds that finished children have computed, whatever else the machine does."""
    times = os.times()
    return times.children_user + times.children_system


def test_more_than_ten_thousand_saes_are_listed_in_under_three_seconds_of_computing_bundled_ones_first() -> None:
    before = computed()
    done = run("list")
    assert done.returncode == 0 and computed() - before < 3
    lines = done.stdout.splitlines()
    assert len(lines) > 10_000 and lines[0].startswith("reference") and lines[1].startswith("bundled:")
    assert "not read: a transcoder" in done.stdout and "known from sae-lens" in lines[-2]


def on_a_terminal(*arguments: str) -> list[str]:
    """The lines that a person sees."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "latentprobe", "saes", *arguments]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError), open(ours, "rb", buffering=0) as stream:  # Linux ends a terminal with EIO
            while part := stream.read(4096):
                shown += part
        assert process.wait() == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).splitlines()


def test_a_terminal_counts_them_by_model_then_by_release_and_lists_what_is_few() -> None:
    before = computed()
    models = on_a_terminal("list")
    assert computed() - before < 3
    assert models[0].split() == ["model", "SAEs", "layers", "width", "not", "read"] and len(models) < 60
    assert models[1].split()[:5] == ["gemma-2-9b", "1,819", "0", "to", "41"]
    assert models[-2] == "one by one: --model gemma-2-9b --layer N, or latentprobe saes list | less"
    everything = [int(line.split()[1].replace(",", "")) for line in models[1:-3]]
    assert f"{sum(everything):,} SAEs" in models[-3]
    releases = on_a_terminal("list", "--model", "gemma-2-2b")
    assert releases[0].split()[0] == "release" and releases[1].split()[0] == "gemma-scope-2b-pt-res"
    assert "--model gemma-2-2b --release gemma-scope-2b-pt-res" in releases[-2]
    one = on_a_terminal("list", "--release", "gemma-scope-2b-pt-res")
    assert one[0].startswith("reference") and len(one) > 300


def test_the_list_is_filtered_and_the_same_as_json() -> None:
    rows = json.loads(run("list", "--model", "gemma-2-2b", "--layer", "12", "--family", "gemma_2", "--json").stdout)
    assert len(rows) > 50 and {(row["model"], row["layer"]) for row in rows} == {("gemma-2-2b", 12)}
    bundled = json.loads(run("list", "--model", "minilm", "--layer", "3", "--json").stdout)
    assert {row["reference"] for row in bundled} == {"bundled:minilm-l3-1k", "bundled:minilm-l3-4k"}
    assert "0 SAEs" in run("list", "--model", "no-such-model").stdout


def test_an_sae_of_the_table_is_shown_without_a_network() -> None:
    shown = json.loads(run("show", REFERENCE, "--json").stdout)
    assert (shown["path"], shown["d_in"], shown["l0"]) == ("layer_12/width_16k/average_l0_82", 2304, 82)
    assert list(shown)[:2] == ["reference", "format"] and "neuronpedia" in run("show", REFERENCE).stdout


def test_a_misspelt_id_is_refused_with_the_nearest_ones() -> None:
    done = run("show", "saelens:gpt2-small-res-jb/blocks.8.hook_resid_pr")
    assert done.returncode == 2 and "'blocks.8.hook_resid_pre'" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.shared
def test_a_check_says_what_it_saw_and_fails_where_the_sae_is_wrong(tmp_path: Path, shared_models: Path) -> None:
    eye = torch.eye(64)
    config = config_v6("standard", d_in=64, d_sae=128, metadata={"hook_name": "blocks.2.hook_resid_post"})
    tensors = {"W_enc": torch.cat([eye, -eye], 1), "W_dec": torch.cat([eye, -eye])}
    tensors |= {"b_enc": torch.zeros(128), "b_dec": torch.zeros(64)}
    (tmp_path / "texts.txt").write_text("Once upon a time there was a girl.\nTom saw a big dog.\n")
    words = ["--model", str(shared_models / "stories260K"), "--text", str(tmp_path / "texts.txt"), "--device", "cpu"]
    right = run("check", str(write_saelens(tmp_path / "right", config, tensors)), *words)
    assert right.returncode == 0 and "verdict: right" in right.stdout and "recovered 1" in right.stdout
    tensors["W_dec"] = tensors["W_dec"] * 60
    wrong = run("check", str(write_saelens(tmp_path / "wrong", config, tensors)), *words, "--json")
    assert wrong.returncode == 2 and json.loads(wrong.stdout)["verdict"] == "wrong"
