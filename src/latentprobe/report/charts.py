"""Small pictures as inline SVG: intervals on a common scale, bars, an axis.

Positions are percentages, so that a picture takes the width it is given and its marks and letters keep their size on
every screen. Colours come from the style sheet by class name; shape says the same as colour. Pure functions of
numbers; knows nothing of runs or files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from markupsafe import Markup, escape

from latentprobe.visible import visible

__all__ = ["Kind", "Mark", "Point", "Scale", "Series", "axis", "bar", "columns", "plot", "scale_for", "sign", "track"]

Kind = Literal["selected", "baseline", "test", "inner", "faint"]

_SHAPES: dict[Kind, Markup] = {
    "selected": Markup('<circle r="7" class="m-selected"/>'),
    "baseline": Markup('<path d="M0-7 7 0 0 7-7 0Z" class="m-baseline"/>'),
    "test": Markup('<circle r="5" class="m-test"/>'),
    "inner": Markup('<circle r="5.5" class="m-inner"/>'),
    "faint": Markup('<circle r="3" class="m-faint"/>'),
}
#: In place of a mark whose value lies beyond the left or the right end of the scale.
_BELOW = Markup('<path d="M2-6-6 0 2 6Z" class="m-beyond"/>')
_ABOVE = Markup('<path d="M-2-6 6 0-2 6Z" class="m-beyond"/>')


@dataclass(frozen=True)
class Scale:
    """A linear scale from ``low`` at the left edge to ``high`` at the right one."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> str:
        """Position of a value as a percentage; values outside stop at the edge."""
        share = (value - self.low) / (self.high - self.low)
        return f"{100 * min(1.0, max(0.0, share)):.2f}%"


@dataclass(frozen=True)
class Mark:
    """A value on a track, with its interval where it has one."""

    value: float
    kind: Kind
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Point:
    """A value at a place between the first tick (0) and the last of a plot, with its interval where it has one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """Points of a plot, joined by a line."""

    points: Sequence[Point]
    kind: Kind | None
    """What marks each point; None for a line without marks."""
    name: str
    """Class names of the line in the style sheet."""


def scale_for(values: Iterable[float | None], *, least: float = 0.1, bounds: tuple[float, float] = (0, 1)) -> Scale:
    """A scale with round ends that holds all values and is at least ``least`` wide, within ``bounds``.

    >>> scale_for([0.62, 0.91]).ticks
    (0.6, 0.7, 0.8, 0.9, 1.0)
    """
    known = [value for value in values if value is not None] or [0.0]
    low, high = min(known), max(known)
    widen = max(0.0, least - (high - low)) / 2
    step = _round_step((high - low + 2 * widen) / 4)
    low = max(bounds[0], step * math.floor((low - widen) / step + 1e-9))
    high = min(bounds[1], step * math.ceil((high + widen) / step - 1e-9))
    count = round((high - low) / step)
    return Scale(low, high, tuple(round(low + i * step, 10) for i in range(count + 1)))


def _round_step(rough: float) -> float:
    """The nearest of 1, 2, 5 times a power of ten that is not below ``rough``; 2.5 would need another decimal."""
    power = 10.0 ** math.floor(math.log10(rough))
    return float(next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999))


def track(scale: Scale, marks: Sequence[Mark], *, title: str, reference: float | None = None) -> Markup:
    """One line of a chart: grid, an optional reference line, and marks with their intervals; the last one is on top."""
    parts = [Markup('<line class="grid" x1="{0}" x2="{0}" y1="0" y2="100%"/>').format(scale.at(t)) for t in scale.ticks]
    if reference is not None:
        parts.append(Markup('<line class="reference" x1="{0}" x2="{0}" y1="0" y2="100%"/>').format(scale.at(reference)))
    for mark in marks:
        if mark.low is not None and mark.high is not None and scale.low <= mark.value <= scale.high:
            line = Markup('<line class="whisker w-{}" x1="{}" x2="{}" y1="50%" y2="50%"/>')
            parts.append(line.format(mark.kind, scale.at(mark.low), scale.at(mark.high)))
    for mark in marks:
        place = Markup('<svg x="{}" y="50%" class="place">{}</svg>')
        parts.append(place.format(scale.at(mark.value), _shape(scale, mark)))
    return _picture("track", title, parts)


def _shape(scale: Scale, mark: Mark) -> Markup:
    if mark.value < scale.low:
        return _BELOW
    return _ABOVE if mark.value > scale.high else _SHAPES[mark.kind]


def sign(kind: Kind) -> Markup:
    """The shape of a kind of mark, for a legend."""
    return Markup('<svg class="sign" aria-hidden="true" viewBox="-9 -9 18 18">{}</svg>').format(_SHAPES[kind])


def axis(scale: Scale, *, decimals: int = 2, signed: bool = False) -> Markup:
    """The numbers under a group of tracks. Hidden from screen readers, which hear each track's title."""
    parts = []
    for i, tick in enumerate(scale.ticks):
        anchor = "start" if i == 0 else "end" if i == len(scale.ticks) - 1 else "middle"
        number = f"{tick:+.{decimals}f}" if signed and tick else f"{tick:.{decimals}f}"
        text = Markup('<text x="{}" y="14" text-anchor="{}">{}</text>')
        parts.append(text.format(scale.at(tick), anchor, number.replace("-", "−")))
    return Markup('<svg class="axis" aria-hidden="true">{}</svg>').format(Markup("").join(parts))


