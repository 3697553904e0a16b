"""The page of mistakes names tests that exist; and nothing in the tree reads a file that can run code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from latentprobe.config import ProbeSpec
from latentprobe.corpus import corpus_from
from latentprobe.learn import Recipe, choose, inner_folds, units_of

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "mistakes.md").read_text(encoding="utf-8")

#: Number of each mistake with a section -> what the section says.
SECTIONS = {int(number): text for number, text in re.findall(r"^## (\d+)\. (.*?)(?=^## |\Z)", PAGE, re.M | re.S)}


def named(text: str) -> set[str]:
    return set(re.findall(r"`(tests/\S+\.py::\w+)`", text))


def existing() -> set[str]:
    """Every test of the tree, as file::name."""
    return {
        f"{path.relative_to(ROOT).as_posix()}::{node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_each_mistake_has_tests_and_each_of_them_exists() -> None:
    assert {*range(1, 11), 14} <= set(SECTIONS)
    assert all(named(text) for text in SECTIONS.values())
    assert named(PAGE) - existing() == set()


# -- 4: what the baseline is given ------------------------------------------------------------------------------------


def test_mistake_4_hidden_states_are_standardized() -> None:
    """A direction that tells the classes apart is found however small it is beside others, as hidden states have it."""
    draw = np.random.default_rng(0)
    codes = np.arange(200) % 2
    informative = (codes + draw.normal(0, 0.2, 200)) * 1e-3
    loud = draw.normal(300, 100, (200, 20))
    hidden = np.column_stack([informative, loud]).astype(np.float32)
    corpus = corpus_from([f"text {i}" for i in range(200)], codes.tolist())
    folds = inner_folds(corpus.target, units_of(corpus), 5, 0)
    assert choose(hidden, corpus.target, folds, Recipe("dense"), ProbeSpec()).inner_macro_f1 > 0.9


# -- 14: files that run code ------------------------------------------------------------------------------------------

MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "jsonpickle"}
#: What torch's restricted reader raises where it refuses a file: a name, which reads nothing.
HARMLESS = {"pickle.UnpicklingError"}
CALLS = {
    "eval", "exec", "os.system", "os.popen", "joblib.load", "joblib.dump", "torch.save", "pandas.read_pickle",
    "pd.read_pickle", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "torch.jit.load",
    "torch.hub.load",
}  # fmt: skip
#: Function -> the keyword it is safe with, and the value that keyword must have, written out.
ONLY_WITH = {"torch.load": ("weights_only", True)}
#: Keyword -> the one value it may have in any call.
NEVER_BUT = {"allow_pickle": False, "trust_remote_code": False, "shell": False, "weights_only": True}


def unsafe(source: str) -> Iterator[str]:
    """What in some code reads or writes a file that can run code, or hands a line to a shell."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if name.name.split(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module), names=names):
                imported = {f"{module}.{name.name}" for name in names} - HARMLESS
                from_unsafe = module.split(".")[0] in MODULES
                yield from (name for name in sorted(imported) if from_unsafe or name in {*CALLS, *ONLY_WITH})
            case ast.Call(func=function, keywords=keywords):
                yield from unsafe_call(ast.unparse(function), {one.arg: one.value for one in keywords if one.arg})


def unsafe_call(function: str, keywords: dict[str, ast.expr]) -> Iterator[str]:
    if function in CALLS:
        yield function
    if function in ONLY_WITH and not has(keywords, *ONLY_WITH[function]):
        yield function
    for keyword, value in NEVER_BUT.items():
        if keyword in keywords and not has(keywords, keyword, value):
            yield keyword


def has(keywords: dict[str, ast.expr], keyword: str, value: bool) -> bool:
    given = keywords.get(keyword)
    return isinstance(given, ast.Constant) and given.value is value


def test_mistake_14_nothing_here_reads_a_file_that_can_run_code() -> None:
    files = [path for folder in ("src", "scripts") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 50
    found = {path.name: list(unsafe(path.read_text(encoding="utf-8"))) for path in files}
    assert {name: calls for name, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import a, pickle as p",
        "from pickle import loads",
        "from pickle import UnpicklingError, Unpickler",
        "from joblib import load",
        "from torch import load",
        "joblib.load(path)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=safe)",
        "torch.save(model, path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=wanted)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "pd.read_pickle(path)",
        "yaml.load(stream)",
        "subprocess.run('kill ' + pid, shell=True)",
        "os.system('kill 1')",
        "eval(text)",
    ],
)
def test_mistake_14_each_unsafe_call_is_found(line: str) -> None:
    assert list(unsafe(line))


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path, weights_only=True)",
        "from pickle import UnpicklingError",
        "np.load(path, allow_pickle=False)",
        "yaml.safe_load(text)",
        "json.load(stream)",
        "subprocess.run(['git', 'status'])",
        "model.eval()",
        "AutoModel.from_pretrained(name, trust_remote_code=False)",
    ],
)
def test_safe_calls_are_left_alone(line: str) -> None:
    assert list(unsafe(line)) == []


@pytest.mark.parametrize(
    "line",
    ["import pickle", "import dill", "from joblib import load", "import shelve", "import torch\n\ntorch.save({}, 'a')"],
)
def test_mistake_14_the_linter_refuses_pickles_too(line: str) -> None:
    source = f'"""A module."""\n\n{line}\n'
    done = subprocess.run(
        [Path(sys.executable).parent / "ruff", "check", "--no-cache", "--output-format", "concise",
         "--stdin-filename", "src/latentprobe/new.py", "-"],
        cwd=ROOT, input=source, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "TID251" in done.stdout
