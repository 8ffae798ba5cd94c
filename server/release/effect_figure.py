"""Effects as a forest plot: point and interval, and the published range as a band behind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from server.drawing.svg import Element, element, figure, fitted, text, text_width, ticks, tooltip
from server.release.answers import LEVEL, Answer, number

_WIDTH = 880.0
_LEFT, _FIGURES = 14.0, 150.0  # margin left of the plot, column of figures right of it
_ROW, _TOP, _AXIS = 94.0, 4.0, 44.0
_NAME_LINE = 20.0  # from the top of a row to the baseline of its name
_NAME_PX, _CONTRAST_PX = 14.0, 12.5
Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class EffectPanel:
    """The effects on one outcome by one measure, which share an axis."""

    outcome: str
    drawing: Markup
    published: bool  # whether a published range is drawn


def draw_effects(answers: Sequence[Answer]) -> tuple[EffectPanel, ...]:
    """Return one forest plot per outcome and measure, in the order in which they are asked for."""
    axes: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        axes.setdefault((answer.question.outcome, answer.question.measure), []).append(answer)
    return tuple(map(_panel, axes.values()))


def _panel(answers: Sequence[Answer]) -> EffectPanel:
    published = any(answer.question.published is not None for answer in answers)
    return EffectPanel(answers[0].question.outcome, _forest(answers), published)


def _forest(answers: Sequence[Answer]) -> Markup:
    marks = _axis_marks(answers)
    scale = _scale(marks[0], marks[-1])
    bottom = _TOP + _ROW * len(answers)
    tops = [_TOP + _ROW * row for row in range(len(answers))]
    parts = _axis(marks, scale, tops, answers[0])
    for top, answer in zip(tops, answers, strict=True):
        parts += _row(answer, scale, top)
    title = f"Effects on {answers[0].question.outcome}"
    return figure((_WIDTH, bottom + _AXIS), title, " ".join(map(_sentence, answers)), parts)


def _axis_marks(answers: Sequence[Answer]) -> tuple[float, ...]:
    """Round numbers that enclose no effect and everything that is drawn."""
    seen = [answers[0].null]
    for answer in answers:
        seen += [answer.low, answer.estimate, answer.high]
        if published := answer.question.published:
            seen += [float(published.low), float(published.high)]
    low, high = min(seen), max(seen)
    pad = (high - low or 1.0) * 0.08
    inner = ticks(low - pad, high + pad)
    step = inner[1] - inner[0]
    first = inner[0] - step if inner[0] > low else inner[0]
    last = inner[-1] + step if inner[-1] < high else inner[-1]
    return tuple(round(first + step * k, 12) + 0.0 for k in range(round((last - first) / step) + 1))


def _scale(low: float, high: float) -> Scale:
    width = _WIDTH - _LEFT - _FIGURES
    return lambda value: _LEFT + (value - low) / (high - low) * width


def _axis(
    marks: Sequence[float], scale: Scale, tops: Sequence[float], first: Answer
) -> list[Element]:
    bottom = tops[-1] + _ROW
    parts: list[Element] = []
    for mark in marks:
        x = scale(mark)
        parts += [_grid_line(x, top, null=False) for top in tops if mark != first.null]
        parts.append(text(_tick_label(mark), x, bottom + 16, "tick middle"))
    parts += [_grid_line(scale(first.null), top, null=True) for top in tops]
    centre = (scale(marks[0]) + scale(marks[-1])) / 2
    return [*parts, text(first.quantity, centre, bottom + 36, "axis-name middle")]


def _grid_line(x: float, top: float, *, null: bool) -> Element:
    kind = "zero" if null else "grid"
    return element("line", x1=x, x2=x, y1=top + _NAME_LINE + 12, y2=top + _ROW - 8, class_=kind)


def _row(answer: Answer, scale: Scale, top: float) -> list[Element]:
    question = answer.question
    contrast = f"{question.treatment}: {question.treated} against {question.reference}"
    room = _WIDTH - text_width(contrast, _CONTRAST_PX) - 24
    name = fitted(answer.name, room, _NAME_PX)
    parts = [
        text(name, 0, top + _NAME_LINE, "effect-name"),
        text(contrast, _WIDTH, top + _NAME_LINE, "effect-contrast end"),
    ]
    y = top + _NAME_LINE + 38
    if band := _published(answer, scale, y):
        parts.append(band)
    return parts + _interval(answer, scale, y)


def _published(answer: Answer, scale: Scale, y: float) -> Element | None:
    published = answer.question.published
    if published is None:
        return None
    low, high = scale(float(published.low)), scale(float(published.high))
    spoken = f"Published: {published.low} to {published.high} ({published.source})"
    width = max(high - low, 3.0)
    return element(
        "rect", tooltip(spoken), x=low, y=y - 20, width=width, height=40, rx=2, class_="published"
    )


def _interval(answer: Answer, scale: Scale, y: float) -> list[Element]:
    low, high, point = scale(answer.low), scale(answer.high), scale(answer.estimate)
    right = _WIDTH - _FIGURES + 16
    interval = f"{number(answer.low)} to {number(answer.high)}"
    return [
        element("line", tooltip(_sentence(answer)), x1=low, x2=high, y1=y, y2=y, class_="interval"),
        element("line", x1=low, x2=low, y1=y - 6, y2=y + 6, class_="interval"),
        element("line", x1=high, x2=high, y1=y - 6, y2=y + 6, class_="interval"),
        element("circle", tooltip(_sentence(answer)), cx=point, cy=y, r=6.5, class_="point"),
        text(number(answer.estimate), right, y - 3, "effect-value"),
        text(interval, right, y + 15, "effect-contrast"),
    ]


def _sentence(answer: Answer) -> str:
    unit = f" {answer.unit}" if answer.unit else ""
    words = (
        f"{answer.name}: {number(answer.estimate)}{unit}, {LEVEL:.0%} interval "
        f"{number(answer.low)} to {number(answer.high)}"
    )
    published = answer.question.published
    return f"{words}; published {published.low} to {published.high}." if published else f"{words}."


def _tick_label(mark: float) -> str:
    return f"{mark:g}".replace("-", "−")
