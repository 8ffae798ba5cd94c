"""Effects and marginals as drawings: what is drawn, and where."""

import re

import pytest

from protocol.study.document import parse_study
from protocol.study.sections import Question
from server.release.answers import Answer
from server.release.effect_figure import draw_effects
from server.release.marginal_figure import draw_marginals
from server.release.marginals import Marginal
from tests.support.release_rounds import STUDY


def question(**changes: object) -> Question:
    return parse_study(STUDY).questions[0].model_copy(update=changes)


def marginal(node: str, synthetic: list[float], **changes: list[float]) -> Marginal:
    labels = parse_study(STUDY).variables[node].labels
    flat = tuple(synthetic)
    return Marginal(
        node=node,
        labels=labels,
        synthetic=flat,
        released=tuple(changes.get("released", flat)),
        deviation=tuple(changes.get("deviation", [0.01] * len(flat))),
    )


def numbers(drawing: str, name: str) -> list[float]:
    return [float(value) for value in re.findall(rf'\b{name}="(-?[\d.]+)"', drawing)]


def test_effects_on_different_outcomes_get_an_axis_each() -> None:
    answers = [
        Answer(question(), -0.7, -1.0, -0.4, "h"),
        Answer(question(outcome="coffee", published=None), 0.1, 0.0, 0.2, ""),
        Answer(question(name="again"), -0.5, -0.8, -0.2, "h"),
    ]
    panels = draw_effects(answers)
    assert [panel.outcome for panel in panels] == ["sleep", "coffee"]
    assert [panel.drawing.count('class="point"') for panel in panels] == [2, 1]
    assert [panel.published for panel in panels] == [True, False]


@pytest.mark.parametrize(
    ("low", "high"), [(-1.0, -0.4), (250.0, 260.0), (0.0, 0.0), (-1e-6, 1e-6), (-3e5, 12.0)]
)
def test_everything_and_zero_lie_inside_the_drawing(low: float, high: float) -> None:
    (panel,) = draw_effects([Answer(question(), (low + high) / 2, low, high, "h")])
    placed = [*numbers(panel.drawing, "x1"), *numbers(panel.drawing, "cx")]
    assert all(0 <= x <= 880 for x in placed)
    assert panel.drawing.count('class="zero"') == 1


def test_measures_of_one_outcome_get_an_axis_each_and_ratios_one_around_one() -> None:
    ratio = question(measure="hazard-ratio", published=None)
    panels = draw_effects(
        [Answer(question(), -0.7, -1.0, -0.4, "h"), Answer(ratio, 0.8, 0.75, 0.85, "")]
    )
    assert [panel.outcome for panel in panels] == ["sleep", "sleep"]
    assert "hazard ratio of sleep" in panels[1].drawing
    (null,) = re.findall(r'<line x1="([\d.]+)"[^>]*class="zero"', panels[1].drawing)
    assert float(null) > max(numbers(panels[1].drawing, "cx"))


def test_the_published_range_is_drawn_with_its_source() -> None:
    (panel,) = draw_effects([Answer(question(), -0.7, -1.0, -0.4, "h")])
    assert panel.drawing.count('class="published"') == 1
    assert "Published: -0.9 to -0.5 (Invented et al. 2020)" in panel.drawing


def test_numeric_variables_stand_as_columns_and_others_lie_as_bars() -> None:
    study = parse_study(STUDY)
    panels = draw_marginals(
        study, [marginal("sleep", [0.2, 0.5, 0.3]), marginal("shift", [0.6, 0.4])]
    )
    assert [panel.drawing.count('class="made"') for panel in panels] == [3, 2]
    assert "[3, 5)" in panels[0].drawing
    assert "night" in panels[1].drawing


def test_released_shares_outside_zero_and_one_stay_inside_the_drawing() -> None:
    wild = marginal("shift", [0.9, 0.1], released=[1.3, -0.3], deviation=[0.4, 0.4])
    (panel,) = draw_marginals(parse_study(STUDY), [wild])
    assert all(0 <= x <= 280 for name in ("x1", "x2", "cx") for x in numbers(panel.drawing, name))


def test_of_many_levels_the_largest_are_drawn_and_the_rest_counted() -> None:
    levels = [f"level {index}" for index in range(40)]
    text = STUDY.replace('levels = ["day", "night"]', f"levels = {levels}")
    shares = tuple(index / 780 for index in range(40))
    many = Marginal("shift", tuple(levels), shares, shares, (0.01,) * 40)
    (panel,) = draw_marginals(parse_study(text), [many])
    assert panel.drawing.count('class="made"') == 12
    assert panel.note == "the 12 largest levels; 28 more are not drawn"
    assert "level 39" in panel.drawing
