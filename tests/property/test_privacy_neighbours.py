"""L2 sensitivity of every kind of block, by brute force over the units that could be added.

The statistics are those of the reference (SPEC 9); every unit that small domains allow is added
to a data set: none moves a block by more than the plan says, and one moves it by exactly that.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, combinations_with_replacement, product

import numpy as np
import pytest

from protocol.privacy.plan import compile_plan
from protocol.study.document import parse_study
from protocol.study.study import Study
from tests.support.reference_statistics import Record, Recorded, reference_statistics

HEAD = """
format = "concause-study/1"
name = "made"
title = "Made"
author = "A"
expires = 2030-12-31
trust = { aggregation = "masking" }
budget = { rho = 0.001 }
cohort = { n_min = 3, tolerated_colluders = 0, threshold = 3 }
"""

# Tables with MISSING, OTHER, an indicator and a rule; moments split by a level; exits.
TABLES = """
[variables]
ward = { kind = "categorical", levels = ["a"], other = true }
crp = { kind = "numeric", edges = [0.1, 1, 10], detail = 2, spacing = "log", missing = true }
crp_missing = { kind = "missingness", of = "crp" }
high = { kind = "boolean", missing = true }
stay = { kind = "survival", edges = [0, 5, 10] }

[mechanisms]
high = { kind = "rule", value = "crp >= 1" }

[graph]
edges = ["ward -> crp", "ward -> crp_missing", "crp -> high", "high -> stay"]
"""
TABLE_VALUES: Mapping[str, Sequence[Recorded]] = {
    "ward": ("a", "unknown"),
    "crp": (None, 0, 0.5, 1, 99),
    "stay": ((4, True), (5, True), (7, False), (11, True), (None, None)),
}

MOMENTS = """
[variables]
ward = { kind = "categorical", levels = ["a", "b"] }
old = { kind = "boolean" }
falls = { kind = "count", edges = [0, 1, 4] }
dose = { kind = "numeric", edges = [-3, 0, 5] }
ill = { kind = "boolean" }

[mechanisms]
dose = "gaussian"
falls = { kind = "negative-binomial", statistic = "moments" }
ill = { kind = "logistic", statistic = "moments" }

[graph]
edges = [
    "old -> falls", "ward -> dose", "old -> dose", "falls -> dose",
    "dose -> ill", "falls -> ill", "ward -> ill",
]
"""
MOMENT_VALUES: Mapping[str, Sequence[Recorded]] = {
    "ward": ("a", "b"),
    "old": (0, 1),
    "falls": (0, 9),
    "dose": (-4, 1.25, 5.5),
    "ill": (0, 1),
}

VISITS = """
[time]
visits = 4
static = ["sex"]

[variables]
sex = { kind = "boolean" }
drug = { kind = "boolean" }
load = { kind = "numeric", edges = [0, 1, 2], detail = 2 }

[mechanisms]
load = "gaussian"

[graph]
edges = [
    "sex -> drug[0]", "drug[0] -> load[0]",
    "sex -> drug[t]", "load[t-1] -> drug[t]", "drug[t-1] -> load[t]", "load[t-1] -> load[t]",
]
"""


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize(
    ("text", "values"),
    [(TABLES, TABLE_VALUES), (MOMENTS, MOMENT_VALUES)],
    ids=["tables", "moments"],
)
def test_no_unit_of_rows_moves_a_block_by_more_than_its_sensitivity_and_one_does(
    text: str, values: Mapping[str, Sequence[Recorded]], rows: int
) -> None:
    study = parse_study(f"{HEAD}unit = {{ max_rows_per_unit = {rows} }}\n{text}")
    possible = [dict(zip(values, row, strict=True)) for row in product(*values.values())]
    units = [
        [Record(unit="new", values=row) for row in chosen]
        for count in range(rows + 1)
        for chosen in combinations_with_replacement(possible, count)
    ]
    _check(study, units)


def test_no_unit_of_visits_moves_a_block_by_more_than_its_sensitivity_and_one_does() -> None:
    """With 0, 1, 2 and 3 transitions, of weight 6, 3 and 2, and with gaps."""
    study = parse_study(HEAD + VISITS)
    _check(study, list(_histories()))


def test_a_unit_of_one_transition_weighs_as_much_as_one_of_three() -> None:
    study = parse_study(HEAD + VISITS)
    plan = compile_plan(study)
    row: Mapping[str, Recorded] = {"sex": 1, "drug": 1, "load": 2}
    records = [Record(unit=1, visit=visit, values=row) for visit in range(4)]
    whole, part = (reference_statistics(plan, study, records[:count]) for count in (4, 2))
    np.testing.assert_array_equal(whole, part)


def _histories() -> Iterator[list[Record]]:
    rows: list[dict[str, Recorded]] = [{"drug": d, "load": x} for d in (0, 1) for x in (-1, 2)]
    for count in range(5):
        for visits in combinations(range(4), count):
            for sex, chosen in product((0, 1), product(rows, repeat=count)):
                yield [
                    Record(unit="new", visit=visit, values={"sex": sex, **row})
                    for visit, row in zip(visits, chosen, strict=True)
                ]


def _check(study: Study, units: Sequence[Sequence[Record]]) -> None:
    """Add each unit to the data of another one, and compare the largest moves with the plan."""
    plan = compile_plan(study)
    other = [Record(unit="old", visit=r.get("visit", 0), values=r["values"]) for r in units[-1]]
    before = reference_statistics(plan, study, other)
    largest = dict.fromkeys(plan.blocks, 0)
    for unit in units:
        move = reference_statistics(plan, study, [*other, *unit]) - before
        for block in plan.blocks:
            largest[block] = max(largest[block], sum(int(v) ** 2 for v in move[block.span]))
    for block in plan.blocks:
        assert largest[block] == block.squared_sensitivity, (block.kind, block.clique)
