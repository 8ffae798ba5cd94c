"""The hash of a study: of what it says, not of how it is written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.privacy.plan import compile_plan
from protocol.study.document import parse_study, study_from_canonical
from protocol.study.study import Study
from tests.support.studies import MIXED_TEXT, STUDY_TEXT, VISITS_TEXT, edited

STUDY = parse_study(STUDY_TEXT)
TABLES = STUDY_TEXT.split("\n\n")

CHANGES = [
    ('name = "quit-smoking"', 'name = "quit-smoking-2"'),
    ("Quitting smoking and weight", "Quitting smoking, and weight"),
    ('author = "A. Author"', 'author = "B. Author"'),
    ("expires = 2030-12-31", "expires = 2030-12-30"),
    ("expires = 2030-12-31", 'expires = 2030-12-31\ndescription = "more"'),
    ("expires = 2030-12-31", "expires = 2030-12-31\nunit = { max_rows_per_unit = 2 }"),
    ("expires = 2030-12-31", 'expires = 2030-12-31\nunit = { name = "household" }'),
    ("expires = 2030-12-31", "expires = 2030-12-31\nsynthetic = { rows = 10001 }"),
    ("expires = 2030-12-31", "expires = 2030-12-31\nsynthetic = { seed = 2 }"),
    ("epsilon = 3.0", "epsilon = 3.01"),
    ("epsilon = 3.0", "rho = 0.1"),
    ("delta = 1e-6", "delta = 1e-7"),
    ("n_min = 3", "n_min = 2"),
    ("tolerated_colluders = 0\nthreshold = 2", "tolerated_colluders = 1\nthreshold = 3"),
    ("threshold = 2", "threshold = 3"),
    ('"female", "male"', '"male", "female"'),
    ('"female", "male"', '"female", "male", "divers"'),
    ("other = true", "other = false"),
    ("edges = [25, 35,", "edges = [25, 36,"),
    ('unit = "years"', 'unit = "months"'),
    ('unit = "years"', 'unit = "years"\nlabel = "Age"'),
    ('levels = ["low", "medium", "high"]\nmissing = true', 'levels = ["low", "medium", "high"]'),
    ('kind = "ordinal"', 'kind = "categorical"'),
    ('    "age -> exercise",\n', ""),
    ('"age -> exercise"', '"age -> exercise", "sex -> exercise"'),
    ('"age -> exercise"', '"exercise -> age"'),
    ('name = "quit-on-weight"', 'name = "quit-weight"'),
    ("treated = 1\nreference = 0", "treated = 0\nreference = 1"),
    ('outcome = "weight"', 'outcome = "exercise"'),
    ('outcome = "weight"', 'outcome = "weight"\nweight = 2'),
    ('outcome = "weight"', 'outcome = "weight"\nlabel = "Effect"'),
    ("low = 2.5", "low = 2.4"),
    ("high = 4.5", "high = 4.6"),
    ("Somebody 2020", "Somebody 2021"),
    (STUDY_TEXT[STUDY_TEXT.index("[questions.published]") :], ""),
]


# Of every field that other kinds of variables and mechanisms bring.
MORE_CHANGES = [
    (MIXED_TEXT, 'spacing = "log"', 'spacing = "linear"'),
    (MIXED_TEXT, "detail = 3", "detail = 4"),
    (MIXED_TEXT, "edges = [0, 1, 3]", "edges = [0, 1, 4]"),
    (MIXED_TEXT, "edges = [0, 30, 90]", "edges = [0, 31, 90]"),
    (MIXED_TEXT, 'dose = { kind = "numeric"', 'dose = { kind = "count"'),
    (MIXED_TEXT, 'visits = "poisson"', 'visits = "negative-binomial"'),
    (MIXED_TEXT, 'visits = "poisson"', 'visits = { kind = "poisson", statistic = "moments" }'),
    (MIXED_TEXT, "0.05) * age", "0.06) * age"),
    (MIXED_TEXT, 'sex = "male", stage = "II"', 'sex = "male", stage = "I"'),
    (MIXED_TEXT, 'sex = "male", stage = "II"', 'stage = "II"'),
    (MIXED_TEXT, 'measure = "risk"', 'measure = "hazard-ratio"'),
    (MIXED_TEXT, "[graph]", "[synthetic]\ncopies = 2\n[graph]"),
    (MIXED_TEXT, "[graph]", f'[plan]\nfollows = "{"0" * 64}"\n[graph]'),
    (VISITS_TEXT, "visits = 3", "visits = 4"),
    (VISITS_TEXT, '"dead[t]" = 0', '"dead[t]" = 1'),
    (VISITS_TEXT, "load[t] < 2", "load[t] <= 2"),
    (VISITS_TEXT, '"drug[t-1] -> dead[t]"', '"drug[t] -> dead[t]"'),
    (VISITS_TEXT, 'treatment = "drug"', 'treatment = "drug[0]"'),
]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data(), text=st.sampled_from([MIXED_TEXT, VISITS_TEXT]))
def test_the_order_of_variables_mechanisms_and_arrows_does_not_matter(
    data: st.DataObject, text: str
) -> None:
    shuffled = text
    for table in ("[variables]", "[mechanisms]", "edges = ["):
        start = shuffled.index(table + "\n") + len(table) + 1
        end = min(
            shuffled.find(mark, start) for mark in ("\n\n", "\n]") if mark in shuffled[start:]
        )
        lines = data.draw(st.permutations(shuffled[start:end].split("\n")))
        shuffled = shuffled[:start] + "\n".join(lines) + shuffled[end:]
    study, other = parse_study(text), parse_study(shuffled)
    assert other.hash == study.hash
    assert compile_plan(other) == compile_plan(study)
    assert compile_plan(_read_back(other)).hash == compile_plan(study).hash


@pytest.mark.parametrize(("text", "old", "new"), MORE_CHANGES)
def test_any_one_change_of_a_mechanism_or_a_visit_changes_the_hash(
    text: str, old: str, new: str
) -> None:
    changed = parse_study(edited(old, new, text))
    assert changed.hash != parse_study(text).hash
    assert _read_back(changed).canonical == changed.canonical


@settings(max_examples=60, deadline=None, derandomize=True)
@given(order=st.permutations(TABLES[1:-2]), comments=st.lists(st.text("abc é[]=\"'", max_size=8)))
def test_comments_blank_lines_and_the_order_of_tables_do_not_matter(
    order: list[str], comments: list[str]
) -> None:
    tables = [TABLES[0], *order, *TABLES[-2:]]
    noise = ["\n".join(f"  # {comment}" for comment in comments)] if comments else []
    text = "\n\n\n".join(part for table in tables for part in (table, *noise))
    assert parse_study(text).hash == STUDY.hash


@settings(max_examples=80, deadline=None, derandomize=True)
@given(change=st.sampled_from(CHANGES))
def test_any_one_change_of_content_changes_the_hash(change: tuple[str, str]) -> None:
    changed = parse_study(edited(*change))
    assert changed.hash != STUDY.hash
    assert _read_back(changed).hash == changed.hash


def test_the_changes_cover_each_other_pairwise() -> None:
    hashes = {parse_study(edited(*change)).hash for change in CHANGES}
    assert len(hashes) == len(CHANGES)


def _read_back(study: Study) -> Study:
    return study_from_canonical(study.canonical)
