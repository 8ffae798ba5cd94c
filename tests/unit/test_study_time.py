"""Longitudinal studies: columns, arrows between visits, and what questions mean there."""

import pytest

from protocol.errors import UsageError
from protocol.study.document import parse_study, study_from_canonical
from protocol.study.sections import Time
from protocol.study.time import base_name, template_of, transition_unit
from tests.support.studies import VISITS_TEXT, edited

STUDY = parse_study(VISITS_TEXT)


def test_the_graph_has_a_node_per_visit_and_one_for_what_is_static() -> None:
    graph = STUDY.causal_graph
    assert len(graph.nodes) == 1 + 3 * 6
    assert graph.nodes[0] == "sex"
    assert [node[-3:] for node in graph.nodes[1:]] == ["[0]"] * 6 + ["[1]"] * 6 + ["[2]"] * 6
    assert graph.parents["cd4[0]"] == ("sex",)
    assert graph.parents["drug[2]"] == ("cd4[1]", "low[2]")


def test_all_visits_but_the_first_share_a_family() -> None:
    assert STUDY.family_of("drug[1]") == STUDY.family_of("drug[2]")
    later, first = STUDY.family_of("drug[2]"), STUDY.family_of("drug[0]")
    assert (later.clique, later.population) == (("cd4[t-1]", "low[t]", "drug[t]"), "transitions")
    assert (first.clique, first.population) == (("cd4[0]", "drug[0]"), "units")


@pytest.mark.parametrize(
    ("name", "variable", "column"),
    [
        ("cd4[2]", "cd4", "cd4[t]"),
        ("cd4[0]", "cd4", "cd4[0]"),
        ("cd4[t-1]", "cd4", "cd4[t]"),
        ("sex", "sex", "sex"),
    ],
)
def test_names_of_nodes_and_columns_lead_to_their_variable(
    name: str, variable: str, column: str
) -> None:
    assert base_name(name) == variable
    assert template_of(name) == column
    assert STUDY.variable(name) is STUDY.variables[variable]


@pytest.mark.parametrize(("visits", "unit"), [(2, 1), (3, 2), (4, 6), (7, 60), (13, 27720)])
def test_the_weight_of_a_unit_is_divisible_by_any_number_of_transitions(
    visits: int, unit: int
) -> None:
    assert transition_unit(Time(visits=visits)) == unit
    assert all(unit % transitions == 0 for transitions in range(1, visits))


def test_a_longitudinal_study_reads_back_from_its_canonical_form() -> None:
    again = study_from_canonical(STUDY.canonical)
    assert again.canonical == STUDY.canonical
    assert again.causal_graph == STUDY.causal_graph
    assert again.families == STUDY.families


def test_the_order_of_arrows_and_of_static_variables_does_not_change_the_hash() -> None:
    two = edited('["sex"] }', '["sex", "site"] }', VISITS_TEXT)
    two = edited(
        'sex = { kind = "boolean" }', 'sex = { kind = "boolean" }\nsite = { kind = "boolean" }', two
    )
    swapped = edited('["sex", "site"]', '["site", "sex"]', two)
    swapped = edited(
        '"sex -> cd4[0]", "cd4[0] -> drug[0]"', '"drug[0] <- cd4[0]", "sex->cd4[0]"', swapped
    )
    assert parse_study(two).hash == parse_study(swapped).hash


