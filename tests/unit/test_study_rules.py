"""Rules against the graph: what a rule reads are the parents of its variable."""

import json
from itertools import pairwise

import pytest

from protocol.errors import UsageError
from protocol.study.document import parse_study
from tests.support.studies import MIXED_TEXT, VISITS_TEXT, edited

HEAD = """
format = "concause-study/1"
name = "chain"
title = "Rules upon rules"
author = "Tests"
expires = 2031-01-01
budget = { rho = 0.5 }
cohort = { n_min = 3, tolerated_colluders = 0, threshold = 3 }
trust = { aggregation = "masking" }
"""
RULE = "where(sex == 'male', 0.1, 0.05) * age"
LOW = 'value = "load[t] < 2"'


def test_sites_need_columns_for_all_but_rules_and_indicators() -> None:
    study = parse_study(MIXED_TEXT)
    assert study.rules == ("dose",)
    assert set(study.variables) - set(study.measured_variables) == {"dose", "crp_missing"}


def test_rules_come_in_an_order_in_which_they_can_be_computed() -> None:
    text = edited(
        'treated = { kind = "boolean" }',
        'treated = { kind = "boolean" }\na = { kind = "boolean" }',
        MIXED_TEXT,
    )
    text = edited("[graph]", 'a = { kind = "rule", value = "dose > 5" }\n[graph]', text)
    text = edited('"sex -> stage",', '"sex -> stage", "dose -> a",', text)
    assert parse_study(text).rules == ("dose", "a")


def test_a_rule_has_no_statistic_and_its_children_have() -> None:
    study = parse_study(MIXED_TEXT)
    assert study.family_of("dose").mechanism.uses == "none"
    assert study.family_of("pressure").regressors == ("dose", "treated")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (RULE, "0.1 * age", "expected a rule that reads its parent 'sex', found none"),
        (RULE, f"({RULE}) * (smoker == 1)", "found none from 'smoker'; write smoker -> dose"),
        (RULE, f"{RULE} * agee", "expected parents of 'dose', found 'agee'; write 'age', 'sex'"),
        (RULE, "where(sex == 'mail', 0.1, 0.05) * age", "found 'mail'"),
        (RULE, "where(sex == 'male', age > 50, age < 50)", "expected a number for a numeric"),
    ],
)
def test_a_rule_that_does_not_fit_its_parents_and_target_is_refused(
    old: str, new: str, message: str
) -> None:
    assert message in _refusal_of(edited(old, new, MIXED_TEXT))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (LOW, 'value = "load < 2"', "expected parents of 'low[t]' at its visit, found 'load'"),
        (LOW, 'value = "load[0] < 2"', "at its visit, found 'load[0]'; write 'load[t]'"),
        (LOW, 'value = "load[t-1] < 2"', "at its visit, found 'load[t-1]'; write 'load[t]'"),
        (LOW, 'value = "load[t] < 2 + sex"', "found none from 'sex'; write sex -> low[t]"),
        (LOW, 'value = "load[t] < 2 + drug"', "at its visit, found 'drug'; write 'drug[t]'"),
        (
            '"load[t] -> low[t]"',
            '"load[t] -> low[t]", "load[t-1] -> low[t]"',
            "expected causes at the same visit of 'low[t]', which a rule computes",
        ),
        ('"load[0] -> low[0]",', "", "found none of 'low[0]' from 'load'"),
        (
            '"load[0] -> low[0]",',
            '"load[0] -> low[0]", "sex -> low[0]",',
            "found none of 'low[t]' from 'sex'; write an arrow into 'low[t]' too",
        ),
    ],
)
def test_a_rule_reads_the_same_things_at_every_visit(old: str, new: str, message: str) -> None:
    assert message in _refusal_of(edited(old, new, VISITS_TEXT))


