"""Marginals as small multiples: synthetic bars, the noisy released share as a dot with whiskers."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from protocol.study.study import Study
from protocol.study.variables import Count, Numeric
from server.drawing.svg import Element, element, figure, fitted, text, ticks
from server.release.marginals import Marginal

_WIDTH = 280.0
_LABELS, _SHARES = 92.0, 40.0  # columns of level names and of shares
_BAR, _MOST_BARS = 22.0, 12
_SCALE = 34.0  # column of the share axis
_COLUMNS_HEIGHT, _COLUMNS_FOOT = 124.0, 20.0
_TALLEST = _COLUMNS_HEIGHT - 8.0
_WHISKER = 2.0  # standard deviations of noise to each side
_LABEL_PX = 11.5


@dataclass(frozen=True, slots=True)
class MarginalPanel:
    """One variable: what to call it, its drawing, and how far apart the two marginals are."""

    name: str
    caption: str
    drawing: Markup
    distance: str
    note: str


def draw_marginals(study: Study, marginals: Sequence[Marginal]) -> tuple[MarginalPanel, ...]:
    """Return one panel per variable: columns for numbers, bars for all others."""
    return tuple(_panel(study, marginal) for marginal in marginals)


def _panel(study: Study, marginal: Marginal) -> MarginalPanel:
    variable = study.variable(marginal.node)
    numbers = isinstance(variable, Numeric | Count)
    drawing = _columns(marginal) if numbers else _bars(marginal)
    hidden = 0 if numbers else len(marginal.labels) - _MOST_BARS
    return MarginalPanel(
        name=marginal.node,
        caption=variable.label,
        drawing=drawing,
        distance=f"{marginal.distance:.1%}",
        note=f"the {_MOST_BARS} largest levels; {hidden} more are not drawn" if hidden > 0 else "",
    )


def _bars(marginal: Marginal) -> Markup:
    shown = _largest(marginal)
    reach = _reach(marginal)
    parts: list[Element] = []
    for row, level in enumerate(shown):
        parts += _bar(marginal, level, _BAR * row, reach)
    return figure((_WIDTH, _BAR * len(shown) + 2), *_words(marginal), parts)


def _bar(marginal: Marginal, level: int, top: float, reach: float) -> list[Element]:
    width = _WIDTH - _LABELS - _SHARES
    y = top + _BAR / 2
    share = max(marginal.synthetic[level], 0.0)
    low, high = _whisker(marginal, level, reach)
    left = _LABELS
    return [
        text(fitted(marginal.labels[level], _LABELS - 8, _LABEL_PX), 0, y + 4, "level"),
        text(f"{share:.0%}", _WIDTH, y + 4, "level end"),
        element("line", x1=left, x2=left, y1=top, y2=top + _BAR, class_="base"),
        element("rect", x=left, y=y - 7, width=share / reach * width, height=14, class_="made"),
        element(
            "line", x1=left + low * width, x2=left + high * width, y1=y, y2=y, class_="whisker"
        ),
        element(
            "circle", cx=left + _inside(marginal.released[level] / reach) * width, cy=y, r=3.4,
            class_="noisy",
        ),
    ]  # fmt: skip


def _columns(marginal: Marginal) -> Markup:
    count = len(marginal.labels)
    reach, pitch = _reach(marginal), (_WIDTH - _SCALE) / count
    parts = _share_axis(reach)
    for level in range(count):
        parts += _column(marginal, level, pitch, reach)
    foot = _COLUMNS_HEIGHT + 15
    room = (_WIDTH - _SCALE) / 2 - 6
    parts.append(text(fitted(marginal.labels[0], room, _LABEL_PX), _SCALE, foot, "level"))
    if count > 1:
        parts.append(text(fitted(marginal.labels[-1], room, _LABEL_PX), _WIDTH, foot, "level end"))
    return figure((_WIDTH, _COLUMNS_HEIGHT + _COLUMNS_FOOT), *_words(marginal), parts)


def _share_axis(reach: float) -> list[Element]:
    mark = ticks(0, reach, 4)[-1]
    y = _COLUMNS_HEIGHT - mark / reach * _TALLEST
    return [
        element("line", x1=_SCALE, x2=_WIDTH, y1=y, y2=y, class_="grid"),
        text(f"{mark:.0%}", _SCALE - 6, y + 4, "level end"),
        element(
            "line", x1=_SCALE, x2=_WIDTH, y1=_COLUMNS_HEIGHT, y2=_COLUMNS_HEIGHT, class_="base"
        ),
    ]


def _column(marginal: Marginal, level: int, pitch: float, reach: float) -> list[Element]:
    tall = _TALLEST
    x = _SCALE + pitch * (level + 0.5)
    height = marginal.synthetic[level] / reach * tall
    low, high = _whisker(marginal, level, reach)
    wide = pitch * 0.76
    base = _COLUMNS_HEIGHT
    return [
        element(
            "rect", x=x - wide / 2, y=base - height, width=wide, height=height, class_="made"
        ),
        element("line", x1=x, x2=x, y1=base - low * tall, y2=base - high * tall, class_="whisker"),
        element(
            "circle", cx=x, cy=base - _inside(marginal.released[level] / reach) * tall,
            r=min(3.4, pitch / 3), class_="noisy",
        ),
    ]  # fmt: skip


def _largest(marginal: Marginal) -> Sequence[int]:
    levels = range(len(marginal.labels))
    if len(levels) <= _MOST_BARS:
        return levels
    kept = sorted(levels, key=lambda level: -marginal.synthetic[level])[:_MOST_BARS]
    return sorted(kept)


def _reach(marginal: Marginal) -> float:
    """The share at the far end of the axis: everything fits, whiskers of tiny cells included."""
    highest = [
        max(made, noisy + _WHISKER * sd)
        for made, noisy, sd in zip(
            marginal.synthetic, marginal.released, marginal.deviation, strict=True
        )
    ]
    return min(max(*highest, 1e-9, 0.05), 1.0) if highest else 1.0


def _whisker(marginal: Marginal, level: int, reach: float) -> tuple[float, float]:
    middle, half = marginal.released[level], _WHISKER * marginal.deviation[level]
    return _inside((middle - half) / reach), _inside((middle + half) / reach)


def _inside(fraction: float) -> float:
    return min(max(fraction, 0.0), 1.0)


def _words(marginal: Marginal) -> tuple[str, str]:
    rows = zip(marginal.labels, marginal.synthetic, marginal.released, strict=True)
    listed = [f"{label}: {made:.1%} ({noisy:.1%})" for label, made, noisy in rows]
    title = f"Marginal of {marginal.node}"
    return title, "Synthetic share (noisy released share). " + "; ".join(listed[:_MOST_BARS])