@pytest.mark.parametrize(
    ("arrow", "message"),
    [
        ("sex[t] -> drug[t]", "expected no index on a static variable, found 'sex[t] -> drug[t]'"),
        ("sex -> drug", "expected an index [0], [t], [t-1], found 'sex -> drug'; write 'drug[t]'"),
        ("sexx -> drug[t]", "expected declared variables in 'sexx -> drug[t]', found 'sexx'"),
        ("load[t] -> drug[t-1]", "expected an effect at [0] or [t]"),
        ("load[t] -> drug[0]", "expected causes of [0] at [0] or static"),
        ("load[0] -> drug[t]", "expected causes of [t] at [t], [t-1] or static"),
        ("load[0] -> sex", "expected static causes of a static variable"),
        ("load[1] -> drug[t]", "expected one arrow such as 'a[t-1] -> b[t]'"),
        ("load[t]", "expected one arrow such as 'a[t-1] -> b[t]', found 'load[t]'"),
        ("sex -> cd4[0]", "expected each edge once, found 'sex -> cd4[0]' twice"),
        ("drug[t] -> low[t]", "a graph without cycles, found drug -> low -> drug"),
        ("drug[t] -> drug[t]", "expected two different variables, found 'drug -> drug'"),
    ],
)
def test_an_arrow_that_does_not_fit_in_time_is_refused(arrow: str, message: str) -> None:
    text = edited('"load[0] -> low[0]",', f'"load[0] -> low[0]", "{arrow}",', VISITS_TEXT)
    assert message in _refusal_of(text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("visits = 3", "visits = 1", "time.visits (line 9): expected at least 2"),
        ("visits = 3", "visits = 14", "expected at most 13, found 14"),
        ('static = ["sex"]', 'static = ["sexx"]', "time.static (line 9): expected declared vari"),
        ('static = ["sex"]', 'static = ["sex", "sex"]', "expected each variable once, found 'sex'"),
        (
            'static = ["sex"]',
            'static = ["sex", "cd4", "cd4_missing", "load", "drug", "dead", "low"]',
            "expected a variable that changes over time, found none",
        ),
        ("budget =", "unit = { max_rows_per_unit = 2 }\nbudget =", "expected 1 where there is [ti"),
        (
            'dead = { kind = "boolean" }',
            'dead = { kind = "boolean" }\ndeath = { kind = "survival", edges = [0, 1, 2] }',
            "variables.death.kind (line 18): expected no time to an event in a study with [time]",
        ),
    ],
)
def test_what_does_not_fit_with_visits_is_refused(old: str, new: str, message: str) -> None:
    assert message in _refusal_of(edited(old, new, VISITS_TEXT))


def test_dagitty_text_cannot_say_visits() -> None:
    start, end = VISITS_TEXT.index("edges = [\n"), VISITS_TEXT.index("[[questions]]")
    text = VISITS_TEXT[:start] + 'dagitty = "dag { sex -> drug }"\n' + VISITS_TEXT[end:]
    assert "expected edges, where there is [time], found dagitty" in _refusal_of(text)


def test_a_treatment_without_index_is_set_at_every_visit() -> None:
    [question] = STUDY.questions
    assert STUDY.treated_nodes(question) == ("drug[0]", "drug[1]", "drug[2]")
    single = parse_study(edited('treatment = "drug"', 'treatment = "drug[1]"', VISITS_TEXT))
    assert single.treated_nodes(single.questions[0]) == ("drug[1]",)


def test_a_treatment_may_go_on_after_the_outcome() -> None:
    text = edited('outcome = "dead[2]"', 'outcome = "cd4[1]"', VISITS_TEXT)
    assert "drug[2]" in parse_study(text).causal_graph.descendants("cd4[1]")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('outcome = "dead[2]"', 'outcome = "dead"', "found 'dead'; write 'dead[2]'"),
        ('outcome = "dead[2]"', 'outcome = "dead[3]"', "expected a declared variable, found 'de"),
        ('outcome = "dead[2]"', 'outcome = "drug[2]"', "which the treatment at every visit sets"),
        ('outcome = "dead[2]"', 'outcome = "drug"', "expected another variable than the treatm"),
        ('treatment = "drug"', 'treatment = "drug[t]"', "found 'drug[t]'; write"),
        (
            'treatment = "drug"\ntreated = 1\nreference = 0\noutcome = "dead[2]"',
            'treatment = "drug[2]"\ntreated = 1\nreference = 0\noutcome = "cd4[1]"',
            "expected a treatment that the outcome does not cause",
        ),
    ],
)
def test_a_question_that_cannot_be_asked_of_visits_is_refused(
    old: str, new: str, message: str
) -> None:
    assert message in _refusal_of(edited(old, new, VISITS_TEXT))


def _refusal_of(text: str) -> str:
    with pytest.raises(UsageError) as refusal:
        parse_study(text)
    assert refusal.value.code == "study-invalid"
    return str(refusal.value)
