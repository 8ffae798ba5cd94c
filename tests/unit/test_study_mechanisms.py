"""Mechanisms as a study declares them: kinds, defaults, and fields that belong together."""

import pytest

from protocol.errors import UsageError
from protocol.study.document import parse_study, study_from_canonical
from protocol.study.mechanisms import FITTING, MECHANISM_KINDS, default_mechanism
from tests.support.studies import MIXED_TEXT, edited

STUDY = parse_study(MIXED_TEXT)


def test_every_kind_of_mechanism_fits_some_variable() -> None:
    assert {kind for kinds in FITTING.values() for kind in kinds} == set(MECHANISM_KINDS)


@pytest.mark.parametrize(
    ("variable", "kind", "uses"),
    [
        ("sex", "categorical", "table"),
        ("stage", "ordinal", "table"),
        ("crp", "binned", "table"),
        ("crp_missing", "missingness", "table"),
        ("stay", "survival", "table"),
        ("visits", "poisson", "table"),
        ("treated", "logistic", "moments"),
        ("pressure", "gaussian", "moments"),
        ("dose", "rule", "none"),
    ],
)
def test_a_mechanism_uses_the_statistic_of_its_kind(variable: str, kind: str, uses: str) -> None:
    assert (STUDY.mechanism_of(variable), STUDY.mechanism(variable).uses) == (kind, uses)


def test_the_short_form_is_the_kind_alone() -> None:
    long = edited('pressure = "gaussian"', 'pressure = { kind = "gaussian" }', MIXED_TEXT)
    assert parse_study(long).hash == STUDY.hash


def test_a_default_is_the_same_whether_it_is_written_or_not() -> None:
    assert default_mechanism("count").kind == "binned"
    written = edited("[mechanisms]\n", '[mechanisms]\nsex = "categorical"\n', MIXED_TEXT)
    assert parse_study(written).hash == STUDY.hash


def test_a_rule_is_kept_in_its_canonical_text() -> None:
    spaced = edited(
        "where(sex == 'male', 0.1, 0.05) * age",
        'where((sex==\\"male\\"), 0.10,.05)*age',
        MIXED_TEXT,
    )
    study = parse_study(spaced)
    assert study.hash == STUDY.hash
    assert study.mechanism("dose").value == 'where(sex == "male", 0.1, 0.05) * age'
    assert study_from_canonical(study.canonical).mechanism("dose") == study.mechanism("dose")


def test_a_study_of_all_kinds_reads_back_from_its_canonical_form() -> None:
    again = study_from_canonical(STUDY.canonical)
    assert (again.canonical, again.families) == (STUDY.canonical, STUDY.families)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('visits = "poisson"', 'visits = "gaussian"', "expected 'binned', 'poisson', 'negative-b"),
        ('pressure = "gaussian"', 'pressure = "poisson"', "'binned', 'gaussian' or 'rule' for a"),
        ('pressure = "gaussian"', 'stay = "categorical"', "expected 'survival' for a survival"),
        ('pressure = "gaussian"', 'crp_missing = "rule"', "mechanisms.crp_missing.value"),
        (
            'pressure = "gaussian"',
            'crp_missing = { kind = "rule", value = "1" }',
            "expected 'missingness' for a missingness variable, found 'rule'",
        ),
        ('pressure = "gaussian"', 'pressure = { kind = "gausian" }', "mechanisms.pressure.kind"),
        ('pressure = "gaussian"', 'pressure = { kinds = "rule" }', "found 'kinds'; write 'kind'"),
        ('pressure = "gaussian"', "pressure = { }", 'found nothing; write kind = "categorical"'),
        ('pressure = "gaussian"', "pressure = 5", "expected a table, found 5"),
        (
            'pressure = "gaussian"',
            'pressure = { kind = "gaussian", statistic = "table" }',
            "expected a statistic for logistic, poisson or negative-binomial only",
        ),
        (
            'pressure = "gaussian"',
            'pressure = { kind = "gaussian", value = "dose" }',
            "expected a value for a rule, and only there, found one for 'gaussian'",
        ),
        ('pressure = "gaussian"', 'pressure = "rule"', "and only there, found none"),
        (
            'pressure = "gaussian"',
            'pressure = { kind = "gaussian", impossible = [{ pressure = 100 }] }',
            "expected impossible cells of a categorical, ordinal, binned or missingness",
        ),
        (
            'pressure = "gaussian"',
            'stay = { kind = "survival", impossible = [{ stay = "none" }] }',
            "found some of 'survival'",
        ),
        ('statistic = "moments"', 'statistic = "sums"', "expected 'table' or 'moments', found 's"),
        ("where(sex == 'male'", "open(sex == 'male'", "expected a call of a known function"),
    ],
)
def test_fields_that_do_not_belong_together_are_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_study(edited(old, new, MIXED_TEXT))
    assert refusal.value.code == "study-invalid"
    assert message in str(refusal.value)
