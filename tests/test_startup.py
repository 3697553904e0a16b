"""The command answers at once what needs no library: nothing heavy is imported before a verb needs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from latentprobe.cli.main import app

LATENTPROBE = Path(sys.executable).parent / "latentprobe"

HEAVY = ("torch", "transformers", "datasets", "sklearn", "scipy", "numpy", "pandas", "pyarrow", "yaml")

#: Runs the command's entry point as the installed script does, then writes what was imported.
PROBE = """
import sys
from latentprobe.cli.main import main
sys.argv[0] = "latentprobe"
try:
    main()
finally:
    import json
    sys.stderr.write(json.dumps(sorted(sys.modules)))
"""


def imported(code: str, *arguments: str) -> set[str]:
    """Modules in a fresh interpreter after it ran some code that writes them to stderr as JSON."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr))


def verbs(group: typer.Typer, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every verb as its words, groups included."""
    for command in group.registered_commands:
        assert command.callback is not None
        yield (*above, command.name or command.callback.__name__)
    for inner in group.registered_groups:
        assert inner.typer_instance is not None and inner.name is not None
        yield (*above, inner.name)
        yield from verbs(inner.typer_instance, (*above, inner.name))


VERBS = list(verbs(app))


def test_importing_the_package_imports_none_of_the_heavy_ones() -> None:
    modules = imported("import json, sys, latentprobe; sys.stderr.write(json.dumps(sorted(sys.modules)))")
    assert "latentprobe" in modules
    assert modules.isdisjoint(HEAVY)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--version"], ["run", "--help"], ["saes", "show", "--help"]])
def test_help_imports_none_of_the_heavy_ones(arguments: list[str]) -> None:
    modules = imported(PROBE, *arguments)
    assert "latentprobe.cli.main" in modules
    assert modules.isdisjoint(HEAVY)


def test_a_classifier_is_used_without_what_only_fitting_needs() -> None:
    modules = imported("import json, sys, latentprobe.deploy; sys.stderr.write(json.dumps(sorted(sys.modules)))")
    assert "torch" in modules
    assert modules.isdisjoint(["sklearn", "pandas", "scipy.stats"])


def test_the_verbs_of_the_design_page_are_there() -> None:
    assert {" ".join(verb) for verb in VERBS} >= {
        "demo", "run", "extract", "fit", "predict", "explain", "report", "bench", "saes list", "saes show",
    }  # fmt: skip


@pytest.mark.parametrize("verb", [(), *VERBS], ids=lambda verb: " ".join(verb) or "latentprobe")
def test_every_verb_of_the_installed_command_explains_itself(verb: tuple[str, ...]) -> None:
    done = subprocess.run([LATENTPROBE, *verb, "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: {' '.join(['latentprobe', *verb])} ")


def test_the_version_is_told() -> None:
    from latentprobe import __version__

    done = subprocess.run([LATENTPROBE, "--version"], capture_output=True, text=True)
    assert done.stdout == f"latentprobe {__version__}\n"
