"""A few words for drawing SVG: elements, text that fits, and round axis ticks.

Elements are built as a tree and serialised at the end, so that every label and attribute is
escaped in one place. Colours and fonts are classes; the report's style sheet gives them values.
"""

import math
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from markupsafe import Markup

Element = ET.Element
_SMALLEST = 0.72  # of its size, below which a drawing is scrolled rather than shrunk
_GLYPH_EM = 0.56  # mean advance of a glyph in the system sans-serif fonts


def element(tag: str, *children: Element, **attributes: str | float) -> Element:
    """Return an element; `class_` and `font_size` are written `class` and `font-size`."""
    named = {key.rstrip("_").replace("_", "-"): _value(it) for key, it in attributes.items()}
    made = ET.Element(tag, named)
    made.extend(children)
    return made


def text(words: str, x: float, y: float, class_: str = "", **attributes: str | float) -> Element:
    """Return a text element with its baseline at (x, y)."""
    made = element("text", x=x, y=y, class_=class_, **attributes)
    made.text = words
    return made


def tooltip(words: str) -> Element:
    """Return a title element: the words that a pointer or a screen reader finds."""
    made = ET.Element("title")
    made.text = words
    return made


def figure(size: tuple[float, float], title: str, summary: str, parts: Sequence[Element]) -> Markup:
    """Return the markup of a drawing of `size` (width, height) with its spoken description."""
    width, height = size
    described = ET.Element("desc")
    described.text = summary
    root = element(
        "svg",
        tooltip(title),
        described,
        *parts,
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        role="img",
        aria_label=f"{title}. {summary}",
        style=f"max-width:{_value(width)}px;min-width:{_value(width * _SMALLEST)}px",
    )
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - ElementTree escapes


def fitted(words: str, width: float, font_size: float) -> str:
    """Return `words`, shortened with an ellipsis to about `width` pixels."""
    room = max(1, int(width / (font_size * _GLYPH_EM)))
    return words if len(words) <= room else words[: room - 1].rstrip() + "…"


def text_width(words: str, font_size: float) -> float:
    """Return about how many pixels `words` take."""
    return len(words) * font_size * _GLYPH_EM


def ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    """Return at most `most` + 1 round numbers (1, 2 or 5 times a power of ten) in [low, high]."""
    span = high - low
    if not span > 0:
        return (low,)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(it * power for it in (1, 2, 5, 10) if span / (it * power) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(index * step, 12) + 0.0 for index in range(first, last + 1))


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
