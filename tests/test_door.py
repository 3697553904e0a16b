"""The door: which names are public, and that opening it costs nothing."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

import latentprobe

NAMES = [
    "Classifier",
    "ExperimentSpec",
    "LatentprobeError",
    "SAEVectorizer",
    "__version__",
    "load_sae",
    "read_corpus",
    "run",
]
HEAVY = ["torch", "transformers", "sklearn", "scipy", "numpy", "pyarrow", "pydantic", "yaml", "datasets", "plotly"]


def in_a_new_process(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


def test_these_names_are_public_and_no_others() -> None:
    assert sorted(latentprobe.__all__) == dir(latentprobe) == NAMES
    assert len(NAMES) <= 10


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(latentprobe, name) is not None


def test_a_name_is_found_once_and_is_the_real_one() -> None:
    from latentprobe.deploy.classifier import Classifier

    assert latentprobe.Classifier is Classifier
    assert vars(latentprobe)["Classifier"] is Classifier


def test_the_version_is_the_installed_one() -> None:
    assert latentprobe.__version__ == importlib.metadata.version("latentprobe")


def test_a_typo_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Clasifier'"):
        latentprobe.Clasifier  # noqa: B018


def test_importing_brings_in_nothing_heavy() -> None:
    loaded = in_a_new_process(f"import sys, latentprobe; print([m for m in {HEAVY} if m in sys.modules])")
    assert loaded == "[]"


def test_corpora_specs_and_errors_need_no_torch() -> None:
    names = "read_corpus, ExperimentSpec, LatentprobeError"
    assert in_a_new_process(f"import sys; from latentprobe import {names}; print('torch' in sys.modules)") == "False"


def test_a_missing_extra_is_named_with_the_command_that_installs_it() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import latentprobe\n"
        "try:\n    latentprobe.Classifier\n"
        "except latentprobe.LatentprobeError as error:\n    print(error.fix)"
    )
    assert in_a_new_process(program) == "pip install 'latentprobe[encode]'"


def test_every_name_of_the_door_is_a_thing_to_use_not_a_module() -> None:
    import types

    names = [name for name in latentprobe.__all__ if name != "__version__"]
    assert not [name for name in names if isinstance(getattr(latentprobe, name), types.ModuleType)]
    assert all(callable(getattr(latentprobe, name)) for name in names)