def plot(ticks: Sequence[str], scale: Scale, series: Sequence[Series], *, title: str) -> Markup:
    """Lines over evenly spaced ticks; ``scale`` is upright, its numbers stand on their grid lines."""
    parts = []
    for tick in scale.ticks:
        parts.append(Markup('<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(_height(scale, tick)))
        parts.append(Markup('<text x="0" y="{}" dy="-4">{:g}</text>').format(_height(scale, tick), tick))
    for i, tick_name in enumerate(ticks):
        text = Markup('<text x="{}" y="100%" dy="18" text-anchor="middle">{}</text>')
        parts.append(text.format(_across(i, ticks), visible(tick_name)))
    for one in series:
        parts += _joined(one, ticks, scale)
    return _picture("plot", title, parts)


def _joined(series: Series, ticks: Sequence[str], scale: Scale) -> list[Markup]:
    places = [(_across(point.x, ticks), _height(scale, point.y), point) for point in series.points]
    segment = Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>')
    parts = [segment.format(series.name, *a[:2], *b[:2]) for a, b in pairwise(places)]
    if series.kind is None:
        return parts
    for x, _, point in places:
        if point.low is not None and point.high is not None:
            whisker = Markup('<line class="whisker w-{0}" x1="{1}" x2="{1}" y1="{2}" y2="{3}"/>')
            parts.append(whisker.format(series.kind, x, _height(scale, point.low), _height(scale, point.high)))
    mark = Markup('<svg x="{}" y="{}" class="place">{}</svg>')
    return parts + [mark.format(x, y, _SHAPES[series.kind]) for x, y, _ in places]


def _across(x: float, ticks: Sequence[str]) -> str:
    """Ticks stand in the middle of equal parts of the width."""
    return f"{100 * (x + 0.5) / len(ticks):.2f}%"


def _height(scale: Scale, value: float) -> str:
    share = (value - scale.low) / (scale.high - scale.low)
    return f"{100 * (1 - min(1.0, max(0.0, share))):.2f}%"


def columns(inside: Sequence[int], outside: Sequence[int], *, title: str) -> Markup:
    """A histogram of two parts, one on the other, each column as high as its share of the highest."""
    most = max((a + b for a, b in zip(inside, outside, strict=True)), default=0) or 1
    wide = 100 / max(1, len(inside))
    parts = []
    for i, (own, other) in enumerate(zip(inside, outside, strict=True)):
        for name, count, below in (("b-here", own, 0), ("b-other", other, own)):
            rect = Markup('<rect class="{}" x="{:.2f}%" width="{:.2f}%" y="{:.2f}%" height="{:.2f}%"/>')
            top = 100 * (1 - (below + count) / most)
            parts += [rect.format(name, wide * i + 0.4, wide - 0.8, top, 100 * count / most)] * (count > 0)
    return _picture("columns", title, parts)


def bar(share: float, *, title: str, kind: str = "bar") -> Markup:
    """A bar of ``share`` (0 to 1) of the width given."""
    width = f"{100 * min(1.0, max(0.0, share)):.1f}%"
    fill = Markup('<rect class="b-{}" width="{}" height="100%" rx="3"/>').format(kind, width)
    return _picture("bar", title, [Markup('<rect class="b-ground" width="100%" height="100%" rx="3"/>'), fill])


def _picture(name: str, title: str, parts: Sequence[Markup]) -> Markup:
    """An SVG element that names itself to screen readers and on hovering."""
    frame = Markup('<svg class="{}" role="img"><title>{}</title>{}</svg>')
    return frame.format(name, escape(visible(title)), Markup("").join(parts))
