"""Benchmarks run and give equal results; how fast they are is nobody's assertion."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors import safe_open

from latentprobe.errors import SpecError
from latentprobe.experiment.bench import bench
from latentprobe.experiment.bench_load import bench_load, write_wide_sae


@pytest.mark.slow
def test_loading_a_wide_sae_holds_its_encoder_once() -> None:
    measured = bench("load", width=8192)
    ours = measured["ours"]
    assert measured["equal"] and measured["peers"] == {} and json.dumps(measured)
    assert ours["needed_mib"] == pytest.approx(72, rel=0.01)
    assert 0.9 < measured["ratios"]["peak / needed"] < 1.4


def test_the_wide_file_is_one_of_gemma_scope_2(tmp_path: Path) -> None:
    write_wide_sae(tmp_path, 64)
    with safe_open(tmp_path / "params.safetensors", framework="pt") as stream:
        shapes = {name: tuple(stream.get_slice(name).get_shape()) for name in stream.keys()}  # noqa: SIM118
        encoder = stream.get_tensor("w_enc").float()
    assert shapes == {"w_enc": (2304, 64), "w_dec": (64, 2304), "b_enc": (64,), "b_dec": (2304,), "threshold": (64,)}
    assert 0.9 < float(encoder.std()) < 1.1


def test_a_file_without_room_is_refused_before_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1 << 20))
    with pytest.raises(SpecError, match="GiB of disk"):
        bench_load(1_048_576)
