"""The reference statistics against numbers worked out by hand, and against the fast kernel."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.privacy.residuals import residual_table
from protocol.privacy.statistics import BlockKind
from protocol.study.document import parse_study
from protocol.study.families import Population
from protocol.study.graph import Clique
from protocol.study.study import Study
from tests.support.reference_statistics import Record, Recorded, reference_statistics
from tests.support.studies import MIXED_TEXT, VISITS_TEXT

MIXED, VISITS = parse_study(MIXED_TEXT), parse_study(VISITS_TEXT)
PLANS = {study.name: compile_plan(study) for study in (MIXED, VISITS)}
ROW: Mapping[str, Recorded] = {
    "sex": "male",
    "smoker": 1,
    "stage": "I",
    "age": 50,
    "crp": 10,
    "visits": 2,
    "treated": 1,
    "pressure": 100,
    "stay": (31.5, True),
}
VISIT: Mapping[str, Recorded] = {"sex": 0, "cd4": 400, "load": 1, "drug": 1, "dead": 0}


def test_without_records_everything_is_zero() -> None:
    for study in (MIXED, VISITS):
        assert not reference_statistics(PLANS[study.name], study, []).any()


@pytest.mark.parametrize(
    ("name", "value", "level"),
    [
        ("sex", "male", "male"),
        ("sex", "unheard of", "OTHER"),
        ("smoker", None, "MISSING"),
        ("stage", "II", "II"),
        ("age", 49.999, "[25, 50)"),
        ("age", 50, "[50, 75]"),
        ("age", -1, "[25, 50)"),
        ("age", 75, "[50, 75]"),
        ("age", 200, "[50, 75]"),
        ("crp", None, "MISSING"),
        ("visits", 0, "0"),
        ("visits", 99, "1-3"),
        ("stay", (0, True), "event [0, 30)"),
        ("stay", (30, True), "event [30, 90]"),
        ("stay", (90, True), "event [30, 90]"),
        ("stay", (91, True), "censored [30, 90]"),
        ("stay", (29, False), "censored [0, 30)"),
    ],
)
def test_a_value_counts_at_its_level(name: str, value: Recorded, level: str) -> None:
    variable = MIXED.variables[name]
    expected = [variable.size * (label == level) - 1 for label in variable.labels]
    assert _block(MIXED, [{**ROW, name: value}], (name,)).tolist() == expected


@pytest.mark.parametrize(("name", "value"), [("age", None), ("stage", "III")])
def test_a_row_without_a_code_counts_nowhere(name: str, value: Recorded) -> None:
    records = [Record(unit=1, values={**ROW, name: value})]
    assert not reference_statistics(PLANS["mixed"], MIXED, records).any()


@pytest.mark.parametrize(("crp", "indicator"), [(10, [1, -1]), (None, [-1, 1])])
def test_an_indicator_is_one_where_its_variable_is_missing(
    crp: Recorded, indicator: list[int]
) -> None:
    assert _block(MIXED, [{**ROW, "crp": crp}], ("crp_missing",)).tolist() == indicator


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("age", 25, 0),
        ("age", 33.33, 0),
        ("age", 33.34, 1),
        ("age", 50, 3),
        ("age", 75, 5),
        ("crp", 0.31, 0),
        ("crp", 0.32, 1),
        ("crp", 1, 2),
        ("crp", 10, 3),
    ],
)
def test_a_histogram_counts_parts_of_bins(name: str, value: Recorded, part: int) -> None:
    found = _block(MIXED, [{**ROW, name: value}], (name,), kind="histogram")
    assert np.flatnonzero(found).tolist() == [part]


def test_a_histogram_leaves_out_what_is_missing() -> None:
    assert not _block(MIXED, [{**ROW, "crp": None}], ("crp",), kind="histogram").any()


def test_moments_hold_products_of_numbers_in_the_row_of_their_levels() -> None:
    """A dose of 0.1 * 50 on [0, 10] is 0, treated is 1, a pressure of 110 on [80, 160] -0.25."""
    clique = ("stage", "dose", "treated", "pressure")
    found = _block(MIXED, [{**ROW, "pressure": 110}], clique, kind="moments")
    q = 1024
    assert found[0].tolist() == [
        *(q * q, 0, q * q, -q * q // 4),
        *(0, 0, 0),
        *(q * q, -q * q // 4),
        q * q // 16,
    ]
    assert not found[1:].any()


def test_a_missing_level_has_moments_of_its_own_and_a_missing_number_has_none() -> None:
    clique = ("stage", "dose", "treated", "pressure")
    assert _block(MIXED, [{**ROW, "stage": None}], clique, kind="moments")[2].any()
    hidden = MIXED_TEXT.replace(
        "edges = [80, 120, 160] }",
        'edges = [80, 120, 160], missing = true }\np_missing = { kind = "missingness", of = '
        '"pressure" }',
    )
    study = parse_study(hidden)
    assert not _block(study, [{**ROW, "pressure": None}], clique, kind="moments").any()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("steps", "rounded"), [(0.499, 0), (0.5, 1), (1.5, 2), (2.499, 2)])
def test_numbers_are_rounded_half_away_from_zero(sign: int, steps: float, rounded: int) -> None:
    """On [80, 160] a step of 1 / 1024 is 40 / 1024 from the middle, 120; exact in binary."""
    clique = ("stage", "dose", "treated", "pressure")
    value = 120 + sign * steps * 40 / 1024
    found = _block(MIXED, [{**ROW, "pressure": value}], clique, kind="moments")
    assert found[0, 3] == sign * rounded * 1024


def test_later_visits_count_as_transitions_that_share_the_weight_of_a_unit() -> None:
    records = [Record(unit=1, visit=visit, values={**VISIT, "load": visit}) for visit in range(3)]
    plan = PLANS["visits"]
    vector = reference_statistics(plan, VISITS, records)
    assert vector[plan.block(()).span].tolist() == [1]
    assert vector[plan.block((), "transitions").span].tolist() == [2]
    low = vector[plan.block(("low[t]",), "transitions").span]
    assert low.tolist() == [0, 0]  # load is 1 and then 2: low once, and once not


def test_visits_that_do_not_follow_each_other_make_no_transition() -> None:
    plan = PLANS["visits"]
    records = [Record(unit=1, visit=visit, values=VISIT) for visit in (0, 2)]
    records += [Record(unit=2, visit=visit, values=VISIT) for visit in (2, 1)]
    vector = reference_statistics(plan, VISITS, records)
    assert vector[plan.block(()).span].tolist() == [1]
    assert vector[plan.block((), "transitions").span].tolist() == [2]


def test_residuals_are_those_of_the_kernel() -> None:
    generator = np.random.default_rng(5)
    rows = [
        {
            **ROW,
            "sex": str(generator.choice(["female", "male"])),
            "smoker": int(generator.integers(2)),
        }
        for _ in range(40)
    ]
    counts = np.zeros((3, 3), np.int64)
    for row in rows:
        counts[["female", "male"].index(str(row["sex"])), int(str(row["smoker"]))] += 1
    found = _block(MIXED, rows, ("sex", "smoker"))
    np.testing.assert_array_equal(found, residual_table(counts))


def _block(
    study: Study,
    rows: list[Mapping[str, Recorded]] | list[dict[str, Recorded]],
    clique: Clique,
    population: Population = "units",
    kind: BlockKind = "residual",
) -> NDArray[np.int64]:
    plan: StatisticsPlan = compile_plan(study)
    records = [Record(unit=number, values=row) for number, row in enumerate(rows)]
    block = plan.block(clique, population, kind)
    return reference_statistics(plan, study, records)[block.span].reshape(block.shape)


@pytest.mark.parametrize("value", [(29, None), (None, None), (-1, True)])
def test_an_exit_that_cannot_be_read_leaves_the_row_out(value: Recorded) -> None:
    assert not any(_block(MIXED, [{**ROW, "stay": value}], ("stay",)))
