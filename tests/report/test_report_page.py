from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from page_parts import Page
from run_folders import change_json, write_run

from latentprobe.errors import SpecError
from latentprobe.report import write_report

KINDS = ("binary", "multiclass", "multilabel")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    folder = tmp_path_factory.mktemp("runs")
    return {kind: Page(write_report(write_run(folder / kind, kind=kind)).read_text(encoding="utf-8")) for kind in KINDS}


def page_of(run: Path) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_tag_closes_and_no_id_stands_twice(pages: dict[str, Page], kind: str) -> None:
    page = pages[kind]
    assert page.problems == []
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    anchors = [link.attributes["href"] for link in page.all("a")]
    assert {anchor.removeprefix("#") for anchor in anchors if anchor} <= set(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_loads_nothing(pages: dict[str, Page], kind: str) -> None:
    page = pages[kind]
    for element in page.elements:
        for name, value in element.attributes.items():
            assert name not in ("src", "srcset", "style", "action", "background", "data", "poster"), element
            assert not name.startswith("on"), element
            if name in ("href", "xlink:href"):
                assert value and (value.startswith("#") or value == "data:,"), element
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page.source.replace("// The page is whole", ""))


def test_the_policy_allows_exactly_the_style_and_the_script_of_the_page(pages: dict[str, Page]) -> None:
    page = pages["binary"]
    (policy,) = (m.attributes["content"] for m in page.all("meta", http_equiv="Content-Security-Policy"))
    for tag, elements in (("style", page.all("style")), ("script", page.scripts)):
        (element,) = elements
        digest = base64.b64encode(hashlib.sha256(element.text.encode("utf-8")).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in str(policy)
    assert str(policy).startswith("default-src 'none';")
    assert "unsafe" not in str(policy)
    tags = [element.tag for element in page.elements]
    assert tags.index("style") > next(i for i, e in enumerate(page.elements) if "http-equiv" in e.attributes)


def test_the_sections_come_in_the_order_of_interest(pages: dict[str, Page]) -> None:
    for page in pages.values():
        order = [e.attributes["id"] for e in page.elements if e.tag in ("header", "section") and "id" in e.attributes]
        assert order == ["summary", "features", "test-rows", "rows", "layers", "classes", "differences", "data", "made"]


def test_without_a_script_everything_is_there_and_no_dead_control_shows(pages: dict[str, Page]) -> None:
    page = pages["multiclass"]
    (browser,) = page.all("div", id="browser")
    assert "hidden" in browser.attributes
    in_it = ("Text", "Feature", "Class", "Show")
    assert all("hidden" in one.attributes for one in page.all("label") if not one.text.startswith(in_it))
    assert not page.all("button")
    assert "lost_card" in page.text


def test_one_row_is_selected_one_is_the_best_baseline_and_all_others_are_exploration(pages: dict[str, Page]) -> None:
    for page in pages.values():
        roles = [element.text for element in page.all("span", class_="role")]
        assert roles[:2] == ["selected", "best baseline"]
        assert set(roles[2:]) == {"exploration"}
        assert len(roles) == 72


def test_a_fit_that_did_not_converge_is_marked(pages: dict[str, Page]) -> None:
    assert len(pages["binary"].all("span", class_="flag")) == 2  # in the table, and in the note below it


def test_the_lit_token_is_marked_and_the_ellipsis_stands_outside_the_text(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    example = {"id": "7", "text": "a\tred car", "start": 2, "end": 5, "value": 2.0, "true": "hostile", "own": True}
    example |= {"cut_before": True, "cut_after": False, "typical": False}
    change_json(run / "evidence.json", lambda e: e["classes"][0]["features"][0].update(examples=[example]))
    page = page_of(run)
    assert page.all("mark")[0].text == "red"
    first = page.all("li", class_="example")[0].text
    assert first.strip().startswith("… a⇥red car")


def test_an_example_of_another_class_is_outlined(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    example = {"id": "7", "text": "x", "start": 0, "end": 1, "value": 2.0, "true": "hostile", "own": False}
    change_json(run / "evidence.json", lambda e: e["classes"][0]["features"][0].update(examples=[example]))
    assert "elsewhere" in str(page_of(run).all("li", class_="example elsewhere")[0].attributes["class"])


SCORED = {"score": 0.55, "low": 0.52, "high": 0.58, "strongest": 0.9, "strongest_low": 0.85, "strongest_high": 0.95}


def only(score: object) -> Callable[[dict], None]:
    """The first feature scored like this, and no other."""

    def change(evidence: dict) -> None:
        for feature in (each for one in evidence["classes"] for each in one["features"]):
            feature["label_score"] = None
        evidence["classes"][0]["features"][0]["label_score"] = score

    return change


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (SCORED, "label score 0.90 (0.85 to 0.95) where strongest, 0.55 (0.52 to 0.58) wherever on"),
        (SCORED | {"strongest": None, "strongest_low": None}, "label score 0.55 (0.52 to 0.58) wherever on"),
        (0.55, "label score 0.55 wherever on"),
    ],
)
def test_a_label_s_score_is_text_beside_it_and_the_page_says_what_it_means(
    tmp_path: Path, score: object, words: str
) -> None:
    run = write_run(tmp_path / "run")
    change_json(run / "evidence.json", only(score))
    page = page_of(run)
    assert [each.text for each in page.all("p", class_="number") if "label score" in each.text] == [words]
    assert any("0.5 is chance" in each.text for each in page.all("dd"))


@pytest.mark.parametrize("score", [None, {name: None for name in SCORED}])
def test_a_label_that_was_not_scored_has_no_score_and_never_zero(tmp_path: Path, score: object) -> None:
    run = write_run(tmp_path / "run")
    change_json(run / "evidence.json", only(score))
    assert "label score" not in page_of(run).text


def test_up_to_twenty_classes_the_matrix_is_drawn_and_beyond_the_confused_pairs(pages: dict[str, Page]) -> None:
    assert len(pages["binary"].all("table", class_="matrix")) == 1
    assert not pages["multiclass"].all("table", class_="matrix")
    assert "Most confused pairs" in pages["multiclass"].text
    assert not pages["multilabel"].all("table", class_="matrix")


def test_the_matrix_shows_every_count(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    change_json(run / "results.json", lambda r: r["selected_details"].update(confusion=[[91, 3], [17, 86]]))
    page = page_of(run)
    cells = [e for e in page.all("td") if str(e.attributes.get("class", "")).startswith("heat-")]
    assert [cell.text for cell in cells] == ["91", "3", "17", "86"]
    assert [cell.attributes["title"] for cell in cells][3] == "83 % of the line"


def test_rows_are_counted_by_who_is_right(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    name = json.loads((run / "results.json").read_text())["best_baseline"]["name"]
    rows = [("a", "a", "a")] * 5 + [("a", "a", "b")] * 4 + [("a", "b", "a")] * 3 + [("a", "b", "b"), ("b", "a", "a")]
    true, ours, theirs = map(list, zip(*rows, strict=True))
    pq.write_table(
        pa.table({"true": true, "selected/label": ours, f"{name}/label": theirs}), run / "predictions.parquet"
    )
    (facts,) = (e for e in page_of(run).all("dl", class_="facts") if "neither" in e.text)
    assert facts.text.split("\n")[1:-1] == [
        "both are right5",
        "only the readable one4",
        "only the baseline3",
        "neither2",
    ]


def test_a_run_with_77_classes_long_texts_and_100_rows_is_below_two_mebibytes(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", kind="multiclass")

    def fatten(evidence: dict) -> None:
        for one in evidence["classes"]:
            for feature in one["features"]:
                for example in feature["examples"]:
                    example.update(text="ünd " * 60, start=100, end=103)

    change_json(run / "evidence.json", fatten)
    change_json(run / "results.json", lambda r: r["rows"].extend(r["rows"][10:38]))
    assert write_report(run).stat().st_size < 2 * 2**20


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_a_run_without_baseline_evidence_or_details_still_has_a_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")

    def strip(results: dict) -> None:
        results.update(best_baseline=None, difference=None, differences=[], notes=[])
        results.update(selected_details=None, best_baseline_details=None)
        results["rows"] = [row for row in results["rows"] if row["selected"]]

    change_json(run / "results.json", strip)
    change_json(run / "evidence.json", lambda evidence: evidence.update(classes=[]))
    page = page_of(run)
    assert page.problems == []
    assert "no baseline in this run" in page.text
    assert "stored no evidence" in page.text


@pytest.mark.parametrize(
    "name", ["results.json", "environment.json", "evidence.json", "spec.yaml", "predictions.parquet"]
)
def test_a_missing_or_damaged_file_is_refused_by_name_and_the_old_page_stays(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "run")
    before = write_report(run).read_bytes()
    if name != "spec.yaml":
        (run / name).write_bytes(b"[1, 2")
        with pytest.raises(SpecError, match=name.replace(".", r"\.")):
            write_report(run)
    (run / name).unlink()
    with pytest.raises(SpecError, match=name.replace(".", r"\.")) as refusal:
        write_report(run)
    assert refusal.value.fix
    assert (run / "report.html").read_bytes() == before
    assert not list(run.glob("*.tmp")) and not list(run.glob(".*"))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="run directory"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(SpecError, match=r"results\.json"):
        write_report(tmp_path)
    run = write_run(tmp_path / "run")
    change_json(run / "results.json", lambda results: results.pop("rows"))
    with pytest.raises(SpecError, match="no rows"):
        write_report(run)


def test_importing_the_report_brings_in_neither_torch_nor_scikit_learn() -> None:
    heavy = "{'torch', 'transformers', 'sklearn', 'scipy'}"
    code = f"import sys, latentprobe.report; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
