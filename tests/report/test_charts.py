from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from latentprobe.report.charts import Mark, Scale, axis, bar, scale_for, track

UNIT = Scale(0.5, 1.0, (0.5, 0.75, 1.0))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_a_scale_holds_every_value_and_has_round_ends(values: list[float]) -> None:
    scale = scale_for(values)
    assert 0 <= scale.low <= min(values) + 1e-9
    assert max(values) - 1e-9 <= scale.high <= 1
    assert scale.high - scale.low >= 0.1 - 1e-9 or scale.high == 1 or scale.low == 0
    assert scale.ticks[0] == round(scale.low, 10) and abs(scale.ticks[-1] - scale.high) < 1e-9
    assert 2 <= len(scale.ticks) <= 8


def test_a_position_is_the_share_of_the_way_and_stops_at_the_edges() -> None:
    assert [UNIT.at(value) for value in (0.5, 0.6, 1.0, 0.2, 3)] == ["0.00%", "20.00%", "100.00%", "0.00%", "100.00%"]


def test_a_track_draws_interval_mark_and_reference_where_they_belong() -> None:
    svg = track(UNIT, [Mark(0.8, "selected", 0.7, 0.9)], title="macro F1 0.8", reference=0.6)
    assert isinstance(svg, Markup)
    assert 'class="whisker w-selected" x1="40.00%" x2="80.00%"' in svg
    assert '<svg x="60.00%" y="50%" class="place"><circle' in svg
    assert 'class="reference" x1="20.00%"' in svg
    assert "<title>macro F1 0.8</title>" in svg and 'role="img"' in svg


def test_a_value_beyond_the_scale_points_there_instead_of_lying_on_the_edge() -> None:
    below = track(UNIT, [Mark(0.1, "baseline", 0.05, 0.2)], title="t")
    above = track(UNIT, [Mark(1.4, "selected", 1.3, 1.5)], title="t")
    for svg in (below, above):
        assert "m-beyond" in svg and "whisker" not in svg
    assert "m-baseline" not in below and "m-selected" not in above


def test_shapes_say_the_same_as_colours() -> None:
    shapes = {re.search(r"<(circle|path)[^>]*?(r=\"[\d.]+\"|d=\"[^\"]+\")", track(UNIT, [Mark(0.8, kind)], title=""))[0]
              for kind in ("selected", "baseline", "test", "inner", "faint")}  # fmt: skip
    assert len(shapes) == 5


def test_a_bar_is_as_long_as_its_share() -> None:
    assert 'width="25.0%"' in bar(0.25, title="a quarter")
    assert 'width="100.0%"' in bar(7, title="")
    assert 'width="0.0%"' in bar(-1, title="")


def test_an_axis_writes_its_ticks_with_real_minus_signs() -> None:
    svg = axis(Scale(-0.1, 0.1, (-0.1, 0.0, 0.1)), signed=True, decimals=1)
    assert re.findall(r">([^<]+)</text>", svg) == ["−0.1", "0.0", "+0.1"]


def test_a_title_is_escaped_and_made_visible() -> None:
    svg = track(UNIT, [], title="<b>\u202e")
    assert "<title>&lt;b&gt;⟨U+202E⟩</title>" in svg
