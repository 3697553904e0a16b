"""Texts, labels, class names, ids and notes belong to strangers: whatever they say, the page stays the same page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from page_parts import Page
from run_folders import change_json, write_run

from latentprobe.report import write_report
from latentprobe.visible import shortened, visible

ATTACKS = [
    "<script>alert(1)</script>",
    "</style></script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)' x='",
    "<svg onload=alert(1)><title></title></svg>",
    "</textarea></title></bdi></mark><iframe src=//evil.example>",
    "{{ 7 * 7 }}{% for x in y %}${alert(1)}",
    "javascript:alert(1)",
    "<!-- --><base href=//evil.example><meta http-equiv=refresh content=0>",
    "]]><a href=x>&lt;b&gt;&#60;script&#62;",
]


def poison(value: Any, attack: str, keep: frozenset[str]) -> Any:
    """Every string in a JSON value replaced, except under keys whose words have a meaning."""
    if isinstance(value, dict):
        return {
            (key if not key_is_free(value) else attack + key): item if key in keep else poison(item, attack, keep)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [poison(item, attack, keep) for item in value]
    return attack if isinstance(value, str) else value


def key_is_free(value: dict) -> bool:
    """Whether keys are names of strangers: classes in "rate", packages, stages, sources."""
    return bool(value) and not {"class", "feature", "id", "name", "kind", "latentprobe", "classes", "f1"} & set(value)


MEANING = frozenset({"kind", "target", "metric", "binarize", "difference"})


def poisoned(tmp_path: Path, attack: str, kind: str = "binary", *, rows: bool = True) -> Page:
    return Page(write_poisoned(tmp_path, attack, kind, rows=rows).read_text(encoding="utf-8"))


def write_poisoned(tmp_path: Path, attack: str, kind: str = "binary", *, rows: bool = True) -> Path:
    """The page of a run in which every text that may be a stranger's is an attack."""
    run = write_run(tmp_path / "run", kind=kind)
    change_json(run / "evidence.json", replace_by(lambda e: poison(e, attack, MEANING)))

    def results(value: dict) -> None:
        value["notes"] = [attack] * 3
        value["name"] = attack
        value["classes"] = [attack + str(i) for i in range(len(value["classes"]))]
        for details in (value["selected_details"], value["best_baseline_details"]):
            for one in details["per_class"]:
                one["class"] = attack
        for row in (value["selected"], value["best_baseline"], *value["rows"]) if rows else ():
            row.update({key: attack for key in ("name", "model", "sae", "pooling", "tokens") if row[key]})
        for one in value["differences"]:
            one["baseline"] = attack

    change_json(run / "results.json", results)
    change_json(run / "environment.json", replace_by(lambda e: poison_environment(e, attack)))
    (run / "spec.yaml").write_text(f"name: {attack}\n", encoding="utf-8", errors="replace")
    pq.write_table(pa.table({visible(attack): [visible(attack)]}), run / "predictions.parquet")
    decisions = pq.read_table(run / "decisions.parquet")
    hostile = pa.Table.from_pylist(poison(decisions.to_pylist(), visible(attack), MEANING), schema=decisions.schema)
    pq.write_table(hostile, run / "decisions.parquet")
    return write_report(run)


def poison_environment(environment: dict, attack: str) -> dict:
    changed = {key: poison(item, attack, frozenset()) for key, item in environment.items()}
    return changed | {
        "seconds": {attack: 1.5},
        "packages": {attack: attack},
        "fingerprints": {attack: attack},
    }


def replace_by(function: Callable[[dict], dict]) -> Callable[[dict], None]:
    def change(value: dict) -> None:
        new = function(dict(value))
        value.clear()
        value.update(new)

    return change


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Page:
    run = write_run(tmp_path_factory.mktemp("clean") / "run")
    return Page(write_report(run).read_text(encoding="utf-8"))


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_in_every_text_adds_no_element_and_no_attribute(tmp_path: Path, clean: Page, attack: str) -> None:
    page = poisoned(tmp_path, attack)
    assert page.problems == []
    assert {element.tag for element in page.elements} <= {element.tag for element in clean.elements}
    known = {(element.tag, name) for element in clean.elements for name in element.attributes}
    assert {(element.tag, name) for element in page.elements for name in element.attributes} <= known
    assert len(page.scripts) == 1
    assert len(page.all("script")) == 2
    assert page.scripts[0].text == clean.scripts[0].text
    assert page.all("style")[0].text == clean.all("style")[0].text
    assert page.text.count(attack[:20]) > 20


@pytest.mark.slow
def test_an_attack_in_the_names_of_many_classes_stays_a_text(tmp_path: Path) -> None:
    page = poisoned(tmp_path, ATTACKS[1], kind="multiclass")
    assert page.problems == []
    assert len(page.scripts) == 1


@pytest.mark.parametrize(
    "sign", ["\x00", "\x1b[31m", "\u202e", "\u2066", "\u200f", "\u200b", "\x85", "\ud800", "\U000e0041"]
)
def test_no_invisible_or_direction_turning_character_reaches_the_page(tmp_path: Path, sign: str) -> None:
    page = poisoned(tmp_path, f"pay{sign}exe.pdf")
    assert sign[0] not in page.source
    assert visible(f"pay{sign}exe.pdf") in page.text


def test_every_stranger_s_text_is_isolated(tmp_path: Path) -> None:
    """A right-to-left text that is not isolated would turn the figures beside it around."""
    arabic = "\u0645\u0631\u062d\u0628\u0627"
    page = poisoned(tmp_path, arabic, rows=False)
    isolated = sum(element.text.count(arabic) for element in page.all("bdi"))
    by_itself = sum(element.text.count(arabic) for element in (page.all("pre")[0], *page.all("option")))
    assert isolated > 50
    assert page.text.count(arabic) == isolated + by_itself


def test_visible_replaces_each_kind_by_its_own_sign() -> None:
    assert visible("a\x00b\x07c\x7fd") == "a␀b␇c␡d"
    assert visible("one\r\ntwo\nthree\u2028four\tfive") == "one↵two↵three↵four⇥five"
    assert visible("\u202eabc\u2069") == "⟨U+202E⟩abc⟨U+2069⟩"
    assert visible("\ud83d") == "\ufffd"
    assert visible("\x9b") == "⟨U+009B⟩"


def test_visible_leaves_writing_as_it_is() -> None:
    for text in ("naïve café", "漢字かな", "می‌خواهم", "👩‍👩‍👧 🏳️‍🌈", "<b>&amp;", "ẅ"):
        assert visible(text) == text


def test_a_long_name_is_shortened_on_the_page(tmp_path: Path) -> None:
    page = poisoned(tmp_path, "x" * 5000)
    assert max(len(element.text) for element in page.all("bdi")) <= 5000  # example texts are cut where they are made
    assert max(len(element.text) for element in page.all("h3")) < 300
    assert shortened("abc", 3) == "abc" and shortened("abcd", 3) == "ab…"
