"""Domains: codes, labels, scores, and what a value must look like."""

from decimal import Decimal
from fractions import Fraction
from typing import Literal

import pytest
from pydantic import BaseModel, ValidationError

from protocol.errors import UsageError
from protocol.study.problems import StudyProblems
from protocol.study.variables import (
    Boolean,
    Categorical,
    Count,
    Missingness,
    Numeric,
    Ordinal,
    Survival,
    Value,
    Variable,
    model_labels,
)

YES_NO = Boolean(kind="boolean", missing=True)
COLOUR = Categorical(kind="categorical", levels=("red", "blue"), other=True, missing=True)
GRADE = Ordinal(kind="ordinal", levels=("1", "2", "3"), other=True)
FALLS = Count(kind="count", edges=tuple(map(Decimal, (0, 1, 2, 5, 9))))
STAY = Survival(kind="survival", edges=tuple(map(Decimal, ("0", "30", "90.0"))))
GONE = Missingness(kind="missingness", of="age")
AGE = Numeric(kind="numeric", edges=(Decimal(25), Decimal("37.5"), Decimal("75.00")), missing=True)


@pytest.mark.parametrize(
    ("variable", "labels"),
    [
        (YES_NO, ("0", "1", "MISSING")),
        (COLOUR, ("red", "blue", "OTHER", "MISSING")),
        (GRADE, ("1", "2", "3", "OTHER")),
        (AGE, ("[25, 37.5)", "[37.5, 75]", "MISSING")),
        (FALLS, ("0", "1", "2-4", "5-9")),
        (
            STAY,
            ("event [0, 30)", "event [30, 90]", "censored [0, 30)", "censored [30, 90]"),
        ),
        (GONE, ("0", "1")),
    ],
)
def test_labels_are_the_levels_then_other_then_missing(
    variable: Variable, labels: tuple[str, ...]
) -> None:
    assert variable.labels == labels
    assert variable.size == len(labels)


@pytest.mark.parametrize(
    ("variable", "other", "missing"),
    [(YES_NO, None, 2), (COLOUR, 2, 3), (GRADE, 3, None), (AGE, None, 2)],
)
def test_codes_of_other_and_missing_are_the_last(
    variable: Variable, other: int | None, missing: int | None
) -> None:
    assert (variable.other_code, variable.missing_code) == (other, missing)


@pytest.mark.parametrize(
    ("variable", "scores"),
    [
        (YES_NO, (0, 1, None)),
        (COLOUR, (None, None, None, None)),
        (GRADE, (0, 1, 2, None)),
        (AGE, (Fraction(125, 4), Fraction(225, 4), None)),
        (FALLS, (0, 1, 3, 7)),
        (STAY, (None, None, None, None)),
        (GONE, (0, 1)),
    ],
)
def test_scores_are_what_a_code_stands_for_in_a_mean(
    variable: Variable, scores: tuple[Fraction | None, ...]
) -> None:
    assert variable.scores == scores


@pytest.mark.parametrize(
    ("variable", "value", "code"),
    [
        (YES_NO, True, 1),
        (YES_NO, 0, 0),
        (YES_NO, 1.0, 1),
        (YES_NO, "1", 1),
        (YES_NO, "MISSING", 2),
        (COLOUR, "blue", 1),
        (COLOUR, "OTHER", 2),
        (GRADE, "2", 1),
        (GRADE, 2, 1),
        (AGE, 25, 0),
        (AGE, 37.5, 1),
        (AGE, Decimal("37.4999"), 0),
        (AGE, "40", 1),
        (AGE, 75, 1),
        (AGE, "[37.5, 75]", 1),
        (FALLS, 0, 0),
        (FALLS, 4, 2),
        (FALLS, "2-4", 2),
        (FALLS, 9, 3),
        (STAY, "censored [0, 30)", 2),
        (GONE, True, 1),
    ],
)
def test_code_of_takes_labels_and_the_numbers_they_stand_for(
    variable: Variable, value: Value, code: int
) -> None:
    assert variable.code_of(value) == code


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        (YES_NO, 2),
        (YES_NO, "yes"),
        (COLOUR, "green"),
        (COLOUR, 0),
        (COLOUR, True),
        (GRADE, 4),
        (AGE, 24.9),
        (AGE, 76),
        (AGE, float("nan")),
        (AGE, float("inf")),
        (AGE, "old"),
        (AGE, "1e999999999"),
        (FALLS, -1),
        (FALLS, 10),
        (STAY, 15),
        (GONE, 2),
    ],
)
def test_a_value_outside_the_domain_is_refused(variable: Variable, value: Value) -> None:
    with pytest.raises(UsageError) as refusal:
        variable.code_of(value)
    assert refusal.value.code == "value-outside-domain"


