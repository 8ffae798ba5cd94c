"""Indicators of missing values: which fit, and what they mean for levels in the model."""

import pytest

from protocol.errors import UsageError
from protocol.study.document import parse_study
from tests.support.studies import MIXED_TEXT, VISITS_TEXT, edited

INDICATOR = 'crp_missing = { kind = "missingness", of = "crp" }'


def test_a_variable_with_an_indicator_is_measured_with_missing_and_modelled_without() -> None:
    study = parse_study(MIXED_TEXT)
    assert study.indicators == {"crp": "crp_missing"}
    assert study.hidden == {"crp"}
    assert study.variable("crp").labels == ("[0.1, 1)", "[1, 100]", "MISSING")
    assert study.model_labels("crp") == ("[0.1, 1)", "[1, 100]")
    assert study.model_sizes(("crp", "smoker")) == (2, 3)
    assert study.model_scores("crp") == study.variable("crp").scores[:2]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (INDICATOR, INDICATOR.replace('"crp"', '"crpp"'), "found 'crpp'; write 'crp'"),
        (INDICATOR, INDICATOR.replace('"crp"', '"age"'), "found 'age', which is never missing"),
        (INDICATOR, INDICATOR.replace('"crp"', '"dose"'), "'dose', which a rule computes"),
        (INDICATOR, INDICATOR.replace('"crp"', '"crp_missing"'), "which is never missing"),
        (
            INDICATOR,
            f'{INDICATOR}\\ncrp_gone = {{ kind = "missingness", of = "crp" }}'.replace("\\n", "\n"),
            "expected one indicator per variable, found 'crp_gone' and 'crp_missing' for 'crp'",
        ),
        (INDICATOR, INDICATOR.replace(" }", ", missing = true }"), "an indicator, never missing"),
        (
            '"sex -> crp_missing"',
            '"crp -> crp_missing"',
            "graph (line 30): expected whether 'crp' is missing not to depend on 'crp', found a pa",
        ),
        (
            '"sex -> crp_missing"',
            '"crp -> treated", "treated -> crp_missing"',
            "expected whether 'crp' is missing not to depend on 'treated', found a path from",
        ),
        (
            '"sex -> crp_missing"',
            '"crp -> stay", "crp_missing -> stay"',
            "expected 'crp' or its indicator in the mechanism of 'stay', found 'crp_missing' too",
        ),
        ('"sex -> crp_missing"', '"crp_missing -> crp"', "in the mechanism of 'crp', found"),
    ],
)
def test_an_indicator_that_does_not_fit_is_refused(old: str, new: str, message: str) -> None:
    assert message in _refusal_of(edited(old, new, MIXED_TEXT))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("where(is_missing(crp), 0, 1)", "expected no is_missing of 'crp', which the model never"),
        ("where(is_missing(crp), 0, 1)", "write 'crp_missing' itself, and an arrow from it"),
    ],
)
def test_a_rule_may_not_ask_whether_a_hidden_variable_is_missing(value: str, message: str) -> None:
    text = edited("where(sex == 'male', 0.1, 0.05) * age", f"{value} * age", MIXED_TEXT)
    assert message in _refusal_of(edited('"sex -> dose",', '"crp -> dose",', text))


def test_a_rule_of_hidden_and_other_missing_parents_is_refused() -> None:
    text = edited("where(sex == 'male', 0.1, 0.05) * age", "crp * smoker * age", MIXED_TEXT)
    text = edited('"sex -> dose",', '"crp -> dose", "smoker -> dose",', text)
    text = edited("edges = [0, 5, 10] }", "edges = [0, 5, 10], missing = true }", text)
    message = _refusal_of(text)
    assert "all have an indicator, or none, found 'crp' with and 'smoker' without" in message


def test_whether_a_value_is_missing_may_depend_on_the_value_of_the_visit_before() -> None:
    study = parse_study(
        VISITS_TEXT.replace('"sex -> cd4_missing[t]"', '"cd4[t-1] -> cd4_missing[t]"')
    )
    assert study.family_of("cd4_missing[2]").clique == ("cd4[t-1]", "cd4_missing[t]")


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ('"cd4[t] -> cd4_missing[t]"', "whether 'cd4[1]' is missing not to depend on 'cd4[1]'"),
        ('"load[t] -> cd4_missing[t]", "cd4[t] -> load[t]"', "not to depend on 'load[1]'"),
        (
            '"cd4_missing[t-1] -> cd4_missing[t]", "cd4[t-1] -> cd4_missing[t]"',
            "'cd4[0]' or its indicator in the mechanism of 'cd4_missing[1]'",
        ),
    ],
)
def test_whether_a_value_is_missing_may_not_depend_on_the_value_itself(
    new: str, message: str
) -> None:
    assert message in _refusal_of(VISITS_TEXT.replace('"sex -> cd4_missing[t]"', new))


def test_an_indicator_is_static_where_its_variable_is() -> None:
    text = VISITS_TEXT.replace('static = ["sex"]', 'static = ["sex", "cd4_missing"]')
    text = text.replace('"sex -> cd4_missing[t]"', '"sex -> cd4_missing"')
    assert "expected both or neither of an indicator and its variable" in _refusal_of(text)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ('pressure = { kind = "numeric"', 'pressure = { missing = true, kind = "numeric"', "press"),
        ('visits = { kind = "count"', 'visits = { missing = true, kind = "count"', "visits"),
        ('treated = { kind = "boolean"', 'treated = { missing = true, kind = "boolean"', "treated"),
    ],
)
def test_a_number_of_a_regression_that_may_be_missing_needs_an_indicator(
    old: str, new: str, name: str
) -> None:
    assert f"expected an indicator of '{name}" in _refusal_of(edited(old, new, MIXED_TEXT))


def _refusal_of(text: str) -> str:
    with pytest.raises(UsageError) as refusal:
        parse_study(text)
    assert refusal.value.code == "study-invalid"
    return str(refusal.value)
