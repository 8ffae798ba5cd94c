"""Reading a study: TOML in, canonical bytes out, and a line for every problem."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest
from pydantic import BaseModel

from protocol.errors import UsageError
from protocol.study.diagnosis import _KINDS, EXAMPLES
from protocol.study.document import (
    MAX_DOCUMENT_CHARACTERS,
    canonical_study,
    parse_study,
    study_from_canonical,
    study_hash,
)
from protocol.study.mechanisms import Mechanism
from protocol.study.study import Study
from protocol.study.toml_lines import LineIndex, path_text
from tests.support.studies import STUDY_TEXT, VISITS_TEXT, edited

STUDY = parse_study(STUDY_TEXT)


def test_a_study_holds_what_the_file_says() -> None:
    assert STUDY.expires == date(2030, 12, 31)
    assert STUDY.budget.epsilon == Decimal("3.0")
    assert STUDY.sizes(("sex", "age", "weight")) == (3, 3, 4)
    assert STUDY.mechanism_of("age") == "binned"
    assert STUDY.mechanism_of("quit") == "categorical"
    assert STUDY.causal_graph.family("weight") == ("sex", "quit", "weight")


def test_defaults_are_one_row_per_person_and_a_seeded_table() -> None:
    assert (STUDY.unit.name, STUDY.unit.max_rows_per_unit) == ("person", 1)
    assert (STUDY.synthetic.rows, STUDY.synthetic.seed) == (10_000, 1)
    assert STUDY.questions[0].weight == 1


def test_variables_come_in_the_order_of_names_whatever_the_file_says() -> None:
    assert list(STUDY.variables) == ["age", "exercise", "quit", "sex", "weight"]


def test_canonical_bytes_hold_no_float_and_read_back_to_the_same_hash() -> None:
    again = study_from_canonical(canonical_study(STUDY))
    assert canonical_study(again) == canonical_study(STUDY)
    assert study_hash(again) == study_hash(STUDY)
    assert again.causal_graph == STUDY.causal_graph


def test_canonical_bytes_of_rho_name_the_delta_where_epsilon_is_read() -> None:
    text = edited("epsilon = 3.0\ndelta = 1e-6", "rho = 0.05")
    assert (
        b'"budget":{"delta":"0.000001","epsilon":null,"rho":"0.05"}' in parse_study(text).canonical
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("epsilon = 3.0", "epsilon = 3"),
        ("epsilon = 3.0", "epsilon = 3.000"),
        ("delta = 1e-6", "delta = 0.000001"),
        ("45.50", "45.5"),
        ("treated = 1\n", "treated = true\n"),
        ("treated = 1\n", 'treated = "1"\n'),
        ('"sex -> quit",\n    "age -> quit"', '"quit <- age",\n"sex->quit"'),
        ("[variables.quit]", "[mechanisms]\nage = 'binned'\n[variables.quit]"),
        ("[cohort]", "[unit]\nname = 'person'\n[cohort]"),
        ("[graph]\n", "[graph] # why\n\n\n"),
    ],
)
def test_another_way_to_write_the_same_study_has_the_same_hash(old: str, new: str) -> None:
    assert parse_study(edited(old, new)).hash == STUDY.hash


def test_dagitty_text_and_a_list_of_edges_have_the_same_hash() -> None:
    start, end = STUDY_TEXT.index("edges = [\n"), STUDY_TEXT.index("[[questions]]")
    drawing = 'dagitty = """dag { sex -> {quit weight} <- quit\nage -> quit; age -> exercise }"""\n'
    with_self_loop = STUDY_TEXT[:start] + drawing + STUDY_TEXT[end:]
    with pytest.raises(UsageError, match="two different variables"):
        parse_study(with_self_loop)
    drawing = (
        'dagitty = """dag { sex -> {quit weight}; quit -> weight; age -> {quit exercise} }"""\n'
    )
    assert parse_study(STUDY_TEXT[:start] + drawing + STUDY_TEXT[end:]).hash == STUDY.hash


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"{", "not-json"),
        (b'{"b":1, "a":2}', "not-canonical"),
        (b"[]", "study-invalid"),
        (b'{"format":"concause-study/1"}', "study-invalid"),
        (STUDY.canonical.replace(b'"weight":"1"', b'"weight":"1.0"'), "not-canonical"),
        (STUDY.canonical.replace(b'"epsilon":"3"', b'"epsilon":3'), "not-canonical"),
    ],
)
def test_bytes_that_are_not_the_canonical_form_of_a_study_are_refused(
    document: bytes, code: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        study_from_canonical(document)
    assert refusal.value.code == code


def test_a_syntax_error_names_line_and_column() -> None:
    with pytest.raises(UsageError, match="line 3, column 8") as refusal:
        parse_study(edited('name = "quit-smoking"', "name = quit smoking"))
    assert refusal.value.code == "study-not-toml"


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = 1e99999999999999999999999"])
def test_text_made_to_break_the_reader_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_study(text)


def test_a_text_beyond_all_use_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        parse_study("#" * (MAX_DOCUMENT_CHARACTERS + 1))
    assert refusal.value.code == "study-too-large"


FIELD_PROBLEMS = [
    (
        'format = "concause-study/1"',
        'format = "concause-study/2"',
        "format (line 2): expected 'con",
    ),
    ('name = "quit-smoking"', 'name = "Quit smoking!"', "name (line 3): expected a short name"),
    ('name = "quit-smoking"', 'name = "Quit smoking!"', "write 'quit-smoking'"),
    (
        'title = "Quitting smoking and weight"',
        'title = " "',
        "title (line 4): expected a text that",
    ),
    ('title = "Quitting smoking and weight"', "title = 5", "expected a text in quotes, found 5"),
    ('author = "A. Author"\n', "", "author: expected this field, found nothing; write author ="),
    ('author = "A. Author"', f'author = "{"x" * 10001}"', "expected at most 10000 characters"),
    ("expires = 2030-12-31", "expires = 5", "expires (line 6): expected a date, found 5"),
    ("expires = 2030-12-31", 'expires = "2030-02-31"', "expires (line 6): expected a date"),
    ("expires = 2030-12-31", "expires = 2030-12-31T10:00:00", "expires (line 6): expected a date"),
    ("[budget]\n", "[budgets]\n", "budgets (line 8): expected a known field"),
    ("[budget]\n", "[budgets]\n", "write 'budget'"),
    ("epsilon = 3.0", "epsilonn = 3.0", "budget.epsilonn (line 9): expected a known field, found"),
    ("epsilon = 3.0", "epsilon = 0", "budget.epsilon (line 9): expected more than 0, found 0"),
    ("epsilon = 3.0", "epsilon = 101", "budget.epsilon (line 9): expected at most 100, found 101"),
    ("epsilon = 3.0", 'epsilon = "many"', "budget.epsilon (line 9): expected a number, found 'ma"),
    ("epsilon = 3.0", "epsilon = nan", "budget.epsilon (line 9): expected a finite number"),
    ("delta = 1e-6", "delta = 0.1", "budget.delta (line 10): expected at most 0.001"),
    ("delta = 1e-6", "", "budget (line 8): expected epsilon with delta, or rho"),
    ("delta = 1e-6", "rho = 0.1\ndelta = 1e-6", "found epsilon and delta and rho"),
    ("epsilon = 3.0\ndelta = 1e-6", "", "found none of them"),
    ("epsilon = 3.0\ndelta = 1e-6", "rho = 1e-10", "budget.rho (line 9): expected at least 1E-9"),
    ("n_min = 3", "n_min = true", "cohort.n_min (line 13): expected a whole number, found true"),
    ("n_min = 3", "n_min = 1", "cohort.n_min (line 13): expected at least 2, found 1"),
    ("n_min = 3", "n_min = 201", "cohort.n_min (line 13): expected at most 200, found 201"),
    ("threshold = 2", "threshold = 4", "cohort.threshold (line 15): expected at most n_min = 3"),
    ("tolerated_colluders = 0", "tolerated_colluders = 3", "(line 14): expected less than n_min"),
    ("tolerated_colluders = 0", "tolerated_colluders = 1", "write 3"),
    ("tolerated_colluders = 0", "tolerated_colluders = 2", "write 3"),
    ("tolerated_colluders = 0", "tolerated_colluders = 3", "write fewer tolerated_colluders"),
    (
        '"masking"',
        '"crypten"',
        "trust.aggregation (line 18): expected 'masking' or 'aggregators', found 'crypten'",
    ),
    ('kind = "boolean"', 'kind = "boolan"', "variables.quit.kind (line 31): expected a known kind"),
    ('kind = "boolean"', "", "variables.quit.kind (line 30): expected the kind of the variable"),
    ('kind = "boolean"', 'kind = "boolean"\nunits = "kg"', "found 'units'; write one of 'label'"),
    ('["female", "male"]', "[0, 1]", "variables.sex.levels[1] (line 22): expected a text in quot"),
    ('["female", "male"]', '"female"', "variables.sex.levels (line 22): expected a list in brack"),
    ("[25, 35, 45.50, 75]", "[25]", "variables.age.edges (line 27): expected at least 2 entries"),
    ("[25, 35, 45.50, 75]", "[25, 75, 45.50]", "variables.age.edges[3] (line 27): expected strict"),
    ("[variables.sex]", '[variables."my sex"]', "expected a name of letters, digits, _ and ."),
    ("[variables.sex]", '[variables."my sex"]', "write 'my_sex'"),
    (
        "[graph]",
        '[graph]\ndagitty = "dag { }"',
        "graph (line 43): expected edges or dagitty, found",
    ),
    ('kind = "average"', 'kind = "median"', "questions[1].kind (line 54): expected 'average', fou"),
    ("treated = 1\n", "treated = 1979-05-27\n", "questions[1].treated (line 56): expected a numb"),
    ('outcome = "weight"', 'outcome = "weight"\nweight = 0', "(line 59): expected more than 0"),
    ("low = 2.5", "low = 5", "questions[1].published (line 60): expected low at most high, found"),
    ("[questions.published]", "[questions.publishd]", "found 'publishd'; write 'published'"),
]


@pytest.mark.parametrize(("old", "new", "message"), FIELD_PROBLEMS)
def test_a_field_that_is_wrong_is_named_with_its_line_and_what_to_write(
    old: str, new: str, message: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_study(edited(old, new))
    assert refusal.value.code == "study-invalid"
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("visits = 3", "visit = 3", "time.visit (line 9): expected a known field, found 'visit'"),
        ("visits = 3, ", "", "time.visits (line 9): expected this field, found nothing; write vis"),
        (', of = "cd4"', "", "variables.cd4_missing.of (line 14): expected this field, found noth"),
        ("detail = 2", "detail = 65", "variables.cd4.detail (line 13): expected at most 64, found"),
        ('kind = "missingness"', 'kind = "missing"', "found 'missing'; write 'missingness'"),
        ("detail = 2", 'spacing = "even"', "expected 'linear' or 'log', found 'even'"),
    ],
)
def test_a_field_of_visits_or_indicators_that_is_wrong_is_named(
    old: str, new: str, message: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_study(edited(old, new, VISITS_TEXT))
    assert message in str(refusal.value)


def test_an_example_is_one_of_the_field_and_not_of_a_variable_of_its_name() -> None:
    with pytest.raises(UsageError, match=r"mechanisms.weight .*found 5; write \[mechanisms\] with"):
        parse_study(edited("[graph]", "[mechanisms]\nweight = 5\n[graph]"))


def test_a_table_in_place_of_a_value_and_the_other_way_round_are_refused() -> None:
    with pytest.raises(UsageError, match="expected a table, found 5"):
        parse_study("unit = 5\n" + STUDY_TEXT)
    with pytest.raises(UsageError, match="expected a table, found 5"):
        parse_study("mechanisms = 5\n" + STUDY_TEXT)


def test_all_problems_are_listed_not_only_the_first() -> None:
    text = edited("epsilon = 3.0", "epsilon = -1", edited("n_min = 3", 'n_min = "three"'))
    with pytest.raises(UsageError) as refusal:
        parse_study(edited("edges = [25, 35, 45.50, 75]", "edges = 25", text))
    message = str(refusal.value)
    assert all(
        part in message for part in ("budget.epsilon", "cohort.n_min", "variables.age.edges")
    )


def test_too_many_variables_are_refused() -> None:
    extra = "".join(f'[variables.x{number}]\nkind = "boolean"\n' for number in range(1000))
    with pytest.raises(
        UsageError, match=r"variables \(line 20\): expected at most 1000 entries, found 1"
    ):
        parse_study(STUDY_TEXT + extra)


def test_too_many_arrows_are_refused() -> None:
    edges = edited('    "age -> exercise",\n', '"age -> exercise",\n' * 100_001)
    with pytest.raises(UsageError, match=r"graph.edges \(line 44\): expected at most 100000 en"):
        parse_study(edges)


def test_too_many_questions_are_refused() -> None:
    question = STUDY_TEXT[STUDY_TEXT.index("[[questions]]") : STUDY_TEXT.index("[questions.pub")]
    with pytest.raises(UsageError, match=r"questions \(line 52\): expected at most 1000 entries"):
        parse_study(STUDY_TEXT + question * 1000)


def test_of_very_many_problems_the_first_are_shown_and_the_others_counted() -> None:
    extra = "".join(f'[variables.x{number}]\nkind = "boole"\n' for number in range(60))
    with pytest.raises(UsageError, match=r"  and 10 more\. Mend") as refusal:
        parse_study(STUDY_TEXT + extra)
    assert refusal.value.cause.count("expected a known kind") == 50


def test_every_field_of_a_study_has_an_example_to_show() -> None:
    models: list[type[BaseModel]] = [Study, Mechanism, *_KINDS.values()]
    for model in models:
        assert set(_field_names(model)) <= set(EXAMPLES)


@pytest.mark.parametrize(
    ("sites", "code"), [(2, "roster-too-small"), (4, "threshold-too-low"), (9, "threshold-too-low")]
)
def test_a_roster_that_cannot_run_the_study_is_refused(sites: int, code: str) -> None:
    with pytest.raises(UsageError) as refusal:
        STUDY.cohort.check_roster_size(sites)
    assert refusal.value.code == code


def test_a_roster_of_n_min_sites_can_run_the_study() -> None:
    STUDY.cohort.check_roster_size(3)


LINES = """\
# comment
a = 1
[table] # b = 2
list = ['[', "]", "#"]
b = { c = 1 }
text = \'\'\'
[after]
after = 1\'\'\'
many = [
  "x.y = 1",
]
x.y = 1
[[list]]
k = 1
[[list]]
k = 2
[list.inner]
z = 1
[quoted]
"two words" = 1
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 2),
        (("table",), 3),
        (("table", "b"), 5),
        (("table", "b", "c"), 5),
        (("table", "x", "y"), 12),
        (("list",), 13),
        (("list", 0, "k"), 14),
        (("list", 1, "k"), 16),
        (("list", 1, "inner", "z"), 18),
        (("quoted", "two words"), 20),
        (("after",), None),
        ((), None),
    ],
)
def test_lines_of_fields_are_found_in_the_text(
    path: tuple[str | int, ...], line: int | None
) -> None:
    assert LineIndex(LINES).line_of(path) == line


def test_paths_are_shown_as_people_write_them() -> None:
    assert path_text(("variables", "age", "edges", 2)) == "variables.age.edges[3]"
    assert path_text(()) == "the study"


def _field_names(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _field_names(inner)
