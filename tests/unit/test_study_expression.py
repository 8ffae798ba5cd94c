"""How rules are written, what they compute, and every way in which one is refused."""

from collections.abc import Mapping
from decimal import Decimal

import numpy as np
import pytest

from protocol.study.expression import MAX_DEPTH, MAX_PARTS, MAX_RULE_CHARACTERS
from protocol.study.expression_arrays import Column, Levels, evaluate
from protocol.study.expression_reader import parse_rule
from protocol.study.expression_types import check_rule, rule_problems
from protocol.study.problems import Problem, StudyProblems
from protocol.study.variables import (
    Boolean,
    Categorical,
    Count,
    Missingness,
    Numeric,
    Ordinal,
    Survival,
    Variable,
)

NAN = float("nan")
EDGES = (Decimal(0), Decimal(1), Decimal(2))
X = Numeric(kind="numeric", edges=EDGES)
BANDS = Categorical(kind="categorical", levels=("low", "mid", "high"))
YES = Boolean(kind="boolean")
PARENTS: Mapping[str, Variable] = {
    "x": X,
    "y": Numeric(kind="numeric", edges=EDGES, missing=True),
    "n": Count(kind="count", edges=EDGES),
    "b": YES,
    "gone": Missingness(kind="missingness", of="y"),
    "sex": Categorical(kind="categorical", levels=("female", "male")),
    "stage": Ordinal(kind="ordinal", levels=("I", "II", "III")),
    "grade": Ordinal(kind="ordinal", levels=("I", "II", "III"), other=True),
    "size": Ordinal(kind="ordinal", levels=("I", "II", "IV")),
    "time": Survival(kind="survival", edges=EDGES),
}
COLUMNS: Mapping[str, Column] = {
    "x": np.array([1.0, 10.0, -2.5, NAN]),
    "y": np.array([NAN, 0.0, 2.0, 4.0]),
    "b": np.array([0.0, 1.0, NAN, 1.0]),
    "sex": Levels(np.array([0, 1, -1, 0]), ("female", "male")),
    "stage": Levels(np.array([0, 1, 2, -1]), ("I", "II", "III")),
    "grade": Levels(np.array([3, 1, 0, 2]), ("I", "II", "III", "OTHER")),
}


def problem(text: str, target: Variable = X) -> Problem:
    rule = parse_rule(text)
    parents = {name: PARENTS[name] for name in rule.names if name in PARENTS}
    (found,) = rule_problems(rule, parents, target)
    return found


def refusal(text: str) -> Problem:
    with pytest.raises(StudyProblems) as refused:
        parse_rule(text)
    (found,) = refused.value.problems
    return found


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("weight / (height / 100) ** 2", "weight / ((height / 100) ** 2)"),
        ("cd4<350 or (age >= 50.0 and stage=='III')", None),
        ("1.50 + 0x10 + 1_000", "(1.5 + 16) + 1000"),
        ("a if c else b", "where(c, a, b)"),
        ("where(c, a, where(d, b, e))", "cases(c, a, d, b, e)"),
        ("1 < a <= b", "(1 < a) and (a <= b)"),
        ("(a and b) and c", "a and b and c"),
        ("min(a, min(b, c))", "min(a, b, c)"),
        ("clip(x, 0, 10)", "min(max(x, 0), 10)"),
        ("x not in {'a', 'b'}", 'not (x in ("a", "b"))'),
        ("x in ['a']", 'x in ("a",)'),
        ("-2 ** 2", "-(2 ** 2)"),
        ("(-2) ** 2", "(-2) ** 2"),
        ("--2 + +x", "2 + x"),
        ("-0.0", "0"),
        ("lab.crp > cd4[t-1]", None),
        ("x[0] + x[t] + x[12]", "(x[0] + x[t]) + x[12]"),
        ("variable('x.1') + variable('class')", 'variable("x.1") + variable("class")'),
        ("variable('x')", "x"),
        ("""s == 'say "a"'""", r's == "say \"a\""'),
        ("# why\na\n  + b  # so", "a + b"),
        ("True and not False", "True and (not False)"),
    ],
)
def test_a_rule_has_one_text(text: str, canonical: str | None) -> None:
    rule = parse_rule(text)
    assert canonical is None or rule.text == canonical
    assert parse_rule(rule.text) == rule


def test_rules_are_equal_by_their_text_alone() -> None:
    assert parse_rule("a+b") == parse_rule("(a) + b")
    assert parse_rule("a+b") != parse_rule("b+a")
    assert len({parse_rule("a+1"), parse_rule("a + 1.0"), parse_rule("a + 2")}) == 2


