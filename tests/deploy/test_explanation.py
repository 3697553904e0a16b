"""An explanation is a list, and a notebook shows it with its tokens marked and everything escaped."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

from latentprobe.deploy.explanation import Explanation

TEXT = "You <b>useless</b> 🙈 \u202eidiots"


def feature(
    number: int, contribution: float, *spans: tuple[int, int], label: str | None = None, score: Any = None
) -> Any:
    tokens = [{"text": TEXT[start:end], "start": start, "end": end, "value": 1.0} for start, end in spans]
    return {
        "feature": number, "label": label, "label_score": score, "weight": contribution, "value": 1.0,
        "contribution": contribution, "tokens": tokens,
    }  # fmt: skip


class Parts(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, str] = {}
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1]
        if tag == "span" and attributes["title"] not in self.inside:
            self.inside[str(attributes["title"])] = data


def test_it_is_the_list_it_shows() -> None:
    features = [feature(3, 2.0, (0, 3)), feature(5, -1.0, (7, 14))]
    told = Explanation(features, TEXT)
    assert told == features and told[0]["feature"] == 3
    assert json.loads(json.dumps(told)) == features


def test_each_token_is_marked_for_its_strongest_feature_and_nothing_of_the_text_is_markup() -> None:
    label = '"><script>alert(1)</script>'
    told = Explanation(
        [feature(3, 2.0, (7, 14), label=label), feature(5, -1.0, (7, 14), (0, 3)), feature(6, 0.5, (19, 20))], TEXT
    )
    page = Parts(told._repr_html_())
    assert {tag for tag, _ in page.tags} == {"p", "bdi", "span", "table", "thead", "tbody", "tr", "th", "td"}
    assert page.inside == {f"{label} +2.000": "useless", "feature 5 -1.000": "You", "feature 6 +0.500": "🙈"}
    assert "\u202e" not in told._repr_html_() and "⟨U+202E⟩idiots" in told._repr_html_()


def test_a_label_s_score_stands_beside_it_and_where_none_is_known_there_is_no_column_for_it() -> None:
    known = feature(3, 2.0, (0, 3), label="you", score={"score": 0.55, "low": 0.52, "high": 0.58, "strongest": 0.9})
    told = Explanation([known, feature(5, -1.0, (7, 14), label="other")], TEXT)._repr_html_()
    assert "<td>you</td><td>0.90 where strongest, 0.55 (0.52 to 0.58) wherever on</td>" in told
    assert "<td>other</td><td></td>" in told and "0.5 is chance" in told
    assert "core" not in Explanation([feature(3, 2.0, (0, 3), label="you")], TEXT)._repr_html_()


def test_what_speaks_against_is_told_apart_without_colour() -> None:
    told = Explanation([feature(3, 2.0, (0, 3)), feature(5, -1.0, (7, 14))], TEXT)
    styles = [attributes["style"] for tag, attributes in Parts(told._repr_html_()).tags if tag == "span"]
    assert ["dotted" in str(style) for style in styles] == [False, True]


def test_without_places_in_a_text_there_is_only_the_table_and_without_features_nothing_breaks() -> None:
    assert "<p" not in Explanation([feature(3, 2.0, (0, 3))])._repr_html_()
    assert Explanation()._repr_html_() == ""
