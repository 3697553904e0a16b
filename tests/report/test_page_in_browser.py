"""The page in a real browser, without network: it runs nothing but its own script, and everybody can use it."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from in_browser import FAINT, STUMBLING, opened
from PIL import Image
from run_folders import DECIDED, change_json, write_decisions, write_run
from test_hostile_texts import ATTACKS, MEANING, poison, replace_by, write_poisoned

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


@pytest.mark.parametrize("attack", [ATTACKS[1], ATTACKS[5], "".join(ATTACKS)])
def test_an_attack_in_every_text_runs_nothing_and_loads_nothing(chromium: Any, tmp_path: Path, attack: str) -> None:
    """No console message either: the policy never had to stop anything, as nothing got through the escaping."""
    with opened(chromium, write_poisoned(tmp_path, attack)) as seen:
        page = seen.page
        page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        page.mouse.move(300, 300)
        for key in ("End", "Home"):
            page.locator("#row-list").press(key)
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


def test_a_click_sorts_either_way_with_what_has_no_value_last(chromium: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    change_json(run / "results.json", lambda results: results["rows"][20].update(macro_f1=None, low=None, high=None))
    with opened(chromium, write_report(run)) as seen:
        header = seen.page.get_by_role("columnheader", name="Test F1").first
        orders = []
        for direction in ("descending", "ascending"):
            header.get_by_role("button").press("Enter")
            assert header.get_attribute("aria-sort") == direction
            rows = seen.page.locator("#row-table tbody tr")
            orders.append(rows.evaluate_all("rows => rows.map((row) => row.cells[5].dataset.value)"))
        said = seen.page.locator("#rows [role=status]").all_inner_texts()
    down, up = orders
    assert (down[-1], up[-1], len(up)) == ("", "", 72)
    assert up[:-1] == sorted(up[:-1], key=float)
    assert down[:-1] == sorted(down[:-1], key=float, reverse=True)
    assert "sorted by Test F1, ascending" in said


def test_typing_filters_a_table_and_says_how_much_is_left(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["binary"]) as seen:
        seen.page.locator("#rows input").fill("TF-IDF words")
        assert seen.page.locator("#row-table tbody tr:visible").count() == 1
        assert "1 of 72 shown" in seen.page.locator("#rows [role=status]").all_inner_texts()
    with opened(chromium, pages["multiclass"]) as seen:  # a long table without a filter of its own gets one
        seen.page.locator("#classes details").first.evaluate("part => { part.open = true; }")
        seen.page.locator("#classes .filter input").first.fill("lost_card")
        assert seen.page.locator("#classes details tbody tr:visible").count() == 1


def test_the_browser_of_rows_begins_with_the_surest_error(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["binary"]) as seen:
        page = seen.page
        assert page.locator("#row-count").inner_text() == "200 of 200 rows, 25 of them wrong"
        first = page.locator("#row-list [role=option]").first
        assert first.get_attribute("aria-selected") == "true" and "wrong: given" in first.inner_text()
        assert page.locator("#row-detail h3").inner_text().startswith("Wrong: given ")
        assert page.locator("#row-detail mark").count() >= 3
        assert page.locator("#row-detail mark.against").count() == 1
        marked = page.locator("#row-detail mark").all_inner_texts()
        assert marked == page.locator("#row-detail tbody td:nth-child(2)").all_inner_texts()


def test_a_row_s_features_have_the_scores_of_their_labels_as_text_beside_them(
    chromium: Any, pages: dict[str, Path]
) -> None:
    with opened(chromium, pages["binary"]) as seen:
        seen.page.fill("#row-feature", "password")
        names = seen.page.locator("#row-detail tbody th").all_inner_texts()
        score = "label score 0.90 (0.85 to 0.95) where strongest, 0.55 (0.52 to 0.58) wherever on"
        assert [score in name for name in names] == [place % 2 == 0 for place in range(len(names))]
        assert not any("label score" in name and score not in name for name in names)


def test_rows_are_found_by_text_feature_class_and_outcome(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["binary"]) as seen:
        page = seen.page

        def found() -> int:
            return int(page.locator("#row-count").inner_text().split(" ")[0])

        page.fill("#row-text", "LAWYER (1")
        assert 0 < found() < 200
        assert all(
            "lawyer" in text for text in page.locator("#row-list [role=option]").locator("bdi").all_inner_texts()
        )
        page.fill("#row-text", "")
        page.fill("#row-feature", "101")
        by_number = found()
        assert 0 < by_number < 200 and page.locator("#row-detail").get_by_text("feature 101", exact=True).count() == 1
        page.fill("#row-feature", "late parcel")
        assert found() >= by_number
        page.fill("#row-feature", "")
        page.select_option("#row-show", "wrong")
        assert found() == 25
        page.fill("#row-text", "no such words")
        assert found() == 0 and "No row" in page.locator("#row-detail").inner_text()


def test_the_list_of_rows_is_walked_with_the_keyboard(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["binary"]) as seen:
        page = seen.page
        page.focus("#row-list")
        for key, place in (("ArrowDown", 1), ("ArrowUp", 0), ("End", 199), ("Home", 0), ("ArrowUp", 0)):
            page.keyboard.press(key)
            active = page.get_attribute("#row-list", "aria-activedescendant")
            assert active == f"row-{place}"
            assert page.locator(f"#{active}").get_attribute("aria-selected") == "true"
            assert page.locator(f"#{active}").get_attribute("aria-setsize") == "200"


def test_ten_thousand_rows_stay_fluid_and_the_file_stays_small(chromium: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_decisions(run, ["civil", "hostile"], 10_000)
    page = write_report(run)
    assert page.stat().st_size <= 6 * 2**20
    with opened(chromium, page) as seen:
        assert seen.page.locator("#row-count").inner_text().startswith("10,000 of 10,000 rows")
        assert seen.page.locator("#row-list [role=option]").count() < 30
        took = seen.page.evaluate(
            """async () => {
              const list = document.getElementById("row-list"), text = document.getElementById("row-text");
              const frame = () => new Promise((done) => requestAnimationFrame(done));
              const begin = performance.now();
              for (let i = 1; i <= 30; i += 1) {
                list.scrollTop = i * 20000;
                await frame();
              }
              const scrolled = (performance.now() - begin) / 30;
              const times = [];
              for (const words of ["l", "la", "law", "lawyer"]) {
                const start = performance.now();
                text.value = words; text.dispatchEvent(new Event("input"));
                list.getBoundingClientRect();
                times.push(performance.now() - start);
              }
              return [scrolled, Math.max(...times)];
            }"""
        )
        assert took[0] < 50, "a frame of scrolling, in ms"
        assert took[1] < 400, "a letter of searching, in ms"


def test_texts_too_long_for_the_page_are_cut_around_their_brightest_token(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    decided = pq.read_table(run / "decisions.parquet").to_pylist() * 50
    for one in decided:
        one["text"] = "früher " * 120 + one["text"]
        for part in one["features"]:
            part["start"], part["end"] = part["start"] + 840, part["end"] + 840
    pq.write_table(pa.Table.from_pylist(decided, schema=DECIDED), run / "decisions.parquet")
    page = write_report(run)
    assert page.stat().st_size <= 6 * 2**20
    data = page.read_text(encoding="utf-8").split('<script type="application/json" id="row-data">')[1]
    rows = json.loads(data.split("</script>")[0])["rows"]
    assert len(rows) == 10_000
    for one, row in zip(decided[:200], rows, strict=False):
        feature, _, start, end, _ = row[8][0]
        assert feature == one["features"][0]["feature"]
        assert row[6][start:end] == one["features"][0]["token"] and row[7] & 1


def test_on_paper_errors_are_text_and_controls_are_gone(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["binary"]) as seen:
        assert not seen.page.locator("#test-rows .paper").is_visible()
        seen.page.emulate_media(media="print")
        assert seen.page.locator("#test-rows .paper li").count() == 10
        assert seen.page.locator("#test-rows .paper").is_visible()
        assert not seen.page.locator("#browser").is_visible()


def test_without_a_script_errors_are_there_as_text(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["binary"], java_script_enabled=False) as seen:
        assert seen.page.locator("#test-rows .paper").is_visible()
        assert not seen.page.locator("#browser").is_visible()


def with_everything(folder: Path) -> Path:
    """A run with charts of every kind and a page a feature."""
    run = write_run(folder)

    def charts(results: dict) -> None:
        score = {"inner_macro_f1": 0.8, "macro_f1": 0.7, "low": 0.6, "high": 0.75}
        best = {"name": "layer 1 max"} | score
        results["curves"] = {"layer": [{"value": n, "rows": 2, "inner": 0.7, "best": best} for n in (1, 3)]}
        results["curves"]["k_sparse"] = [
            {"representation": name, "rule": rule, "k": k, "kind": kind} | score
            for name, kind in (("layer 1 max", "sae"), ("tfidf words", "baseline"))
            for rule in ("mean difference", "weight")
            for k in (1, 16, 64)
        ]
        gain = {"value": 0.02, "low": -0.01, "high": 0.05}
        condition = {"regime": "rows", "n_train": 20, "repeats": 3, "baseline": 0.6, "all": 0.62, "gain": gain}
        results["regimes"] = {"conditions": [condition | {"level": 20}, condition | {"level": None}], "left_out": []}

    def profiles(evidence: dict) -> None:
        evidence["neuronpedia"] = "gpt2-small/8-res-jb"
        named = {f["feature"]: f for one in evidence["classes"] for f in one["features"]}
        numbers = list(named)
        evidence["profiles"] = [
            {
                "feature": number,
                **{name: named[number][name] for name in ("label", "label_score")},
                "weights": {"civil": -0.5, "hostile": 0.5},
                "rate": 0.2,
                "histogram": {"class": "hostile", "edges": [0, 1, 2], "inside": [3, 5], "outside": [1, 0]},
                "neighbours": [{"feature": numbers[i - 1], "label": None, "similarity": 0.5}],
            }
            for i, number in enumerate(numbers)
        ]

    change_json(run / "results.json", charts)
    change_json(run / "evidence.json", profiles)
    return write_report(run)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_everything(tmp_path_factory.mktemp("everything") / "run")


def test_charts_and_feature_pages_are_for_everybody_too(chromium: Any, everything: Path) -> None:
    for scheme in ("light", "dark"):
        with opened(chromium, everything, color_scheme=scheme) as seen:
            for section in ("choices", "sparse", "regimes", "feature-pages"):
                assert seen.page.locator(f"#{section}").is_visible()
            seen.page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
            assert seen.page.evaluate(STUMBLING) == []
            assert seen.page.evaluate(FAINT) == []
    with opened(chromium, everything, viewport={"width": 360, "height": 780}) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_link_to_a_feature_opens_its_page(chromium: Any, everything: Path) -> None:
    with opened(chromium, everything, reduced_motion="reduce") as seen:
        link = seen.page.locator("#features h4 a").first
        target = seen.page.locator(str(link.get_attribute("href")))
        assert target.get_attribute("open") is None
        link.click()
        seen.page.wait_for_function("part => part.open", arg=target.element_handle())
        assert target.locator("svg.columns title").text_content() == (
            "on in 8 rows of hostile and 1 others; highest value 2"
        )
        number = str(link.get_attribute("href")).removeprefix("#feature-")
        assert "label score 0.90 (0.85 to 0.95) where strongest" in target.locator(".profile").inner_text()
        address = target.get_by_role("link", name="On Neuronpedia").get_attribute("href")
        assert address == f"https://www.neuronpedia.org/gpt2-small/8-res-jb/{number}"


def test_a_name_that_is_none_of_neuronpedia_s_makes_no_link(tmp_path: Path) -> None:
    page = with_everything(tmp_path / "run")
    change_json(tmp_path / "run/evidence.json", lambda e: e.update(neuronpedia="javascript:alert(1)//x/y"))
    write_report(tmp_path / "run")
    assert "neuronpedia.org" not in page.read_text(encoding="utf-8")


def test_a_chart_is_saved_as_a_picture_with_its_letters_and_colours(
    chromium: Any, everything: Path, tmp_path: Path
) -> None:
    with opened(chromium, everything) as seen:
        for kind in ("svg", "png"):
            with seen.page.expect_download() as saved:
                seen.page.get_by_role("button", name=f'Save the chart "sparse" as {kind.upper()}').click()
            assert saved.value.suggested_filename == f"sparse.{kind}"
            saved.value.save_as(tmp_path / f"sparse.{kind}")
        accent = seen.page.evaluate("getComputedStyle(document.querySelector('#sparse .m-selected')).fill")
        assert seen.errors == []
    root = ElementTree.parse(tmp_path / "sparse.svg").getroot()
    letters = [part.text for part in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"mean difference", "weight", "tfidf words", "16"} <= set(letters)
    assert any(part.get("fill") == accent for part in root.iter("{http://www.w3.org/2000/svg}circle"))
    image = Image.open(tmp_path / "sparse.png").convert("RGB")
    colours = {colour for _, colour in image.getcolors(2**20)}
    assert tuple(map(int, re.findall(r"\d+", accent))) in colours


def test_an_attack_in_charts_and_feature_pages_runs_nothing(chromium: Any, tmp_path: Path) -> None:
    attack = "".join(ATTACKS)
    with_everything(tmp_path / "run")
    change_json(tmp_path / "run/evidence.json", replace_by(lambda e: poison(e, attack, MEANING)))

    def sparse(results: dict) -> None:
        results["curves"]["k_sparse"] = [poison(one, attack, MEANING) for one in results["curves"]["k_sparse"]]

    change_json(tmp_path / "run/results.json", sparse)
    with opened(chromium, write_report(tmp_path / "run")) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        assert attack[:12] in seen.page.locator("#feature-list summary").first.inner_text()
        assert attack[:12] in seen.page.locator("#sparse figcaption").inner_text()
        with seen.page.expect_download():
            seen.page.get_by_role("button", name='Save the chart "sparse" as PNG').click()
        assert (seen.dialogs, seen.requests, seen.errors) == ([], [], [])