def test_names_are_the_variables_and_nothing_else() -> None:
    text = "where(max == 'a', exp(lab.crp), x[t-1]) + variable('x.1')"
    assert parse_rule(text).names == {"max", "lab.crp", "x[t-1]", "x.1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x + 1", [2, 11, -1.5, NAN]),
        ("x / y", [NAN, NAN, -1.25, NAN]),
        ("x // 2", [0, 5, -2, NAN]),
        ("x % 3", [1, 1, 0.5, NAN]),
        ("x % -3", [-2, -2, -2.5, NAN]),
        ("x ** 2", [1, 100, 6.25, NAN]),
        ("x ** 0.5 >= 0", [1, 1, NAN, NAN]),
        ("2 ** y", [NAN, 1, 4, 16]),
        ("round(x)", [1, 10, -3, NAN]),
        ("round(x / 4)", [0, 3, -1, NAN]),
        ("floor(x) + ceil(x) + abs(x)", [3, 30, -2.5, NAN]),
        ("log(y)", [NAN, NAN, np.log(2.0), np.log(4.0)]),
        ("sqrt(x)", [1, np.sqrt(10.0), NAN, NAN]),
        ("exp(100 * x)", [np.exp(100.0), NAN, np.exp(-250.0), NAN]),
        ("1 / exp(1000 * x) ", [NAN, NAN, NAN, NAN]),
        ("min(x, y, 3)", [NAN, 0, -2.5, NAN]),
        ("clip(x, 0, 5)", [1, 5, 0, NAN]),
        ("x > y", [NAN, 1, 0, NAN]),
        ("b and x > 0", [0, 1, 0, NAN]),
        ("b or x > 0", [1, 1, NAN, 1]),
        ("not b", [1, 0, NAN, 0]),
        ("is_missing(x) or is_missing(sex)", [0, 0, 1, 1]),
        ("where(b, x, y)", [NAN, 10, NAN, NAN]),
        ("where(is_missing(y), x, y)", [1, 0, 2, 4]),
        ("b + (x > 0)", [1, 2, NAN, NAN]),
        ("x in (1, 10)", [1, 1, 0, NAN]),
        ("sex == 'female'", [1, 0, NAN, 1]),
        ("stage < 'III'", [1, 1, 0, NAN]),
        ("'II' <= stage", [0, 1, 1, NAN]),
        ("grade >= 'II'", [NAN, 1, 0, 1]),
        ("grade in ('I', 'OTHER')", [1, 0, 1, 0]),
        ("grade == stage", [0, 1, 0, NAN]),
        ("grade > stage", [NAN, 0, 0, NAN]),
        ("7", [7, 7, 7, 7]),
    ],
)
def test_a_rule_computes(text: str, expected: list[float]) -> None:
    np.testing.assert_array_equal(evaluate(parse_rule(text), COLUMNS, 4), np.array(expected))


def test_labels_are_codes_of_all_labels_that_the_rule_names() -> None:
    found = evaluate(parse_rule("cases(x < 0, 'low', x < 5, 'mid', sex)"), COLUMNS, 4)
    assert isinstance(found, Levels)
    assert found.labels == ("low", "mid", "female", "male")
    assert found.codes.tolist() == [1, 3, 0, -1]
    assert found.codes_in(("male", "mid")).tolist() == [1, 0, -1, -1]


@pytest.mark.parametrize("text", ["x / y + 1", "where(x > 1, 'low', sex)", "b and x > 1", "3"])
def test_no_rows_give_no_rows(text: str) -> None:
    none: dict[str, Column] = {
        "x": np.zeros(0),
        "y": np.zeros(0),
        "b": np.zeros(0),
        "sex": Levels(np.zeros(0, np.int64), ("female", "male")),
    }
    found = evaluate(parse_rule(text), none, 0)
    assert len(found.codes if isinstance(found, Levels) else found) == 0


