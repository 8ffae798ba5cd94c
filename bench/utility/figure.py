"""One measure as small charts: a row per size, a column per world, budgets along the axis."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from bench.utility.measures import Score, average
from bench.utility.results import Results
from bench.utility.table import Place, by_place
from server.drawing.svg import Element, element, figure, text, text_width, ticks

_WIDTH, _HEIGHT = 190.0, 150.0  # of a panel, without its margins
_LEFT, _GAP_X, _GAP_Y = 62.0, 22.0, 52.0
_BESIDE = 5.0  # pixels between arms at one budget
_COLOURS = ("#1f5fa8", "#6fa8dc", "#222222", "#d9822b", "#b03a48", "#6b8e23", "#7b4fa3", "#999999")
_STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#333}.title{font-weight:600}"
    ".grid{stroke:#ddd}.frame{fill:none;stroke:#999}.band{fill:#1f5fa8;opacity:.1}"
)


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn."""

    title: str
    measure: Callable[[Score], float]
    logarithmic: bool
    band: tuple[float, float] | None = None  # shaded: where values should lie


@dataclass(frozen=True, slots=True)
class _Axes:
    """Where budgets and values lie in a panel, relative to its upper left corner."""

    epsilons: tuple[float, ...]
    low: float
    high: float
    logarithmic: bool

    def x(self, epsilon: float) -> float:
        return _WIDTH * (0.5 + self.epsilons.index(epsilon)) / len(self.epsilons)

    def y(self, value: float) -> float:
        low, high, at = (
            (math.log(self.low), math.log(self.high), math.log(value))
            if self.logarithmic
            else (self.low, self.high, value)
        )
        return _HEIGHT * (high - at) / (high - low)

    def marks(self) -> tuple[float, ...]:
        if not self.logarithmic:
            return ticks(self.low, self.high, 5)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found = [step * 10.0**power for power in powers for step in (1, 2, 5)]
        return tuple(mark for mark in found if self.low <= mark <= self.high)


def drawing(results: Results, chart: Chart) -> str:
    """Return the chart as a document of SVG; places without the measure are left out.

    An arm has the same colour in every chart of the same results.
    """
    averages = {place: average(seeds) for place, seeds in by_place(results).items()}
    colours = dict(zip(_distinct(averages, 3), cycle(_COLOURS), strict=False))
    points = {place: chart.measure(score) for place, score in averages.items()}
    points = {place: value for place, value in points.items() if np.isfinite(value)}
    worlds, sizes, axes = _distinct(points, 0), sorted(_distinct(points, 1)), _axes(points, chart)
    width = _LEFT + max(2, len(worlds)) * (_WIDTH + _GAP_X)
    arms = {arm: colours[arm] for arm in _distinct(points, 3)}
    legend, top = _legend(arms, width)
    parts = [_styled(), text(chart.title, _LEFT, 18, "title"), *legend]
    for row, size in enumerate(sizes):
        for column, world in enumerate(worlds):
            own = {
                (place[3], place[2]): value
                for place, value in points.items()
                if place[:2] == (world, size)
            }
            at = _LEFT + column * (_WIDTH + _GAP_X), top + row * (_HEIGHT + _GAP_Y)
            heading = text(f"{world}, N = {size:,}", 0, -6, "title")
            shown = [heading, *_frame(axes, chart, column == 0), *_series(axes, arms, own)]
            parts += [element("g", *shown, transform=f"translate({at[0]} {at[1]})")] if own else []
    size_of = width, top + len(sizes) * (_HEIGHT + _GAP_Y)
    made = figure(size_of, chart.title, "Budgets (epsilon) along the axis.", parts)
    return str(made).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _distinct(points: Iterable[Place], axis: int) -> list[Any]:
    return list(dict.fromkeys(place[axis] for place in points))


def _axes(points: Mapping[Place, float], chart: Chart) -> _Axes:
    values = [value for value in points.values() if value > 0 or not chart.logarithmic]
    values += chart.band or ()
    low, high = min(values), max(values)
    if chart.logarithmic:
        low, high = low / 1.3, high * 1.3
    else:
        low, high = max(0.0, low - 0.03), high + 0.02
    return _Axes(tuple(sorted({place[2] for place in points})), low, high, chart.logarithmic)


def _styled() -> Element:
    style = element("style")
    style.text = _STYLE
    return style


def _legend(arms: Mapping[str, str], width: float) -> tuple[list[Element], float]:
    """Return the names of arms with their colours, in lines, and where panels may begin."""
    found, x, y = [], _LEFT, 40.0
    for arm, colour in arms.items():
        room = 32 + text_width(arm, 11)
        if x + room > width:
            x, y = _LEFT, y + 18
        found += [element("circle", cx=x, cy=y - 4, r=4, fill=colour), text(arm, x + 8, y)]
        x += room
    return found, y + 34


def _frame(axes: _Axes, chart: Chart, labelled: bool) -> list[Element]:
    found = []
    if chart.band:
        top, bottom = axes.y(chart.band[1]), axes.y(chart.band[0])
        found.append(element("rect", x=0, y=top, width=_WIDTH, height=bottom - top, class_="band"))
    for mark in axes.marks():
        y = axes.y(mark)
        found.append(element("line", x1=0, y1=y, x2=_WIDTH, y2=y, class_="grid"))
        if labelled:
            found.append(text(f"{mark:g}", -6, y + 4, text_anchor="end"))
    found += [
        text(f"{epsilon:g}", axes.x(epsilon), _HEIGHT + 16, text_anchor="middle")
        for epsilon in axes.epsilons
    ]
    found.append(element("rect", x=0, y=0, width=_WIDTH, height=_HEIGHT, class_="frame"))
    return found


def _series(
    axes: _Axes, arms: Mapping[str, str], values: Mapping[tuple[str, float], float]
) -> list[Element]:
    """Return a line with dots per arm, side by side, so that none hides another."""
    found = []
    for place, (arm, colour) in enumerate(arms.items()):
        beside = _BESIDE * (place - (len(arms) - 1) / 2)
        at = [
            (axes.x(epsilon) + beside, axes.y(max(value, axes.low)))
            for epsilon in axes.epsilons
            if (value := values.get((arm, epsilon))) is not None
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        found.append(element("polyline", points=line, fill="none", stroke=colour))
        found += [element("circle", cx=x, cy=y, r=3, fill=colour) for x, y in at]
    return found
