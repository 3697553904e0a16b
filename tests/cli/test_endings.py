"""How the installed command ends when its reader leaves, or when the user has had enough."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Finished
from tests.cli.small_world import LATENTPROBE, environment, latentprobe, messages, small_spec, write_csv, write_spec

LAST_WORDS = "interrupted; nothing half-written is left; `run`, `transfer` and `extract` go on from what is finished\n"


@pytest.mark.slow
def test_a_reader_that_leaves_ends_it_quietly(finished: Finished, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("You had one job, and you broke it.\n" * 600, encoding="utf-8")  # far more than a pipe holds
    with subprocess.Popen(
        [LATENTPROBE, "predict", finished.bundle, texts, "--explain", "8"],
        env=environment(finished.store), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        assert json.loads(process.stdout.readline())["id"] == "0"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_help_for_a_reader_that_left_ends_quietly_too(store: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run([LATENTPROBE, "--help"], env=environment(store), stdout=closed, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")


def _heed_interrupts() -> None:
    """A job in the background of a script ignores Ctrl-C, and so would what it starts: not in this test."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt_at(words: str, arguments: list[str], cwd: Path, store: Path) -> tuple[int, str, str]:
    """Status, stdout and stderr of a command that gets the terminal's Ctrl-C once it has said some words."""
    with subprocess.Popen(
        [LATENTPROBE, *arguments], cwd=cwd, env=environment(store), text=True, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=_heed_interrupts,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        heard = ""
        for line in process.stderr:
            heard += line
            if line.startswith(words):
                os.killpg(process.pid, signal.SIGINT)
                break
        heard += process.stderr.read()
        out = process.stdout.read()
    return process.returncode, out, heard


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "spec"),
    [
        ("minilm on cpu", small_spec(pooling=["max"], binarize=["none"], baselines=["majority"])),
        # enough rows that not all of them are done before it is stopped
        ("compare: 1 of ", small_spec(pooling=["max", "mean", "sum", "count", "last"])),
    ],
    ids=["extracting", "comparing"],
)
def test_an_interrupted_run_leaves_no_directory_and_the_next_one_goes_on(
    moment: str, spec: dict[str, Any], tmp_path: Path
) -> None:
    store = tmp_path / "features"
    folder = tmp_path / "work"
    folder.mkdir()
    write_csv(folder / "messages.csv", messages(60))
    write_spec(folder / "spec.yaml", spec)
    command = ["run", "spec.yaml", "--out", "out"]

    status, out, err = interrupt_at(moment, command, folder, store)
    assert (status, out) == (130, "")
    assert err.endswith(LAST_WORDS) and "Traceback" not in err
    assert sorted(path.name for path in folder.iterdir()) == ["messages.csv", "spec.yaml"]
    finished = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    assert not any(path.name.endswith(".tmp") for path in finished)

    again = latentprobe(*command, cwd=folder, store=store)
    assert again.returncode == 0, again.stderr
    assert (folder / "out" / "results.json").is_file()
    assert all(path.stat().st_mtime_ns == written for path, written in finished.items())
    if moment.startswith("compare"):
        assert any(path.parent.name == "outcomes" for path in finished)
        assert "extract" not in again.stderr


def _no_large_files() -> None:
    """A disk that is full after some kilobytes, as far as a process can tell."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_end_is_one_message_and_what_was_computed_is_kept(
    finished: Finished, tmp_path: Path
) -> None:
    """The features are stored by then, and the fits; the report does not fit."""
    before = {path for path in finished.store.rglob("*") if path.is_file()}
    done = subprocess.run(
        [LATENTPROBE, "run", finished.folder / "spec.yaml", "--out", tmp_path / "out"],
        env=environment(finished.store), capture_output=True, text=True, preexec_fn=_no_large_files,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: the result cannot be written there" in done.stderr and "File too large" in done.stderr
    assert "Traceback" not in done.stderr and "is kept" in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert {path for path in finished.store.rglob("*") if path.is_file()} >= before
