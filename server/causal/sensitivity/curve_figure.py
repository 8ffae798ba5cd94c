"""An effect against the strength of what might be wrong: a curve, its band, and where it tips."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from markupsafe import Markup

from server.drawing.svg import Element, element, figure, text, ticks

_WIDTH, _HEIGHT = 640.0, 360.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 20.0, 24.0, 48.0
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #40474d; }
.band { fill: #2f6f9f; opacity: .18; }
.line { fill: none; stroke: #2f6f9f; stroke-width: 2.2; }
.null { stroke: #b4530a; stroke-dasharray: 5 4; }
.grid { stroke: #d5d8da; }
.mark { fill: #b4530a; }
"""


class _Scale:
    """From strengths, on the scale of their logarithm, and effects to places in the drawing."""

    def __init__(self, frame: pd.DataFrame, null: float) -> None:
        values = [*frame["low"], *frame["high"], null]
        low, high = min(values), max(values)
        room = (high - low) * 0.06 or 1.0
        self.low, self.high = low - room, high + room
        self.first, self.last = np.log(frame.index[0]), np.log(frame.index[-1])

    def x(self, strength: float) -> float:
        share = (np.log(strength) - self.first) / (self.last - self.first)
        return float(_LEFT + share * (_WIDTH - _LEFT - _RIGHT))

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return float(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM))


def draw_curve(
    frame: pd.DataFrame, null: float, marks: Mapping[str, float], summary: str
) -> Markup:
    """Return the drawing; `frame` has estimate, low and high by strength."""
    scale = _Scale(frame, null)
    style = element("style")
    style.text = _STYLE
    there = [(scale.x(at), scale.y(value)) for at, value in frame["high"].items()]  # type: ignore[arg-type]
    back = [(scale.x(at), scale.y(value)) for at, value in frame["low"].items()]  # type: ignore[arg-type]
    line = [(scale.x(at), scale.y(value)) for at, value in frame["estimate"].items()]  # type: ignore[arg-type]
    parts = [style, *_grid(scale, frame)]
    parts.append(element("path", d=_path([*there, *reversed(back)]) + "Z", class_="band"))
    parts.append(element("path", d=_path(line), class_="line"))
    at = scale.y(null)
    parts.append(element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=at, y2=at, class_="null"))
    for words, strength in marks.items():
        x = scale.x(strength)
        parts.append(element("circle", cx=x, cy=at, r=4, class_="mark"))
        parts.append(text(f"{words}: {strength:.2f}", x + 6, at - 8))
    return figure((_WIDTH, _HEIGHT), "Effect by strength of an unmeasured cause", summary, parts)


def _grid(scale: _Scale, frame: pd.DataFrame) -> list[Element]:
    parts = []
    for value in ticks(scale.low, scale.high):
        y = scale.y(value)
        parts.append(element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(text(f"{value:g}", _LEFT - 8, y + 4, text_anchor="end"))
    last = float(frame.index[-1])
    for strength in (each for each in (1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0) if each <= last):
        if strength >= frame.index[0]:
            x = scale.x(strength)
            parts.append(text(f"{strength:g}", x, _HEIGHT - _BOTTOM + 18, text_anchor="middle"))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    words = "ratio of odds, of treatment and of outcome"
    parts.append(text(words, middle, _HEIGHT - 10, text_anchor="middle"))
    return parts


def _path(points: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
