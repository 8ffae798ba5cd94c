"""Every engine that computes rules, against rules computed one row at a time."""

from collections.abc import Callable, Mapping
from typing import Any

import duckdb
import ibis
import numpy as np
import pyarrow as pa
import pytest

from client.source.rule_columns import levels, numbers, rule_column, truths
from protocol.study.expression import MAX_DEPTH, Expression
from protocol.study.expression_algebra import OPERATIONS, Kind
from protocol.study.expression_arrays import Column, Levels, evaluate
from protocol.study.expression_reader import parse_rule
from tests.support.rules import Rules, by_row, columns, dice, numbered, plain

ROWS = 60
Plain = list[float | str | None]


def in_arrays(expression: Expression, parents: Mapping[str, Column]) -> Plain:
    return plain(evaluate(expression, parents, ROWS))


def in_duckdb(expression: Expression, parents: Mapping[str, Column]) -> Plain:
    data = {"at": pa.array(range(ROWS))} | {name: _arrow(c) for name, c in parents.items()}
    rows = ibis.table(ibis.Schema.from_pyarrow(pa.table(data).schema), name="data")
    operands = {name: _operand(rows[name], parents[name], name) for name in parents}
    result = rule_column(expression, operands)
    query = str(ibis.to_sql(rows.select("at", found=result.column), dialect="duckdb"))
    with duckdb.connect() as connection:
        connection.register("data", pa.table(data))
        found = [value for _, value in sorted(connection.execute(query).fetchall())]
    if result.kind is Kind.LEVEL:
        return [None if code is None else result.labels[code] for code in found]
    return [None if value is None else float(value) for value in found]


def _operand(column: Any, values: Column, name: str) -> Any:
    if isinstance(values, Levels):
        return levels(column, values.labels)
    return truths(column) if name == "b" else numbers(column)


def _arrow(column: Column) -> pa.Array:
    """Return NULL where codes, truths and every other missing number are missing."""
    if isinstance(column, Levels):
        return pa.array(column.codes, mask=column.codes < 0)
    return pa.array(column, mask=np.isnan(column) & (np.arange(len(column)) % 2 == 0))


Engine = Callable[[Expression, Mapping[str, Column]], Plain]
ENGINES: list[Engine] = [in_arrays, in_duckdb]
engines = pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__)

EVERY = [
    *(f"x {sign} lab.y" for sign in ("+", "-", "*", "/", "//")),
    *(f"x {sign} lab.y" for sign in ("==", "!=", "<", "<=", ">", ">=")),
    *(f"{name}(x)" for name in ("abs", "floor", "ceil", "round", "sqrt", "is_missing")),
    *("x % 3", "x % -0.5", "-x", "min(x, lab.y)", "max(x, lab.y)", "clip(x, -1, lab.y)"),
    *("b and x > 1", "b or x > 1", "not b", "b + 1", "where(b, x, lab.y)", "where(b, b, x > 1)"),
    *("where(b, sex, 'low')", "sex", "stage >= 'II'", "stage in ('II', 'OTHER')", "'low'", "1"),
    *("is_missing(sex)", "is_missing(b)", "x / lab.y > 1", "0 * x / x", "where(x > 1, 1, 0) == b"),
]
ROUNDED = ["exp(x)", "log(x)", "x ** 0.5", "x ** -2", "x ** 3", "0.993 ** x", "2 ** (x / 10)"]


def test_there_are_engines_and_every_operation_is_tried() -> None:
    tried = " ".join([*EVERY, *ROUNDED])
    words = {"negative": "-x", "choose": "where", "as_number": "b + 1", "as_truth": "True"}
    assert len(ENGINES) > 1
    assert all(words.get(name, name) in tried + " True" for name in OPERATIONS)


@engines
@pytest.mark.parametrize("text", EVERY, ids=numbered(EVERY))
def test_every_operation_on_every_awkward_value(engine: Engine, text: str) -> None:
    parents = columns(dice(1), ROWS)
    assert engine(parse_rule(text), parents) == by_row(parse_rule(text), parents, ROWS)


@engines
@pytest.mark.parametrize("text", ROUNDED, ids=numbered(ROUNDED))
def test_rounded_functions_agree_to_the_last_digits(engine: Engine, text: str) -> None:
    parents = columns(dice(2), ROWS)
    wanted = by_row(parse_rule(text), parents, ROWS)
    assert engine(parse_rule(text), parents) == [
        None if value is None else pytest.approx(value, rel=1e-13, abs=1e-320) for value in wanted
    ]


@engines
@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.value)
@pytest.mark.parametrize("seed", range(15))
def test_rules_at_random(engine: Engine, kind: Kind, seed: int) -> None:
    random = dice(seed)
    expression = parse_rule(Rules(random, exact=True).text(kind, 3))
    parents = columns(random, ROWS)
    assert engine(expression, parents) == by_row(expression, parents, ROWS)


DEEPEST = {
    "sum": ("x", "({}) + 1"),
    "remainder": ("x", "({}) % 3"),
    "comparison": ("b", "({}) < x"),
    "choice": ("x", "where(b, {}, 2)"),
    "condition": ("x", "where(({}) > 2, x, lab.y)"),
    "minimum": ("x", "min(-({}), lab.y)"),
}


@engines
@pytest.mark.parametrize("form", DEEPEST.values(), ids=list(DEEPEST))
def test_the_deepest_rules_are_computed(engine: Engine, form: tuple[str, str]) -> None:
    text, around = form
    while (deeper := parse_rule(around.format(text))).root.depth < MAX_DEPTH - 2:
        text = deeper.text
    parents = columns(dice(3), ROWS)
    assert engine(deeper, parents) == by_row(deeper, parents, ROWS)
