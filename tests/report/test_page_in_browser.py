"""The page in a real browser, without network: it runs nothing but its own script, and everybody can use it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from in_browser import FAINT, STUMBLING, opened
from run_folders import write_run
from test_hostile_texts import ATTACKS, write_poisoned

from latentprobe.report import write_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind of task."""
    folder = tmp_path_factory.mktemp("pages")
    return {kind: write_report(write_run(folder / kind, kind=kind)) for kind in ("binary", "multiclass", "multilabel")}


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_the_page_opens_offline_and_asks_for_nothing(chromium: Any, pages: dict[str, Path], kind: str) -> None:
    with opened(chromium, pages[kind]) as seen:
        assert seen.page.locator("h1").inner_text()
        assert seen.requests == []
        assert seen.errors == []


def test_the_policy_stops_a_script_and_a_style_that_are_not_the_page_s_own(
    chromium: Any, pages: dict[str, Path], tmp_path: Path
) -> None:
    changed = tmp_path / "changed.html"
    source = pages["binary"].read_text(encoding="utf-8")
    injected = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
    changed.write_text(source.replace("</main>", f"{injected}</main>"), encoding="utf-8")
    with opened(chromium, changed) as seen:
        assert seen.page.title() != "taken"
        assert any("Content Security Policy" in error for error in seen.errors)


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_in_every_text_runs_nothing_and_loads_nothing(chromium: Any, tmp_path: Path, attack: str) -> None:
    """No console message either: the policy never had to stop anything, as nothing got through the escaping."""
    with opened(chromium, write_poisoned(tmp_path, attack)) as seen:
        page = seen.page
        page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        page.mouse.move(300, 300)
        for box in page.locator("input[type=search]").all():
            box.fill("a")
            box.fill("")
        assert attack[:12] in page.locator("h1").inner_text()
        assert (seen.dialogs, seen.requests, seen.errors) == ([], [], [])


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_nobody_stumbles_over_names_headings_or_links(chromium: Any, pages: dict[str, Path], kind: str) -> None:
    with opened(chromium, pages[kind]) as seen:
        assert seen.page.evaluate(STUMBLING) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(chromium: Any, pages: dict[str, Path], scheme: str) -> None:
    for kind in ("binary", "multiclass"):
        with opened(chromium, pages[kind], color_scheme=scheme) as seen:
            assert seen.page.evaluate(FAINT) == []


def test_the_tab_key_walks_down_the_page_in_reading_order(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["binary"], reduced_motion="reduce") as seen:
        tops, names = [], []
        for _ in range(60):
            seen.page.keyboard.press("Tab")
            if seen.page.evaluate("document.activeElement === document.body"):
                break
            top, name, ring = seen.page.evaluate(
                "() => { const at = document.activeElement; const box = at.getBoundingClientRect();"
                "return [box.top + scrollY, at.textContent.trim() || at.tagName, getComputedStyle(at).outlineStyle]; }"
            )
            assert ring != "none", f"where the focus is cannot be seen: {name}"
            tops.append(top)
            names.append(name)
        assert names[0] == "Skip to the outcome"
        below = [top for top, name in zip(tops, names, strict=True) if top > 200]
        assert len(below) > 10 and all(b > a - 60 for a, b in pairwise(below))


def test_a_phone_shows_the_page_without_scrolling_sideways(chromium: Any, pages: dict[str, Path]) -> None:
    for path in pages.values():
        with opened(chromium, path, viewport={"width": 360, "height": 780}) as seen:
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_on_a_phone_a_name_stands_before_its_figure(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["binary"], viewport={"width": 360, "height": 780}) as seen:
        places = seen.page.evaluate(
            "Array.from(document.querySelectorAll('#layers .line:not(.foot)')).map((line) => "
            "['.who', '.figure', '.picture'].map((name) => line.querySelector(name).getBoundingClientRect())"
            ".map((box) => [box.left, box.top]))"
        )
        assert len(places) > 3
        for who, figure, picture in places:
            assert who[0] < figure[0] and who[1] < picture[1]
