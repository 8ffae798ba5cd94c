"""Words for drawing: escaping, fitting, ticks."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.drawing.svg import element, figure, fitted, text, ticks


def test_text_and_attributes_are_escaped() -> None:
    markup = figure((10, 10), '"><script>', "<b>&", [text("<script>x</script>", 0, 0, '"a')])
    assert "<script" not in markup
    assert "&lt;script&gt;x&lt;/script&gt;" in markup
    assert 'class="&quot;a"' in markup


def test_a_figure_is_named_for_screen_readers() -> None:
    markup = figure((10, 10), "A title", "What it shows.", [])
    assert 'role="img"' in markup
    assert "<title>A title</title><desc>What it shows.</desc>" in markup


def test_python_names_become_svg_names() -> None:
    assert element("path", class_="edge", marker_end="url(#h)", x=1.0).attrib == {
        "class": "edge",
        "marker-end": "url(#h)",
        "x": "1",
    }


def test_words_that_fit_are_kept_and_others_end_in_an_ellipsis() -> None:
    assert fitted("short", 100, 12) == "short"
    assert fitted("a long label of many words", 80, 12) == "a long lab…"
    assert fitted("anything", 0, 12) == "…"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1)),
        (-1.3, 4.9, (0, 2, 4)),
        (0.0, 0.0, (0.0,)),
        (-30, 40, (-20, 0, 20, 40)),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: tuple[float, ...]) -> None:
    assert ticks(low, high) == expected


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_lie_inside_at_equal_distances(low: float, span: float) -> None:
    marks = ticks(low, low + span)
    assert 1 <= len(marks) <= 7
    steps = [right - left for left, right in pairwise(marks)]
    assert all(abs(step - steps[0]) < 1e-6 * span + 1e-9 for step in steps)
    assert all(low - 1e-6 * span - 1e-6 <= mark <= low + span * (1 + 1e-6) + 1e-6 for mark in marks)
