"""A causal model and an SAE from folders, through the whole of ``run`` and ``predict``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.cli.small_world import in_this_process, messages, small_spec, write_csv, write_spec
from tests.encode.checkpoints import config_v6, write_saelens

LAYER, D_IN, WIDTH = 2, 64, 96


def write_random_sae(folder: Path) -> Path:
    """A SAELens folder for the residual stream of one layer, random but whole."""
    draw = torch.Generator().manual_seed(0)
    tensors = {
        "W_enc": torch.randn(D_IN, WIDTH, generator=draw),
        "W_dec": torch.randn(WIDTH, D_IN, generator=draw),
        "b_enc": torch.full((WIDTH,), -4.0),
        "b_dec": torch.zeros(D_IN),
    }
    hook = {"hook_name": f"blocks.{LAYER}.hook_resid_post", "model_name": "stories260K"}
    return write_saelens(folder, config_v6("standard", d_in=D_IN, d_sae=WIDTH, metadata=hook), tensors)


@pytest.mark.shared
def test_a_causal_model_and_an_sae_from_folders_run_and_predict(
    shared_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    model, sae = shared_models / "stories260K", write_random_sae(tmp_path / "sae")
    rows = messages(40)
    write_csv(tmp_path / "messages.csv", rows)
    backbone = {"model": str(model), "layers": [LAYER], "saes": [str(sae)]}
    write_spec(tmp_path / "spec.yaml", small_spec(backbones=[backbone], pooling=["mean", "rollmax3"]))

    def run(*arguments: object) -> str:
        status, out, err = in_this_process(arguments, tmp_path, tmp_path / "features", monkeypatch, capfd)
        assert status == 0, err
        return out

    results = json.loads(run("run", "spec.yaml", "--out", "out", "--json"))
    assert {row["sae"] for row in results["rows"] if row["kind"] == "sae"} == {str(sae)}
    assert {row["layer"] for row in results["rows"] if row["model"]} == {LAYER}
    assert {row["pooling"] for row in results["rows"] if row["sae"]} == {"mean", "rollmax3"}
    said = [json.loads(line) for line in run("predict", "out/bundle", "messages.csv", "--explain", "2").splitlines()]
    assert len(said) == 40
    for row, decision in zip(rows, said, strict=True):
        assert decision["features"]
        for feature in decision["features"]:
            for token in feature["tokens"]:
                assert row["text"][token["start"] : token["end"]] == token["text"]
