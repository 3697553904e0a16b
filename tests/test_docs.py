"""The documents keep their word: pages run, blocks run, figures stand in what they are taken from, nothing is stale."""

from __future__ import annotations

import csv
import doctest
import importlib
import json
import re
import shlex
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from latentprobe.encode.formats import label_table
from latentprobe.files import sha256_file

ROOT = Path(__file__).resolve().parents[1]
DEMO_CARD = ROOT / "src" / "latentprobe" / "assets" / "demo" / "README.md"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language, with blank lines before them so that line numbers are the page's."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return ["\n" * text.count("\n", 0, match.start(1)) + match[1] for match in found]


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Loads a script of the repository by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder as the README has it: messages.csv (every fourth message), messages.yaml, and a store."""
    from latentprobe.experiment.demo import messages_path

    with messages_path().open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    with (tmp_path / "messages.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([rows[0], *rows[1::4]])
    (spec,) = blocks("README.md", "yaml")
    (tmp_path / "messages.yaml").write_text(spec.lstrip(), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTPROBE_STORE", str(tmp_path / "store"))
    return tmp_path


# What is written by hand runs.


@pytest.mark.slow
def test_the_path_of_one_text_is_as_its_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    names: dict[str, Any] = {}
    for block in blocks("docs/path.md", "pycon"):
        example = doctest.DocTestParser().get_doctest(block, names, "path.md", str(ROOT / "docs" / "path.md"), 0)
        runner.run(example, out=said.append, clear_globs=False)
        names = example.globs
    assert runner.tries > 50
    assert runner.failures == 0, "".join(said)


@pytest.mark.slow
def test_the_python_blocks_of_the_readme_run(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for block in blocks("README.md", "python"):
        exec(compile(block, "README.md", "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == said[-1] == "['no']"
    assert len(said) == 2 + 3 + 1


@pytest.mark.slow
def test_the_commands_of_the_readme_run_and_leave_what_it_says(own_folder: Path) -> None:
    from latentprobe.cli.main import app

    commands = [line for block in blocks("README.md", "sh") for line in block.splitlines() if line]
    assert len(commands) == 6
    for command in commands:
        program, *arguments = shlex.split(command, comments=True)
        assert program == "latentprobe"
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, command
    assert len((own_folder / "decisions.jsonl").read_text(encoding="utf-8").splitlines()) == 108
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = {name.rstrip("/") for line in re.findall(r"^\| (`.*?`) \| ", readme, re.MULTILINE) for name in _quoted(line)}
    assert {path.name for path in (own_folder / "runs" / "messages").iterdir()} == told - {"bundled"}


def _quoted(cell: str) -> list[str]:
    return [name for name in re.findall(r"`(.*?)`", cell) if not name.startswith("bundled:")]


def test_every_room_stands_in_the_tree_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "src" / "latentprobe").iterdir():
        if path.name not in ("__pycache__", "__main__.py", "py.typed"):
            assert re.search(rf"^ +{re.escape(path.name)}/? +\S", readme, re.MULTILINE), path.name


# What is generated is as the program is.


def test_nothing_that_is_generated_is_out_of_date(scripts: Any) -> None:
    late = [str(path.relative_to(ROOT)) for path in scripts("render_docs").outdated()]
    assert late == [], "run `make docs`"


def test_the_published_scores_of_labels_are_of_the_labels_in_the_package() -> None:
    published = json.loads((ROOT / "results" / "labels.json").read_text(encoding="utf-8"))["saes"]
    folders = ROOT / "src" / "latentprobe" / "assets" / "saes"
    assert set(published) == {path.parent.name for path in folders.glob("*/labels.jsonl")}
    for name, told in published.items():
        assert told["labels_sha256"] == sha256_file(folders / name / "labels.jsonl"), name
        features = label_table(f"bundled:{name}").features.values()
        assert told["everywhere"]["scored"] == sum(row.score is not None for row in features), name
        assert told["strongest"]["scored"] == sum(row.strongest is not None for row in features), name


def test_a_changed_page_is_found_out_of_date(scripts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    render = scripts("render_docs")
    monkeypatch.setattr(render, "pages", lambda: {tmp_path / "a.md": "new", tmp_path / "b.md": "same"})
    (tmp_path / "a.md").write_text("old", encoding="utf-8")
    (tmp_path / "b.md").write_text("same", encoding="utf-8")
    assert render.outdated() == {tmp_path / "a.md": "new"}


def test_only_what_is_between_its_markers_is_replaced(scripts: Any) -> None:
    with_blocks = scripts("render_docs").with_blocks
    page = "before\n<!-- x -->\nold\nlines\n<!-- /x -->\nafter\n"
    once = with_blocks(page, {"x": "new\n"})
    assert once == "before\n<!-- x -->\nnew\n<!-- /x -->\nafter\n"
    assert with_blocks(once, {"x": "new\n"}) == once
    with pytest.raises(SystemExit, match="pair of markers"):
        with_blocks("a page without them", {"x": "new\n"})


def test_the_picture_of_the_demo_has_the_best_rows_and_the_first_decision_as_printed(scripts: Any) -> None:
    rows = [f"│ sae {i} │" for i in range(6)] + ["├─┤"] + [f"│ baseline {i} │" for i in range(6)]
    printed = "\n".join(
        ["", "  title  ", *rows, "└─┘", "difference", "", "a text", "-> yes   ", "", "another text", ""]
    )
    shown = scripts("render_results").demo_block(printed).splitlines()
    assert shown[:2] == ["```text", "  title"] and shown[-1] == "```"
    assert [line for line in shown if line.startswith("│")] == rows[:4] + rows[7:11]
    assert shown[-6:-1] == ["└─┘", "difference", "", "a text", "-> yes"]


def test_the_command_line_page_has_the_options_that_help_has(scripts: Any) -> None:
    from latentprobe.cli.main import app

    sections = re.split(r"^## latentprobe ", scripts("render_reference").cli_page(), flags=re.MULTILINE)[1:]
    assert len(sections) >= 10
    for section in sections:
        verb = section.splitlines()[0].split()
        help_text = CliRunner().invoke(app, [*verb, "--help"], terminal_width=200).output
        options = set(re.findall(r"^ *(--[a-z-]+)", help_text, re.MULTILINE)) - {"--help"}
        assert set(re.findall(r"^\| `(--[a-z-]+)", section, re.MULTILINE)) == options, verb


def test_the_spec_page_documents_every_key_and_its_examples_parse(scripts: Any) -> None:
    from latentprobe import config

    reference = scripts("render_reference")
    page = reference.spec_page()
    example = yaml.safe_load(reference.example_spec())
    assert config.parse_spec(example) == config.parse_spec(yaml.safe_load(reference.SHORTEST))
    assert set(example) == set(config.ExperimentSpec.model_fields)
    models = (config.DataSpec, config.BackboneSpec, config.ProbeSpec, config.EvaluateSpec, config.FileTest)
    for model in (config.ExperimentSpec, config.ColumnTest, *models):
        for name, field in model.model_fields.items():
            line = re.escape(" ".join(str(field.description).split()))
            assert re.search(rf"^\| `{name}` \| .* \| {line} \|$", page, re.MULTILINE)


def test_the_python_page_has_every_public_name(scripts: Any) -> None:
    import latentprobe

    headings = set(re.findall(r"^## (\w+)$", scripts("render_reference").api_page(), re.MULTILINE))
    assert headings == {name for name in latentprobe.__all__ if not name.startswith("_")}


def test_a_difference_is_called_a_win_only_when_interval_and_corrected_p_agree(scripts: Any) -> None:
    verdict = scripts("render_results")._verdict
    seen = [
        verdict({"value": value, "low": low, "high": high, "p_holm": p})
        for value, low, high, p in [
            (0.05, 0.01, 0.09, 0.01),
            (0.05, 0.01, 0.09, 0.2),
            (0.05, -0.01, 0.11, 0.01),
            (-0.05, -0.09, -0.01, 0.2),
            (-0.05, -0.09, -0.01, 0.01),
        ]
    ]
    assert seen == ["win", "ahead", "level", "behind", "lose"]


def test_the_card_of_the_messages_has_the_counts_that_they_have(scripts: Any) -> None:
    describe = scripts("describe_demo")
    card = DEMO_CARD.read_text(encoding="utf-8")
    assert describe.lengths() in card
    assert describe.words() in card


def test_the_card_of_the_messages_has_the_scores_of_shallow_models(scripts: Any) -> None:
    describe = scripts("describe_demo")
    card = DEMO_CARD.read_text(encoding="utf-8")
    for name, features in describe.SHALLOW.items():
        english = describe.score(describe.messages("en", "hostile"), features)
        assert f"| hostile | {name} | {english:.2f} |" in card
