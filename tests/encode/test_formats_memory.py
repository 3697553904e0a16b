"""Loading holds each matrix once, whatever the file's type and whichever way round it lies there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.encode.layouts.case import pt, put, safetensors

D_IN, WIDTH = 2304, 16384
MIB = D_IN * WIDTH * 4 / 2**20

LOAD = """
import sys, threading, time
from latentprobe.encode.formats import load_sae
import latentprobe.encode.sae, latentprobe.encode.formats.tensors

def own() -> float:  # what belongs to this process alone: pages of mapped files can be given back at any time
    return sum(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) / 1024

class Watch(threading.Thread):
    peak, done = 0.0, False
    def run(self):
        while not self.done:
            self.peak = max(self.peak, own())
            time.sleep(0.002)

before, watch = own(), Watch()
watch.start()
sae = load_sae(sys.argv[1])
watch.done = True
watch.join()
print(watch.peak - before)
"""


def gemma_scope(folder: Path) -> Path:
    own = folder / "gemma-scope-2b-pt-res" / "layer_12" / "width_16k" / "average_l0_82"
    own.mkdir(parents=True)
    w = np.full((D_IN, WIDTH), 0.01, np.float32)
    np.savez(
        own / "params.npz",
        W_enc=w,
        W_dec=w.T,
        b_dec=np.zeros(D_IN, np.float32),
        b_enc=np.zeros(WIDTH, np.float32),
        threshold=np.zeros(WIDTH, np.float32),
    )
    return own


def sparsify(folder: Path) -> Path:
    put(folder / "layers.3", "cfg.json", {"d_in": D_IN, "num_latents": WIDTH, "k": 4, "activation": "topk"})
    w = torch.full((WIDTH, D_IN), 0.01, dtype=torch.bfloat16)
    tensors = {"encoder.weight": w, "W_dec": w, "encoder.bias": torch.zeros(WIDTH), "b_dec": torch.zeros(D_IN)}
    safetensors(folder / "layers.3" / "sae.safetensors", {name: tensor.clone() for name, tensor in tensors.items()})
    return folder / "layers.3"


def qwen_scope(folder: Path) -> Path:
    w = torch.full((WIDTH, D_IN), 0.01)
    tensors = {"W_enc": w, "W_dec": w.T.contiguous(), "b_enc": torch.zeros(WIDTH), "b_dec": torch.zeros(D_IN)}
    return pt(folder / "SAE-Res-Qwen3-1.7B-Base-W16K-L0_50" / "layer3.sae.pt", tensors)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see memory")
@pytest.mark.parametrize("write", [gemma_scope, sparsify, qwen_scope], ids=lambda write: write.__name__)
def test_no_second_copy_of_a_matrix_is_ever_held(tmp_path: Path, write) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(write(tmp_path))], capture_output=True, text=True, check=True
    )
    peak = float(done.stdout)
    assert MIB * 0.9 < peak < MIB * 1.4
