"""The pages of a transfer, of an edit and of a comparison, in a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from in_browser import FAINT, STUMBLING, opened
from run_folders import write_run
from test_comparison_page import HOSTILE, found

from latentprobe.report import write_transfer_report
from latentprobe.report.comparison import comparison_page, edit_page

pytestmark = pytest.mark.slow

KEPT = Path(__file__).parents[2] / "results" / "transfer_demo.json"
CUT = {"start": 0, "end": 4, "cut_before": True, "cut_after": False, "value": 1.5}
PAGES = ("transfer", "edit", "comparison")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind, every name in it hostile."""
    folder = tmp_path_factory.mktemp("pages")
    made = {"edit": edit_page(found()), "comparison": comparison_page(found())}
    for kind, page in made.items():
        (folder / f"{kind}.html").write_text(page, encoding="utf-8")
    return {kind: folder / f"{kind}.html" for kind in made} | {"transfer": transfer_page(folder / "transfer")}


def transfer_page(folder: Path) -> Path:
    """The measured transfer of the demonstration, with a hostile domain, note and feature."""
    text = KEPT.read_text(encoding="utf-8")
    results = json.loads(text.replace('"de"', json.dumps(HOSTILE)))
    results["notes"].append(HOSTILE)
    names = [domain["name"] for domain in results["domains"]]
    results["overlap"]["features"] = [
        {
            "feature": 7,
            "label": HOSTILE,
            "domains": names,
            "class": results["classes"][1],
            "weights": dict.fromkeys(names, 0.5),
            "examples": {name: [{**CUT, "id": HOSTILE, "text": HOSTILE}] for name in names},
        }
    ]
    write_run(folder)  # environment, spec and predictions, as a transfer has them too
    (folder / "transfer.json").write_text(json.dumps(results), encoding="utf-8")
    return write_transfer_report(folder)


@pytest.mark.parametrize("kind", PAGES)
def test_the_page_opens_offline_runs_nothing_of_a_stranger_and_says_nothing_wrong(
    chromium: Any, pages: dict[str, Path], kind: str
) -> None:
    with opened(chromium, pages[kind]) as seen:
        assert seen.page.locator("h1").inner_text()
        assert "alert(1)" in seen.page.locator("body").inner_text()
        assert (seen.dialogs, seen.requests, seen.errors) == ([], [], [])


@pytest.mark.parametrize("kind", PAGES)
def test_nobody_stumbles_over_names_headings_or_links(chromium: Any, pages: dict[str, Path], kind: str) -> None:
    with opened(chromium, pages[kind]) as seen:
        assert seen.page.evaluate(STUMBLING) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", PAGES)
def test_every_text_stands_out_from_its_ground(chromium: Any, pages: dict[str, Path], kind: str, scheme: str) -> None:
    with opened(chromium, pages[kind], color_scheme=scheme) as seen:
        assert seen.page.evaluate(FAINT) == []


@pytest.mark.parametrize("kind", PAGES)
def test_a_phone_shows_the_page_without_scrolling_sideways(chromium: Any, pages: dict[str, Path], kind: str) -> None:
    with opened(chromium, pages[kind], viewport={"width": 360, "height": 780}) as seen:
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_table_of_flipped_rows_is_filtered_by_typing(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["comparison"]) as seen:
        lines = seen.page.locator("tbody tr:visible")
        before = lines.count()
        box = seen.page.locator("input[type=search]").first
        box.fill("no such row")
        assert lines.count() < before
