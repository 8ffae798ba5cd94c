"""What must hold between graph, mechanisms, questions and variables."""

from fractions import Fraction

import pytest

from protocol.errors import UsageError
from protocol.study.document import parse_study
from tests.support.studies import MIXED_TEXT, STUDY_TEXT, edited


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"sex -> quit"', '"sexx -> quit"', "graph.edges (line 44): expected declared variables"),
        ('"sex -> quit"', '"sexx -> quit"', "found 'sexx'; write 'sex'"),
        ('"sex -> quit"', '"sex - quit"', "graph.edges[1] (line 44): expected names, arrows"),
        ('"sex -> quit"', '"sex -- quit"', "write the direction, or 'a <-> b'"),
        ('"sex -> quit"', '"sex -> sex"', "expected two different variables, found 'sex -> sex'"),
        ('"sex -> quit"', '"age -> quit"', "expected each edge once, found 'age -> quit' twice"),
        ('"sex -> quit"', '"weight -> sex"', "found sex -> weight -> sex"),
    ],
)
def test_a_graph_that_does_not_fit_the_variables_is_refused(
    old: str, new: str, message: str
) -> None:
    assert message in _refusal_of(edited(old, new))


def test_dagitty_text_with_an_undeclared_lone_node_is_refused() -> None:
    start, end = STUDY_TEXT.index("edges = [\n"), STUDY_TEXT.index("[[questions]]")
    text = STUDY_TEXT[:start] + 'dagitty = "dag { ages; quit -> weight }"\n' + STUDY_TEXT[end:]
    assert "graph.dagitty (line 44): expected declared variables, found 'ages'" in _refusal_of(text)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('quitt = "categorical"', "mechanisms.quitt (line 44): expected a declared variable"),
        (
            'quit = "binned"',
            "mechanisms.quit (line 44): expected 'categorical', 'logistic' or 'rule' for a boolean",
        ),
        (
            'age = "categorical"',
            "mechanisms.age (line 44): expected 'binned', 'gaussian' or 'rule' for a numeric",
        ),
        ('age = "linear"', "mechanisms.age.kind (line 44): expected 'categorical', 'ordinal', 'bi"),
        ("age = 5", "mechanisms.age (line 44): expected a table, found 5"),
    ],
)
def test_a_mechanism_that_does_not_fit_its_variable_is_refused(line: str, message: str) -> None:
    assert message in _refusal_of(edited("[graph]", f"[mechanisms]\n{line}\n[graph]"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'treatment = "quit"',
            'treatment = "quitt"',
            "questions[1].treatment (line 55): expected a",
        ),
        ('treatment = "quit"', 'treatment = "quitt"', "found 'quitt'; write 'quit'"),
        (
            'outcome = "weight"',
            'outcome = "wait"',
            "questions[1].outcome (line 58): expected a decl",
        ),
        ('outcome = "weight"', 'outcome = "sex"', "expected an outcome with a mean"),
        ('outcome = "weight"', 'outcome = "quit"', "expected another variable than the treatment"),
        (
            "treated = 1\n",
            "treated = 2\n",
            "questions[1].treated (line 56): expected a value of 'q",
        ),
        ("treated = 1\n", 'treated = "yes"\n', "found 'yes'; write one of '0', '1'"),
        ("treated = 1\n", "treated = 0\n", "questions[1].reference (line 57): expected two differ"),
        ('treatment = "quit"', 'treatment = "exercise"', "found 1; write one of 'low'"),
        (
            'outcome = "weight"',
            'outcome = "age"',
            "questions[1].treatment (line 55): expected a tre",
        ),
        ('outcome = "weight"', 'outcome = "age"', "found a path from 'age' to 'quit' in the graph"),
    ],
)
def test_a_question_that_the_study_cannot_answer_is_refused(
    old: str, new: str, message: str
) -> None:
    assert message in _refusal_of(edited(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('measure = "risk"\n', "", "expected risk, restricted-mean or hazard-ratio of a survival"),
        ('measure = "risk"\n', "", "found 'mean' of a survival; write measure = 'risk'"),
        ('outcome = "stay"', 'outcome = "pressure"', "found 'risk' of a numeric; write measure ="),
        ('measure = "risk"', 'measure = "odds"', "questions[1].measure (line 40): expected 'mean'"),
        (
            'treatment = "treated"\ntreated = 1\nreference = 0\noutcome = "stay"',
            'treatment = "stay"\ntreated = "event [0, 30)"\nreference = 5\noutcome = "age"',
            "expected a treatment that somebody could set, found a time to an event",
        ),
    ],
)
def test_a_question_about_times_to_an_event_asks_for_what_they_have(
    old: str, new: str, message: str
) -> None:
    assert message in _refusal_of(edited(old, new, MIXED_TEXT))


