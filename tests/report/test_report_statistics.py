"""What stands beside the table: certainty, further splits, groups, other classifiers, leakage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from page_parts import Page
from run_folders import change_json, write_run

from latentprobe.report import write_report

SCORE = {"value": 0.8, "low": 0.7, "high": 0.9}
GAP = {"value": 0.1, "low": -0.02, "high": 0.22, "highest": "young", "lowest": "old & <b>grey</b>"}
BLOCKS: dict[str, Any] = {
    "effect": {"measure": "Cohen's g", "wins": 1200, "losses": 7, "value": 0.13, "low": -0.1, "high": 0.3},
    "leakage": {
        "near_duplicates": 0.8, "exact_copies": 12, "near_copies": 1300, "clusters": 9, "largest_cluster": 5,
        "moved_to_train": 2, "moved_to_test": 0,
    },
    "power": {
        "alpha": 0.05, "power": 0.8, "standard_error": 0.014, "minimal_difference": 0.04,
        "rows_needed": {"0.01": 3200, "0.05": 128}, "sentence": "With 200 test rows one can just tell .86 from .90.",
    },
    "winners_curse": {
        "sae": {
            "rows": 60, "chosen": "layer 3 max", "chosen_macro_f1": 0.88, "best_on_test": "layer 5 sum",
            "best_macro_f1": 0.91, "value": 0.03,
        }
    },
    "faithfulness": {
        "faithful": False, "failed": ["tokens"], "says": "The explanations fail: <i>tokens</i>.", "rows": 87,
        "features": SCORE, "sufficiency": SCORE, "tokens": {"value": -0.015, "low": -0.1, "high": 0.05},
        "splicing": None, "stability": {"folds": 0.4638, "seeds": None},
    },
    "repeats": {
        "scheme": "nested",
        "repeats": 1,
        "splits": [
            {
                "seed": 0, "fold": fold, "n_train": 800, "n_test": 200, "selected": "layer 3 max",
                "inner_macro_f1": 0.9, "macro_f1": 0.88, "best_baseline": "layer 3 hidden mean",
                "baseline_inner_macro_f1": 0.9, "baseline_macro_f1": 0.87, "difference": 0.01,
            }
            for fold in range(2)
        ],
        "selected": {"mean": 0.8765, "sd": 0.01, "chosen": {"layer 3 max": 2}},
        "best_baseline": {"mean": 0.87, "sd": 0.02, "chosen": {"layer 3 hidden mean": 2}},
        "difference": {"mean": 0.0065, "sd": 0.01, "low": -0.02, "high": 0.03, "p": 0.6},
        "pooled": {
            "selected": SCORE, "best_baseline": SCORE, "n": 1000,
            "difference": {"value": 0.0, "low": -0.1, "high": 0.1, "p": 1.0},
        },
    },
    "by": {
        "age": {
            "values": ["young", "old & <b>grey</b>"],
            "left_out": {"values": 3, "rows": 17},
            "scores": [
                {
                    "name": name, "role": role,
                    "values": {
                        "young": {"n": 90, "macro_f1": SCORE, "accuracy": SCORE, "recall": SCORE, "fpr": None},
                        "old & <b>grey</b>": {"n": 40, "macro_f1": None, "accuracy": SCORE},
                    },
                    "gaps": {"macro_f1": None, "accuracy": GAP, "recall": None, "fpr": None},
                }
                for name, role in (("a", "baseline"), ("b", "best baseline"), ("c", "selected"))
            ],
        },
        "name": {"values": [], "left_out": {"values": 200, "rows": 200}, "scores": []},
    },
    "probes": [
        {
            "name": "layer 3 max", "probe": probe, "setting": setting, "inner_macro_f1": 0.9, "macro_f1": 0.88,
            "low": 0.8, "high": 0.93, "ece_uncalibrated": 0.21, "ece": 0.034, "n_features": 4096,
        }
        for probe, setting in (("linear", {"C": 0.1}), ("centroid", {"shrink_threshold": None}))
    ],
}  # fmt: skip


def page_with(folder: Path, blocks: dict[str, Any], kind: str = "binary") -> Page:
    run = write_run(folder, kind=kind)
    change_json(run / "results.json", lambda results: results.update(blocks))
    return Page(write_report(run).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page_with(tmp_path_factory.mktemp("run") / "run", BLOCKS)


def test_each_block_has_a_section_and_every_tag_closes(page: Page) -> None:
    assert page.problems == []
    order = [element.attributes["id"] for element in page.elements if element.tag == "section"
             and "id" in element.attributes]  # fmt: skip
    assert order[-7:] == ["certainty", "truth", "repeats", "groups", "classifiers", "data", "made"]
    assert {f"#{name}" for name in order} <= {link.attributes["href"] for link in page.all("a")}


@pytest.mark.parametrize(
    "words",
    [
        "one can just tell .86 from .90",
        "about 3,200 test rows for 0.01 and 128 test rows for 0.05",
        "on 1,200 and the best baseline on 7",
        "+0.13 [−0.10, +0.30]",
        "layer 5 sum",
        "The explanations fail: <i>tokens</i>.",
        "the tokens it names, read again by the model: −0.015 [−0.100, 0.050]",
        "share 0.46 of their union across folds (Jaccard)",
        "Over 2 splits (nested)",
        "0.876 (sd 0.010)",
        "Over all 1,000 rows",
        "seed 0, fold 2",
        "old & <b>grey</b>",
        "+0.006 [−0.020, +0.030]",
        "3 values with 17 rows together",
        "200 values with 200 rows together",
        "nearest centroid",
        "shrink threshold none",
        "Rows that stand more than once: 12.",
        "in common): 1,300, in 9 sets",
    ],
)
def test_the_page_says_it(page: Page, words: str) -> None:
    assert words in " ".join(page.text.split())


def test_blocks_that_are_null_or_not_there_make_no_section(tmp_path: Path) -> None:
    nothing = page_with(tmp_path / "null", dict.fromkeys(BLOCKS))
    before = Page(write_report(write_run(tmp_path / "old")).read_text(encoding="utf-8"))
    assert nothing.source == before.source
    assert "certainty" not in before.source and "Are the explanations true?" not in before.source


def test_one_side_only_is_told_in_words(tmp_path: Path) -> None:
    equal = {"measure": "Cohen's g", "wins": 0, "losses": 0, "value": None, "low": None, "high": None}
    never = {"rows_needed": {}, "sentence": "They never differ."}
    page = page_with(tmp_path / "run", {"effect": equal, "power": never, "winners_curse": {}})
    assert "right on the same test rows" in page.text
    assert "it takes about" not in page.text