def test_a_refused_label_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="Write 'blue'"):
        COLOUR.code_of("bleu")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"levels": ("only",)}, "2 to 4096 codes"),
        ({"levels": tuple(f"v{n}" for n in range(4096)), "missing": True}, "2 to 4096 codes"),
        ({"levels": ("a", "b", "a")}, "each level once"),
        ({"levels": ("a", "")}, "1 to 100 characters"),
        ({"levels": ("a", " b")}, "without spaces at its ends"),
        ({"levels": ("a", "x" * 101)}, "1 to 100 characters"),
        ({"levels": ("a", "b\x07c")}, "printable"),
        ({"levels": ("a", "e\u0301")}, "Unicode form NFC"),
        ({"levels": ("a", "OTHER")}, "level of the study's own"),
        ({"levels": ("a", "MISSING")}, "level of the study's own"),
    ],
)
def test_levels_that_cannot_be_told_apart_or_shown_are_refused(
    fields: dict[str, object], expected: str
) -> None:
    assert expected in _expected_of(Categorical, {"kind": "categorical", **fields})


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        (("1", "2"), "2 to 4096 codes"),
        (("1", "3", "2"), "strictly rising edges"),
        (("1", "1", "2"), "strictly rising edges"),
        ((1.5, 2, 3), "a number"),
        ((True, 2, 3), "a number"),
        (("1e3", "2e3", "3e3"), "a number"),
        ((Decimal("NaN"), 2, 3), "finite"),
        ((1, 2, 10**16), "finite number up to 10^15"),
        ((1, 2, Decimal("3.0000000000000000001")), "at most 18 decimal places"),
        ((Decimal("1e-999999999"), 2, 3), "at most 18 decimal places"),
        ((Decimal("0e999999999"), 2, 3), "at most 18 decimal places"),
    ],
)
def test_edges_that_make_no_bins_are_refused(edges: tuple[object, ...], expected: str) -> None:
    assert expected in _expected_of(Numeric, {"kind": "numeric", "edges": edges})


def test_one_bin_is_enough_where_missing_is_declared() -> None:
    assert Numeric(kind="numeric", edges=(Decimal(0), Decimal(1)), missing=True).size == 2


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        (Count, {"edges": (0, 1, Decimal("2.5"))}, "whole numbers from 0"),
        (Count, {"edges": (-1, 1, 2)}, "whole numbers from 0"),
        (Count, {"edges": (0, 2, 1)}, "strictly rising edges"),
        (Survival, {"edges": (1, 2, 3)}, "times from 0"),
        (Survival, {"edges": (0, 2, 2)}, "strictly rising edges"),
        (
            Survival,
            {"edges": (0, 2), "missing": True},
            "no MISSING: a row without is left out",
        ),
        (Missingness, {"of": "age", "missing": True}, "an indicator, never missing"),
    ],
)
def test_counts_times_and_indicators_of_the_wrong_form_are_refused(
    kind: type[BaseModel], fields: dict[str, object], expected: str
) -> None:
    assert expected in _expected_of(kind, {"kind": kind.__name__.lower(), **fields})


def test_the_last_bin_of_a_count_holds_its_end_and_the_others_whole_numbers() -> None:
    assert FALLS.ranges == ((0, 0), (1, 1), (2, 4), (5, 9))
    assert FALLS.bounds == (Fraction(0), Fraction(9))


@pytest.mark.parametrize(
    ("variable", "hidden", "labels"),
    [
        (AGE, False, ("[25, 37.5)", "[37.5, 75]", "MISSING")),
        (AGE, True, ("[25, 37.5)", "[37.5, 75]")),
        (COLOUR, True, ("red", "blue", "OTHER")),
        (STAY, False, ("[0, 30)", "[30, 90]", "none")),
    ],
)
def test_levels_in_the_model_are_those_that_the_truth_may_have(
    variable: Variable, hidden: bool, labels: tuple[str, ...]
) -> None:
    assert model_labels(variable, hidden=hidden) == labels


def test_parts_of_bins_are_evenly_spaced_between_the_exact_edges() -> None:
    variable = Numeric(kind="numeric", edges=_decimals("0", "1", "2.50"), detail=3)
    assert variable.part_edges == _decimals(
        "0", "0.333333333333", "0.666666666667", "1", "1.5", "2", "2.5"
    )


def test_parts_on_a_log_scale_are_evenly_spaced_in_their_logarithms() -> None:
    variable = Numeric(
        kind="numeric", edges=_decimals("0.1", "1000", "2000"), detail=4, spacing="log"
    )
    assert variable.part_edges[:5] == _decimals("0.1", "1", "10", "100", "1000")
    assert variable.part_edges[6] == Decimal("1414.21356237")


@pytest.mark.parametrize("spacing", ["linear", "log"])
def test_without_detail_the_parts_are_the_bins(spacing: Literal["linear", "log"]) -> None:
    edges = _decimals("0.000000000000000001", "123456789012345.6789", "1000000000000000")
    assert Numeric(kind="numeric", edges=edges, spacing=spacing).part_edges == edges


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"edges": (0, 1, 2), "spacing": "log"}, "edges above 0"),
        ({"edges": (10**14, 10**14 + 1, 10**14 + 2), "detail": 2}, "12 digits can tell apart"),
        ({"edges": (2, 1), "missing": True, "detail": 2}, "strictly rising edges"),
        ({"edges": tuple(range(1, 67)), "detail": 64}, "at most 4096 parts of bins"),
    ],
)
def test_parts_that_cannot_be_told_apart_are_refused(
    fields: dict[str, object], expected: str
) -> None:
    assert expected in _expected_of(Numeric, {"kind": "numeric", **fields})


def _decimals(*texts: str) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, texts))


def _expected_of(model: type[BaseModel], fields: dict[str, object]) -> str:
    with pytest.raises(ValidationError) as refusal:
        model.model_validate(fields)
    causes = [detail.get("ctx", {}).get("error") for detail in refusal.value.errors()]
    problems = [
        problem
        for cause in causes
        if isinstance(cause, StudyProblems)
        for problem in cause.problems
    ]
    return "; ".join(problem.expected for problem in problems)
