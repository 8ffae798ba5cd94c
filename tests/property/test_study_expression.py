"""Rules at random: one text for each meaning, and every row by itself."""

from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from protocol.study.expression import Expression
from protocol.study.expression_algebra import Kind
from protocol.study.expression_arrays import Column, Levels, evaluate
from protocol.study.expression_reader import parse_rule
from protocol.study.expression_types import rule_problems
from protocol.study.problems import StudyProblems
from tests.support.rules import TARGETS, VARIABLES, Rules, by_row, columns, dice, plain, spellings

ROWS = 40
CASES = settings(max_examples=100, deadline=None, derandomize=True)
KINDS = st.sampled_from(list(Kind))


def rule(random: Random, kind: Kind, *, exact: bool = False) -> Expression:
    try:
        return parse_rule(Rules(random, exact).text(kind, 3))
    except StudyProblems:  # too long or too deep
        reject()


def cut(column: Column, rows: slice | list[int]) -> Column:
    return Levels(column.codes[rows], column.labels) if isinstance(column, Levels) else column[rows]


def raw(column: Column) -> bytes:
    return (column.codes if isinstance(column, Levels) else column).tobytes()


@CASES
@given(seed=st.integers(0, 2**32), kind=KINDS)
def test_the_canonical_text_is_a_fixed_point(seed: int, kind: Kind) -> None:
    found = rule(dice(seed), kind)
    again = parse_rule(found.text)
    assert (again, again.text, again.root) == (found, found.text, found.root)
    assert again.names == found.names


@CASES
@given(seed=st.integers(0, 2**32), kind=KINDS)
def test_spelling_changes_nothing(seed: int, kind: Kind) -> None:
    text = rule(dice(seed), kind).text.replace('"', "'")
    assume(len(text) < 600)
    assert {parse_rule(other) for other in spellings(text)} == {parse_rule(text)}


@CASES
@given(seed=st.integers(0, 2**32), kind=KINDS)
def test_rules_made_by_type_have_no_problems(seed: int, kind: Kind) -> None:
    found = rule(dice(seed), kind)
    parents = {name: VARIABLES[name] for name in found.names}
    assert rule_problems(found, parents, TARGETS[kind]) == []


@CASES
@given(seed=st.integers(0, 2**32), kind=KINDS)
def test_arrays_compute_what_rows_do(seed: int, kind: Kind) -> None:
    random = dice(seed)
    found, parents = rule(random, kind, exact=True), columns(random, ROWS)
    assert plain(evaluate(found, parents, ROWS)) == by_row(found, parents, ROWS)


@CASES
@given(seed=st.integers(0, 2**32), kind=KINDS, cuts=st.lists(st.integers(0, ROWS), max_size=5))
def test_any_chunks_of_rows_give_the_same_bytes(seed: int, kind: Kind, cuts: list[int]) -> None:
    random = dice(seed)
    found, parents = rule(random, kind), columns(random, ROWS)
    ends = [0, *sorted(cuts), ROWS]
    pieces = [
        evaluate(
            found,
            {name: cut(column, slice(low, high)) for name, column in parents.items()},
            high - low,
        )
        for low, high in pairwise(ends)
    ]
    assert b"".join(map(raw, pieces)) == raw(evaluate(found, parents, ROWS))


@CASES
@given(seed=st.integers(0, 2**32), kind=KINDS)
def test_rows_in_another_order_give_results_in_that_order(seed: int, kind: Kind) -> None:
    random = dice(seed)
    found, parents = rule(random, kind), columns(random, ROWS)
    order = random.sample(range(ROWS), ROWS)
    moved = {name: cut(column, order) for name, column in parents.items()}
    assert raw(evaluate(found, moved, ROWS)) == raw(cut(evaluate(found, parents, ROWS), order))


@CASES
@given(seed=st.integers(0, 2**32), kind=KINDS)
def test_arguments_are_not_changed(seed: int, kind: Kind) -> None:
    random = dice(seed)
    found, parents = rule(random, kind), columns(random, ROWS)
    before = {name: raw(column) for name, column in parents.items()}
    evaluate(found, parents, ROWS)
    assert {name: raw(column) for name, column in parents.items()} == before


@pytest.mark.parametrize(
    "text", ["exp(x)", "log(x)", "x ** 1.7", "0.993 ** x", "sqrt(x)", "x ** 2"]
)
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8, 9, 63])
def test_rounded_functions_do_not_depend_on_the_length_of_a_column(text: str, rows: int) -> None:
    numbers = np.random.default_rng(5).normal(size=504) * 10
    whole = evaluate(parse_rule(text), {"x": numbers}, 504)
    pieces = [
        evaluate(parse_rule(text), {"x": numbers[at : at + rows]}, rows)
        for at in range(0, 504, rows)
    ]
    assert b"".join(map(raw, pieces)) == raw(whole)
