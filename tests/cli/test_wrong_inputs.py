"""Whatever is wrong with what a user gives: status 2, one message that says what to do, and nothing written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Finished
from tests.cli.small_world import in_this_process, latentprobe, listing, messages, small_spec, write_csv, write_spec

Arrange = Callable[[Path], object]


def spec(**changes: Any) -> Arrange:
    """A good folder but for these keys of the spec."""
    return lambda folder: write_spec(folder / "spec.yaml", small_spec(**changes))


def backbone(**changes: Any) -> Arrange:
    return spec(backbones=[{"model": "minilm", "layers": [3], "saes": ["bundled:minilm-l3-1k"]} | changes])


def text(name: str, content: str | bytes) -> Arrange:
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def rows(change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> Arrange:
    """A good folder but for these rows of messages.csv."""
    return lambda folder: write_csv(folder / "messages.csv", change(messages(60)))


def other_files(name: str) -> Arrange:
    def arrange(folder: Path) -> None:
        (folder / name).mkdir()
        (folder / name / "thesis.txt").write_text("years of work")

    return arrange


def cut_off(name: str) -> Arrange:
    """A file that lost its second half."""

    def arrange(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return arrange


def good(folder: Path) -> None:
    """Nothing is wrong with the files; the arguments are."""


def latin1(folder: Path) -> None:
    lines = (folder / "messages.csv").read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b"a", b"\xe4", 1)
    (folder / "messages.csv").write_bytes(b"".join(lines))


RUN = ["run", "spec.yaml", "--out", "out"]
FIT = ["fit", "messages.csv", "--label", "hostile", "--sae", "bundled:minilm-l3-1k", "--out", "out"]

#: What is wrong, the files, the arguments, and what the message must say.
CASES: dict[str, tuple[Arrange, Sequence[str], Sequence[str]]] = {
    # the command line itself
    "an unknown command": (good, ["runn", "spec.yaml"], ["No such command 'runn'", "'run'"]),
    "an unknown option": (good, ["run", "spec.yaml", "--outt", "x"], ["--outt", "--out"]),
    "no spec named": (good, ["run"], ["SPEC.yaml"]),
    "a word where a number is due": (good, [*FIT, "--layer", "three"], ["--layer"]),
    "a negative number of features": (good, ["predict", "bundle", "-", "--explain", "-1"], ["--explain"]),
    "a benchmark that is none": (good, ["bench", "encod"], ["encod", "'encode'"]),
    "a verb of saes that is none": (good, ["saes", "lst"], ["lst", "'list'"]),
    # the spec
    "no such spec": (good, ["run", "none.yaml"], ["none.yaml", "No such file"]),
    "a folder for a spec": (lambda folder: (folder / "d").mkdir(), ["run", "d"], ["d: Is a directory"]),
    "a spec that is not YAML": (text("spec.yaml", "name: [a\nb: {"), RUN, ["not valid YAML", "line"]),
    "a spec that is a list": (text("spec.yaml", "- a\n- b\n"), RUN, ["mapping", "list"]),
    "an unknown key": (spec(poolings=["max"]), RUN, ["poolings", "'pooling'"]),
    "a negative C": (spec(probe={"C": [-1.0]}), RUN, ["probe.C.0 = -1.0", "above 0"]),
    "an unknown pooling": (spec(pooling=["maximum"]), RUN, ["maximum", "'max'"]),
    "an unknown binarization": (spec(binarize=["often"]), RUN, ["often", "none, auto or a number"]),
    "no baselines": (spec(baselines=[]), RUN, ["baseline", "hidden"]),
    # the data
    "no such file": (spec(data={"path": "none.csv"}), RUN, ["none.csv"]),
    "a folder for a file": (spec(data={"path": "."}), RUN, ["folder"]),
    "a missing column": (spec(data={"label": "hostil"}), RUN, ["hostil", "did you mean 'hostile'?"]),
    "a wrong encoding": (latin1, RUN, ["UTF-8", "line 4", "byte", "0xe4"]),
    "an empty file": (text("messages.csv", ""), RUN, ["messages.csv"]),
    "a header and no rows": (text("messages.csv", "id,text,intent,hostile\n"), RUN, ["messages.csv"]),
    "one class": (rows(lambda all: [row | {"hostile": "yes"} for row in all]), RUN, ["class", "yes"]),
    "too few rows in a class": (
        rows(lambda all: [row | {"hostile": "yes" if i < 2 else "no"} for i, row in enumerate(all)]),
        RUN,
        ["'yes'", "folds"],
    ),
    "duplicate ids": (rows(lambda all: [row | {"id": "1"} for row in all]), RUN, ["id"]),
    "no such test file": (spec(data={"test": {"path": "test.csv"}}), RUN, ["test.csv"]),
    "a test value that never occurs": (
        spec(data={"test": {"column": "intent", "value": "tset"}}), RUN, ["tset", "intent"],
    ),
    "a data set of the hub that is not there": (spec(data={"path": "hf:nobody/nothing"}), RUN, ["nobody/nothing"]),
    # the model and the SAE
    "an unknown model": (backbone(model="no-such-model"), RUN, ["no-such-model"]),
    "a folder without a model": (backbone(model="."), RUN, ["."]),
    "a layer that is not there": (backbone(layers=[6], saes="auto"), RUN, ["6"]),
    "an unknown SAE": (backbone(saes=["bundled:minilm-l3-9k"]), RUN, ["minilm-l3-9k", "minilm-l3-4k"]),
    "part of an SAE's name": (backbone(saes=["bundled:minilm-l3"]), RUN, ["'minilm-l3'", "minilm-l3-4k"]),
    "an SAE for another layer": (backbone(saes=["bundled:minilm-l1-4k"]), RUN, ["blocks.3", "blocks.1", "layer 1"]),
    "no SAEs": (backbone(saes=[]), RUN, ["saes", "auto"]),
    # where results go
    "the working folder": (good, ["run", "spec.yaml", "--out", "."], [".", "--out"]),
    "no permission to write": (good, ["run", "spec.yaml", "--out", "/proc/out"], ["/proc/out", "write"]),
    "a file for the results' folder": (good, ["run", "spec.yaml", "--out", "messages.csv"], ["messages.csv", "--out"]),
    "a folder inside a file": (
        good, ["run", "spec.yaml", "--out", "messages.csv/out"], ["messages.csv is a file"],
    ),
    "new folders for wrong data": (latin1, ["run", "spec.yaml", "--out", "new/deep/out"], ["UTF-8"]),
    "the default folder for wrong data": (latin1, ["run", "spec.yaml"], ["UTF-8"]),
    "a folder with other files": (other_files("out"), RUN, ["out", "other files"]),
    "a store that is a file": (good, [*RUN, "--store", "messages.csv"], ["messages.csv"]),
    "a store without permission": (good, ["extract", "spec.yaml", "--store", "/proc/features"], ["/proc/features"]),
    # fit
    "fit: a missing column": (good, [*FIT, "--text", "body"], ["body", "text"]),
    "fit: a binarization that is none": (good, [*FIT, "--binarize", "often"], ["often", "--binarize"]),
    "fit: a negative threshold": (good, [*FIT, "--binarize", "-2"], ["-2", "at least 0"]),
    "fit: an unknown pooling": (good, [*FIT, "--pooling", "median"], ["median", "max"]),
    "fit: an unknown selection": (good, [*FIT, "--selection", "best"], ["best", "top"]),
    "fit: an SAE for another layer": (good, [*FIT, "--layer", "1"], ["blocks.1", "blocks.3"]),
    "fit: a positive class that is none": (good, [*FIT, "--positive", "ja"], ["ja", "yes"]),
    "fit: the same label twice": (good, [*FIT, "--label", "hostile"], ["hostile hostile", "once"]),
    "fit: a wrong encoding": (latin1, [*FIT[:-1], "new/deep/out"], ["UTF-8", "line 4"]),
    "fit: an unknown SAE in new folders": (
        good, [*FIT[:-1], "new/out", "--sae", "bundled:minilm-l3-2k"], ["minilm-l3-2k"],
    ),
    "fit: a folder with other files": (other_files("out"), FIT, ["out", "other files"]),
    "fit: over a run": (
        lambda folder: (folder / "out").mkdir() or text("out/results.json", "{}")(folder),
        FIT,
        ["out"],
    ),
    "fit: no permission to write": (good, [*FIT[:-1], "/proc/out"], ["/proc/out"]),
    "fit: an unknown model": (good, [*FIT, "--model", "no-such-model"], ["no-such-model"]),
    # predict and explain
    "no such bundle": (good, ["predict", "none", "messages.csv"], ["none"]),
    "a file for a bundle": (good, ["predict", "messages.csv", "messages.csv"], ["messages.csv"]),
    "a damaged bundle": (
        cut_off("bundle/probe.safetensors"),
        ["explain", "bundle", "--text", "Hello"],
        ["probe.safet"],
    ),
    "half a manifest": (cut_off("bundle/probe.json"), ["predict", "bundle", "messages.csv"], ["probe.json"]),
    "predict: a missing column": (good, ["predict", "bundle", "messages.csv", "--text", "txt"], ["txt", "'text'"]),
    "predict: a folder for the result": (
        lambda folder: (folder / "d").mkdir(), ["predict", "bundle", "messages.csv", "--out", "d"], ["d is a folder"],
    ),
    "predict: no permission to write": (
        good, ["predict", "bundle", "messages.csv", "--out", "/proc/decisions.jsonl"], ["/proc/decisions.jsonl"],
    ),
    "predict: duplicate ids": (good, ["predict", "bundle", "messages.csv", "--id", "intent"], ["unique", "billing"]),
    # report and saes
    "report: no run": (good, ["report", "bundle"], ["bundle"]),
    "saes show: an unknown one": (good, ["saes", "show", "bundled:minilm-l9-4k"], ["minilm-l9-4k", "minilm"]),
    "saes show: a folder that is none": (good, ["saes", "show", "bundle"], ["bundle"]),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, finished: Finished) -> Path:
    """A folder in which everything is right: messages.csv, spec.yaml and a bundle."""
    write_csv(tmp_path / "messages.csv", messages(60))
    write_spec(tmp_path / "spec.yaml", small_spec())
    shutil.copytree(finished.bundle, tmp_path / "bundle")
    return tmp_path


def check_refusal(status: object, stdout: str, stderr: str, says: Sequence[str]) -> None:
    assert status == 2, stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    lines = stderr.splitlines()
    assert lines[0].startswith("error: "), stderr
    for mark in ("error: ", "  got: ", "  fix: "):
        assert sum(line.startswith(mark) for line in lines) == 1, stderr
    for part in says:
        assert part in stderr, stderr


@pytest.mark.parametrize("wrong", CASES)
def test_is_refused_in_one_message_and_nothing_is_written(
    wrong: str, folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arrange, arguments, says = CASES[wrong]
    arrange(folder)
    before = listing(folder)
    status, out, err = in_this_process(arguments, folder, store, monkeypatch, capfd)
    check_refusal(status, out, err, says)
    assert listing(folder) == before


#: Of each kind of refusal one that the installed command is asked for; the second list is refused by what takes
#: seconds to import.
AT_ONCE = [
    "an unknown command", "an unknown option", "no spec named", "no such spec", "a folder for a spec",
    "a spec that is not YAML", "a spec that is a list", "an unknown key", "a negative C", "an unknown pooling",
]  # fmt: skip
LATER = [
    "a missing column", "a wrong encoding", "an SAE for another layer", "no permission to write", "a damaged bundle",
    "fit: over a run", "saes show: an unknown one",
]  # fmt: skip


@pytest.mark.parametrize("wrong", [*AT_ONCE, *(pytest.param(wrong, marks=pytest.mark.slow) for wrong in LATER)])
def test_the_installed_command_refuses_it_alike(wrong: str, folder: Path, store: Path) -> None:
    arrange, arguments, says = CASES[wrong]
    arrange(folder)
    before = listing(folder)
    done = latentprobe(*arguments, cwd=folder, store=store)
    check_refusal(done.returncode, done.stdout, done.stderr, says)
    assert listing(folder) == before


@pytest.mark.slow
def test_bytes_on_stdin_that_are_no_text_are_refused_before_anything_is_decided(folder: Path, store: Path) -> None:
    done = latentprobe("predict", "bundle", "-", cwd=folder, store=store, stdin=b"fine\nna\xefve\n")
    check_refusal(done.returncode, done.stdout, done.stderr, ["stdin is not UTF-8", "line 2, byte 3"])


def test_a_message_steers_no_terminal(
    folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_spec(folder / "spec.yaml", small_spec(data={"label": "\x1b[31mred"}))
    status, out, err = in_this_process(RUN, folder, store, monkeypatch, capfd)
    check_refusal(status, out, err, ["[31mred"])
    assert "\x1b" not in err


def test_a_refusal_leaves_an_earlier_run_as_it_was(
    finished: Finished, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished.folder, tmp_path / "copy")
    write_spec(tmp_path / "copy" / "spec.yaml", small_spec(data={"label": "hostil"}))
    before = listing(tmp_path / "copy")
    status, out, err = in_this_process(RUN, tmp_path / "copy", store, monkeypatch, capfd)
    check_refusal(status, out, err, ["hostil"])
    assert listing(tmp_path / "copy") == before