def test_a_rule_may_read_an_indicator_and_be_missing_where_its_parents_are() -> None:
    text = edited(
        'dose = { kind = "numeric", edges = [0, 5, 10] }',
        'dose = { kind = "numeric", edges = [0, 5, 10], missing = true }',
        MIXED_TEXT,
    )
    text = edited(RULE, f"where(crp_missing, 0, crp) * ({RULE})", text)
    text = edited('"sex -> dose",', '"sex -> dose", "crp -> dose", "crp_missing -> dose",', text)
    study = parse_study(text)
    assert study.hidden == {"crp", "dose"}
    assert study.model_labels("dose") == ("[0, 5)", "[5, 10]")
    assert study.sizes(("dose",)) == (3,)


def test_a_rule_of_a_level_that_may_be_missing_may_be_missing_in_the_model() -> None:
    text = edited(
        'dose = { kind = "numeric", edges = [0, 5, 10] }',
        'dose = { kind = "numeric", edges = [0, 5, 10], missing = true }',
        MIXED_TEXT,
    )
    text = edited(RULE, f"where(stage == 'I', 0, 1) * ({RULE})", text)
    text = edited('"sex -> dose",', '"sex -> dose", "stage -> dose",', text)
    assert "an indicator of 'dose', a number in the mechanism of" in _refusal_of(text)
    tables = text.replace('pressure = "gaussian"', 'pressure = "binned"')
    tables = edited('{ kind = "logistic", statistic = "moments" }', '"categorical"', tables)
    study = parse_study(tables)
    assert study.hidden == {"crp"}
    assert study.model_labels("dose")[-1] == "MISSING"


def _refusal_of(text: str) -> str:
    with pytest.raises(UsageError) as refusal:
        parse_study(text)
    assert refusal.value.code == "study-invalid"
    return str(refusal.value)


NUMBER = 'kind = "numeric", edges = [0, 1, 2]'
LEVELS = f'kind = "categorical", levels = {json.dumps([str(level) for level in range(640)])}'


def _computed(rules: dict[str, str], edges: list[tuple[str, str]], kind: str = NUMBER) -> str:
    """Return a study whose variables are all of one kind, most of them computed by `rules`."""
    names = sorted({name for edge in edges for name in edge})
    return "\n".join(
        [
            HEAD,
            "[variables]",
            *(f"{name} = {{ {kind} }}" for name in names),
            "[mechanisms]",
            *(f'{name} = {{ kind = "rule", value = "{value}" }}' for name, value in rules.items()),
            "[graph]",
            f"edges = {json.dumps([f'{cause} -> {effect}' for cause, effect in edges])}",
        ]
    )


def _chain(value: str, length: int, kind: str = NUMBER) -> str:
    """Return a study in which each of `length` variables is computed from the one before it."""
    edges = list(pairwise(f"v{at}" for at in range(length + 1)))
    return _computed({effect: value.format(cause) for cause, effect in edges}, edges, kind)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (_chain("{0} + {0}", 9), "at most 1000 parts, 32 inside one another"),  # doubles each time
        (_chain("{0} + 1", 12), "at most 1000 parts, 32 inside one another"),
        (_chain("{0} + {0} + {0} + {0} + {0} + {0} + {0}", 5), "at most 1000 parts"),
        (_chain(f"where(({' or '.join(['{0} == {0}'] * 50)}), {{0}}, {{0}})", 1, LEVELS), "1000"),
    ],
)
def test_rules_that_a_query_would_write_out_at_great_length_are_refused(
    text: str, expected: str
) -> None:
    assert expected in _refusal_of(text)


def test_rules_that_are_too_much_together_are_refused() -> None:
    value = f"min({', '.join(['a'] * 450)})"
    names = [f"v{at}" for at in range(12)]
    text = _computed(dict.fromkeys(names, value), [("a", name) for name in names])
    assert "at most 5000 parts in all rules together" in _refusal_of(text)


def test_a_chain_of_rules_that_a_query_can_hold_is_not_refused() -> None:
    assert len(parse_study(_chain("{0} + {0}", 7)).rules) == 7