@pytest.mark.parametrize(
    ("text", "expected", "found"),
    [
        ("", "a rule: one expression", "nothing"),
        ("a +", "a rule: one expression", "its end"),
        ("1) + (2", "a rule: one expression", "'1) + (2'"),
        ("a, b", "a rule: one expression", "'a, b'"),
        ("(a for a in b)", "numbers, labels, variables", "at column 1"),
        ("lab.1 > 2", "a rule: one expression", ""),
        ("1if x else 2", "a rule: one expression", ""),
        ("a\0", "a rule: one expression", ""),
        ("-" * 1999 + "1", "at most 32 operations", ""),
        ("lambda: 1", "numbers, labels, variables", "'lambda: 1' at column 1"),
        ("[a]", "numbers, labels, variables", "'[a]'"),
        ("f'{x}'", "numbers, labels, variables", ""),
        ("a := 1", "numbers, labels, variables", ""),
        ("x is None", "one of == != < <= > >= in", "'x is None' at column 1"),
        ("x == None", "a number or a label", "'None' at column 6"),
        ("f(", "a rule: one expression", "its end"),
        ("1j", "a number or a label", "'1j'"),
        ("x == b'a'", "a number or a label", ""),
        ("1e16", "a finite number up to 10^15", "'1e16'"),
        ("1e400", "a finite number up to 10^15", "'1e400'"),
        ("1e-19", "at most 18 decimal places", "'1e-19'"),
        ("x == '\\n'", "a label of printable characters", ""),
        ("(a + b).real", "the name of a variable before", "'a + b' at column 2"),
        ("a()[0]", "the name of a variable before", "'a()[0]' at column 1"),
        ("x[t + 1]", "a visit in brackets", "'t + 1' at column 3"),
        ("x[True]", "a visit in brackets", "'True'"),
        ("~x", "- or not before a value", "'~x'"),
        ("a & b", "one of + - * / // % **, and, or", "'a & b'"),
        ("a ** b", "a number other than 0", "'a ** b'"),
        ("a ** 0", "a number other than 0", "'a ** 0'"),
        ("a ** 101", "of at most 100 above **", "'a ** 101'"),
        ("(-2) ** a", "a positive number other than 1 below", ""),
        ("1 ** a", "a positive number other than 1 below", ""),
        ("a % b", "a number other than 0 after %", "'a % b'"),
        ("a % 0", "a number other than 0 after %", "'a % 0'"),
        ("a is b", "one of == != < <= > >= in", "'a is b'"),
        ("a < b in (1, 2)", "one of == != < <= > >= in", ""),
        ("x in 'ab'", "a list of values after 'in'", ""),
        ("x in ()", "a list of values after 'in'", ""),
        ("a +\n  foo(3)", "a call of a known function", "'foo(3)' at line 2, column 3"),
        ("'é' == s or foor(x) > 1", "a call of a known function", "'foor(x)' at column 13"),
        ("a.min(b)", "a call of a known function", "'a.min(b)'"),
        ("exp(x=1)", "values between the parentheses", ""),
        ("min(*a)", "values between the parentheses", ""),
        ("where(a, b)", "a condition and two values", ""),
        ("cases(a, b, c, d)", "a value after every condition", ""),
        ("clip(x, 1)", "a value and its bounds", ""),
        ("max(x)", "two values or more", ""),
        ("variable()", "a name in quotes", ""),
        ("variable(x)", "a text in quotes", "'x'"),
        ("round(x, 2)", "one value", "'round(x, 2)'"),
    ],
)
def test_what_is_no_rule_is_refused_with_its_place(text: str, expected: str, found: str) -> None:
    refused = refusal(text)
    assert expected in refused.expected
    assert found in refused.found
    assert refused.remedy


def test_a_misspelt_function_is_refused_with_the_nearest() -> None:
    assert refusal("foor(x)").remedy == "'floor'"
    assert "'is_missing'" in refusal("(a + b)(c)").remedy


def test_a_rule_beyond_all_use_is_refused() -> None:
    assert "2000 characters" in refusal("x" * (MAX_RULE_CHARACTERS + 1)).expected
    long_chain = " < ".join(["x" * 60] * 20)
    assert "2000 characters" in refusal(long_chain).expected
    assert f"at most {MAX_DEPTH} operations" in refusal("+".join("x" * 40)).expected
    arms = ", ".join(f"x < {arm}, {arm}" for arm in range(40))
    assert f"at most {MAX_DEPTH} operations" in refusal(f"cases({arms}, 1)").expected
    nested = "x"
    for _ in range(9):
        nested = f"(a<{nested}<a)"
    assert f"at most {MAX_PARTS} parts" in refusal(nested).expected


def test_the_value_of_in_counts_once_per_candidate_as_an_engine_computes_it() -> None:
    nested = "x"
    for _ in range(4):
        nested = f"({nested} in (0, 1, 2, 3, 4)) + 0"
    assert f"at most {MAX_PARTS} parts" in refusal(nested).expected
    assert parse_rule("x in (1, 2, 3)").root.size == 1 + 3 + 3


def test_a_deep_syntax_tree_is_refused_before_it_exhausts_the_reader() -> None:
    assert refusal("not " * 499 + "x").expected.startswith("at most")
    assert parse_rule("x" + ".a" * 900).names == {"x" + ".a" * 900}


