"""Answers beside published ranges, and numbers as people read them."""

import pytest

from protocol.study.document import parse_study
from protocol.study.sections import Question
from server.release.answers import Agreement, Answer, number
from server.release.certainty import certainty_of
from server.release.report import verdict
from tests.support.causal_models import mixed_model
from tests.support.release_rounds import STUDY


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (3.4567, "3.46"),
        (-0.71449, "−0.714"),
        (0.000123456, "0.000123"),
        (12345.6, "12300"),
        (99.96, "100"),
        (1.0, "1.00"),
        (1e-9, "0.00000000100"),
    ],
)
def test_numbers_have_three_digits_and_no_exponent(value: float, expected: str) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-1.5, -0.95, Agreement.BELOW),
        (-1.5, -0.9, Agreement.OVERLAP),
        (-0.8, -0.6, Agreement.OVERLAP),
        (-0.4, 0.1, Agreement.ABOVE),
    ],
)
def test_an_interval_lies_below_above_or_over_the_published_range(
    low: float, high: float, expected: Agreement
) -> None:
    assert Answer(published_question(), (low + high) / 2, low, high, "h").agreement is expected


def test_without_a_published_range_there_is_no_agreement_to_speak_of() -> None:
    question = published_question().model_copy(update={"published": None})
    assert Answer(question, 0.0, -1.0, 1.0, "").agreement is None


def test_zero_at_the_end_of_an_interval_is_inside() -> None:
    assert Answer(published_question(), 1.0, 0.0, 2.0, "").contains_null
    assert not Answer(published_question(), 1.0, 0.1, 2.0, "").contains_null


def ratio() -> Question:
    changes = {"measure": "hazard-ratio", "outcome": "stay", "published": None}
    return published_question().model_copy(update=changes)


def test_no_effect_is_a_hazard_ratio_of_one() -> None:
    assert Answer(ratio(), 0.9, 0.8, 1.1, "").contains_null
    assert not Answer(ratio(), 0.8, 0.7, 0.95, "").contains_null
    assert not Answer(ratio(), 0.4, 0.0, 0.9, "").contains_null


def test_the_verdict_says_that_it_is_a_ratio() -> None:
    found = verdict(parse_study(STUDY), [Answer(ratio(), 0.8, 0.7, 0.95, "")])
    assert ": hazard ratio 0.800 (95% interval" in found


def test_quantities_are_named_with_their_unit() -> None:
    assert Answer(published_question(), 0, 0, 0, "h").quantity == "mean difference in sleep (h)"
    assert Answer(ratio(), 1, 1, 1, "").quantity == "hazard ratio of stay"


def test_an_effect_without_a_path_is_said_to_be_assumed() -> None:
    model = mixed_model()
    found = certainty_of(model.study, model.effect("treated", "age"))
    assert found.startswith("The graph has no path from treated to age")


def test_levels_in_one_bin_are_said_to_be_the_same() -> None:
    model = mixed_model()
    assert "are in one bin of age" in certainty_of(
        model.study, model.effect("age", "visits", 31, 30)
    )
    assert not certainty_of(model.study, model.effect("age", "visits", 60, 30))


def test_the_verdict_is_the_first_answer_in_a_sentence() -> None:
    answer = Answer(published_question(), -0.71, -1.0, -0.4, "h")
    assert verdict(parse_study(STUDY), [answer]) == (
        "Sleep had everyone coffee, less had nobody: −0.710 h (95% interval −1.00 to −0.400)"
    )


def test_a_study_without_questions_still_has_a_verdict() -> None:
    assert (
        verdict(parse_study(STUDY), []) == "A causal model of 3 variables, and data drawn from it"
    )


def published_question() -> Question:
    return parse_study(STUDY).questions[0]
