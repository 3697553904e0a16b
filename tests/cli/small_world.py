"""A small labelled file, specs for it, and the installed command to run on them."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from latentprobe.cli.main import main
from latentprobe.experiment.demo import messages_path

#: The command as pip installed it, beside the interpreter that runs the tests.
LATENTPROBE = Path(sys.executable).parent / "latentprobe"

CLASSES = ("no", "yes")


def messages(n: int, label: str = "hostile", classes: Iterable[str] = CLASSES) -> list[dict[str, str]]:
    """``n`` of the packaged messages, the classes of a label in turn."""
    with messages_path().open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    by_class = [[row for row in rows if row[label] == name] for name in classes]
    in_turn = [row for same_place in zip(*by_class, strict=False) for row in same_place]
    assert len(in_turn) >= n
    return in_turn[:n]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def small_spec(**changes: Any) -> dict[str, Any]:
    """One layer, one SAE, few rows in the table; ``data={...}`` changes keys within data."""
    spec: dict[str, Any] = {
        "name": "small",
        "data": {"path": "messages.csv", "text": "text", "label": "hostile", "id": "id", "test": 0.3},
        "backbones": [{"model": "minilm", "layers": [3], "saes": ["bundled:minilm-l3-1k"]}],
        "pooling": ["max", "count"],
        "binarize": ["none", "auto"],
        "baselines": ["hidden", "tfidf", "length", "majority"],
        "probe": {"C": [0.1, 1.0]},
        "evaluate": {"folds": 3, "bootstrap": 100},
    }
    data = spec["data"] | changes.pop("data", {})
    return spec | changes | {"data": data}


def write_spec(path: Path, spec: Any) -> Path:
    path.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return path


def listing(folder: Path) -> dict[str, bytes | None]:
    """Everything under a folder, hidden files included, with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def environment(store: Path) -> Mapping[str, str]:
    """One thread, and never the network: what is not on this machine is not there."""
    return {
        **os.environ,
        "LATENTPROBE_STORE": str(store),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONIOENCODING": "utf-8",
    }


def latentprobe(*arguments: object, cwd: Path, store: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run the installed command to its end."""
    done = subprocess.run(
        [LATENTPROBE, *map(str, arguments)], cwd=cwd, env=environment(store), input=stdin, capture_output=True
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
    )


def in_this_process(
    arguments: Sequence[object],
    folder: Path,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> tuple[object, str, str]:
    """Status, stdout and stderr of what the installed command runs, without the seconds that importing takes."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LATENTPROBE_STORE", str(store))
    monkeypatch.setenv(
        "LOKY_MAX_CPU_COUNT", "1"
    )  # no processes for the probes: starting them takes longer than they do
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(sys, "argv", ["latentprobe", *map(str, arguments)])
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capfd.readouterr()
    return stop.value.code, out, err
