"""One finished run and its features, for all tests of this room that look at one."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.small_world import latentprobe, messages, small_spec, write_csv, write_spec


@dataclass(frozen=True)
class Finished:
    """A folder with messages.csv, spec.yaml and the run directory ``out``, and what the command said."""

    folder: Path
    store: Path
    said: subprocess.CompletedProcess[str]

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def bundle(self) -> Path:
        return self.out / "bundle"


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the features of all tests of this room go."""
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Finished:
    """``latentprobe run spec.yaml --out out --json`` on sixty messages."""
    folder = tmp_path_factory.mktemp("finished")
    write_csv(folder / "messages.csv", messages(60))
    write_spec(folder / "spec.yaml", small_spec())
    said = latentprobe("run", "spec.yaml", "--out", "out", "--json", cwd=folder, store=store)
    assert said.returncode == 0, said.stderr
    return Finished(folder, store, said)