@pytest.mark.parametrize(
    ("text", "target", "expected", "found", "remedy"),
    [
        ("x + q", X, "parents of the variable", "'q'", "'x'"),
        ("q", X, "parents of the variable", "'q'", "without names"),
        ("time + 1", X, "numbers, labels and truths", "'time', a survival", "other parents"),
        ("sex + 1", X, "a number", "a label, 'sex'", "x == 'low'"),
        ("exp(sex)", X, "a number", "a label", ""),
        ("not x", YES, "a condition", "a number, 'x'", "x > 0"),
        ("b and x", YES, "a condition", "a number, 'x'", "x > 0"),
        ("where(sex, 1, 2)", X, "a condition", "a label, 'sex'", "x == 'low'"),
        ("where(b, 1, 'low')", X, "labels in all cases", "where", ""),
        ("sex == 'femal'", YES, "a label of the variable", "'femal'", "'female'"),
        ("'femal' != sex", YES, "a label of the variable", "'femal'", "'female'"),
        ("sex in ('male', 'x')", YES, "a label of the variable", "'x'", "'female', 'male'"),
        ("sex == 'MISSING'", YES, "a label of the variable", "'MISSING'", "is_missing(x)"),
        ("sex == 'OTHER'", YES, "a label of the variable", "'OTHER'", ""),
        ("sex == 1", YES, "a label against a label", "'sex' against '1'", ""),
        ("x > 'low'", YES, "a label against a label", "'\"low\"' against 'x'", ""),
        ("'a' == 'a'", YES, "a variable on one side", "", ""),
        ("sex == stage", YES, "labels in common", "'sex == stage'", ""),
        ("sex < 'male'", YES, "an ordinal variable", "sex <", "ordinal"),
        ("grade < 'OTHER'", YES, "a label of the variable", "'OTHER'", ""),
        ("stage < 'IV'", YES, "a label of the variable", "'IV'", ""),
        ("stage < size", YES, "with the same levels", "'stage < size'", ""),
        ("x", YES, "a condition for a boolean", "a number", "x > 0"),
        ("b", X, "a number for a numeric", "a condition", "where(condition, 1, 0)"),
        ("x", BANDS, "a label for a categorical", "a number", "cases("),
        ("sex", X, "a number for a numeric", "a label", "x == 'low'"),
        ("where(b, 'lo', 'high')", BANDS, "labels of the variable", "'lo'", "'low'"),
        ("where(b, 'low', 'OTHER')", BANDS, "labels of the variable", "'OTHER'", ""),
        ("x", PARENTS["time"], "a numeric, count, boolean", "a survival one", ""),
        ("y + 1", X, "may be missing where 'y' is", "without", "where(is_missing(y)"),
        ("grade > 'I'", YES, "may be missing where 'grade' is", "without", "missing = true"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused(
    text: str, target: Variable, expected: str, found: str, remedy: str
) -> None:
    problem_found = problem(text, target)
    assert expected in problem_found.expected
    assert found in problem_found.found
    assert remedy in problem_found.remedy


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("n + b + gone", X),
        ("x * 2", PARENTS["n"]),
        ("x > 1 or gone", YES),
        ("where(b, 1, 0)", YES),
        ("where(b, 1, x > 1)", YES),
        ("1", YES),
        ("where(stage > 'I', 'low', 'high')", BANDS),
        ("where(b, stage, 'II')", PARENTS["grade"]),
        ("where(b, stage, grade) == 'OTHER'", YES),
        ("where(b, stage, stage) < 'II'", YES),
        ("where(is_missing(y), x, y)", X),
        ("where(not is_missing(y), y, x)", X),
        ("cases(is_missing(y), 0, y > 1, y, 2 * y)", X),
        ("is_missing(y) or y > 1", YES),
        ("y > 1 and not is_missing(y)", YES),
        ("where(is_missing(y) or b, 0, y)", X),
        ("where(b and not is_missing(y), y, 0)", X),
        ("y + 1", PARENTS["y"]),
    ],
)
def test_a_rule_that_fits_is_taken(text: str, target: Variable) -> None:
    rule = parse_rule(text)
    check_rule(rule, {name: PARENTS[name] for name in rule.names}, target)


def test_a_parent_that_the_rule_does_not_read_is_refused() -> None:
    (found,) = rule_problems(parse_rule("x"), {"x": X, "b": YES}, X)
    assert "reads its parent 'b'" in found.expected
    assert "remove the arrow" in found.remedy


def test_all_problems_are_found_at_once() -> None:
    rule = parse_rule("where(x, sex + 1, q)")
    with pytest.raises(StudyProblems) as refused:
        check_rule(rule, {"x": X, "sex": PARENTS["sex"]}, X)
    assert len(refused.value.problems) == 3