def test_a_survival_variable_causes_nothing() -> None:
    text = edited('"treated -> stay"', '"treated -> stay", "stay -> smoker"', MIXED_TEXT)
    assert "expected a survival variable that causes nothing in the graph" in _refusal_of(text)


def test_scores_of_a_survival_outcome_are_those_of_its_measure() -> None:
    study = parse_study(MIXED_TEXT)
    assert study.model_scores("stay", "risk") == tuple(map(Fraction, (1, 1, 0)))
    assert study.model_scores("stay", "restricted-mean") == tuple(map(Fraction, (15, 60, 90)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("follows = 5", "plan.follows (line 66): expected a hash in 64 hexadecimal digits"),
        (f'follows = "{"A" * 64}"', "expected a hash in 64 hexadecimal digits"),
        ('weights = [{ clique = ["sex"], weight = 0 }]', "expected more than 0, found 0"),
        ('weights = [{ clique = ["sex"] }]', "plan.weights[1].weight (line 66): expected this fi"),
        ('weights = [{ cliques = ["sex"], weight = 1 }]', "found 'cliques'; write 'clique'"),
        (
            'weights = [{ clique = ["sex"], weight = 1, kind = "table" }]',
            "expected 'residual', 'histogram' or 'moments', found 'table'",
        ),
    ],
)
def test_a_plan_section_that_is_not_well_formed_is_refused(line: str, message: str) -> None:
    assert message in _refusal_of(f"{STUDY_TEXT}\n[plan]\n{line}\n")


def test_setting_a_treatment_to_missing_is_refused() -> None:
    text = edited('treatment = "quit"', 'treatment = "exercise"')
    text = edited("treated = 1\n", 'treated = "MISSING"\n', text)
    message = _refusal_of(edited("reference = 0", 'reference = "low"', text))
    assert "questions[1].treated (line 56): expected a value to set, found 'MISSING'" in message


def test_two_questions_of_one_name_are_refused() -> None:
    question = STUDY_TEXT[STUDY_TEXT.index("[[questions]]") : STUDY_TEXT.index("[questions.pub")]
    message = _refusal_of(STUDY_TEXT + question)
    assert (
        "questions (line 52): expected a name per question, found 'quit-on-weight' twice" in message
    )


def test_problems_of_graph_and_questions_are_reported_together() -> None:
    text = edited('outcome = "weight"', 'outcome = "wait"', edited('"sex -> quit"', '"sex -> x"'))
    message = _refusal_of(text)
    assert "found 'x'" in message
    assert "found 'wait'" in message


def test_an_outcome_that_the_treatment_does_not_reach_is_allowed() -> None:
    study = parse_study(edited('outcome = "weight"', 'outcome = "exercise"'))
    assert study.questions[0].outcome not in study.causal_graph.descendants("quit")


def _refusal_of(text: str) -> str:
    with pytest.raises(UsageError) as refusal:
        parse_study(text)
    assert refusal.value.code == "study-invalid"
    return str(refusal.value)
