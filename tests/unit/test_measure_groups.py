"""The cover of families by supersets, on ALARM and at its edges."""

from math import prod

import numpy as np
import pytest

from bench.alarm import alarm_study
from client.measure.groups import MAX_CELLS, host_of, marginal, supersets
from client.measure.statistics import populations
from protocol.privacy.plan import compile_plan
from protocol.study.document import parse_study
from protocol.study.graph import Clique
from protocol.study.study import Study
from tests.support.tables_mixed import visits_study
from tests.support.tables_study import STUDY, ward_study


def star_study(sizes: dict[str, int], edges: list[str]) -> Study:
    head, _, _ = STUDY.format(rows=1).partition("[variables.smoker]")
    domains = "".join(
        f"[variables.{name}]\nkind = 'ordinal'\nlevels = {[str(code) for code in range(size)]}\n"
        for name, size in sizes.items()
    )
    return parse_study(f"{head}{domains}[graph]\nedges = {edges}\n".replace("'", '"'))


def cells(study: Study, clique: Clique) -> int:
    return prod(study.sizes(clique))


def test_seven_supersets_cover_the_families_of_alarm() -> None:
    study = alarm_study()
    families = study.causal_graph.families()
    groups = supersets(families, study)
    assert len(families) == 37
    assert len(groups) == 7
    assert all(cells(study, group) <= MAX_CELLS for group in groups)
    assert all(any(set(family) <= set(group) for group in groups) for family in families)


def test_variables_stand_in_the_order_of_the_graph() -> None:
    study = alarm_study()
    rank = {node: place for place, node in enumerate(study.causal_graph.nodes)}
    for group in supersets(study.causal_graph.families(), study):
        assert list(group) == sorted(group, key=rank.__getitem__)


def test_the_order_of_the_families_does_not_matter() -> None:
    study = alarm_study()
    families = study.causal_graph.families()
    assert supersets(families[::-1], study) == supersets(families, study)


def test_a_family_above_the_limit_is_alone_and_serves_its_own_subsets() -> None:
    study = star_study({"a": 70, "b": 70, "c": 2}, ["a -> b"])
    assert supersets([("a", "b"), ("b",), ("c",)], study) == (("a", "b"), ("c",))


def test_families_that_fit_together_exactly_share_a_superset() -> None:
    study = star_study({"a": 64, "b": 64}, [])
    assert supersets([("a",), ("b",)], study) == (("a", "b"),)
    study = star_study({"a": 64, "b": 65}, [])
    assert supersets([("a",), ("b",)], study) == (("b",), ("a",))


def test_the_smallest_host_is_chosen() -> None:
    study = ward_study()
    groups = (("age", "ward"), ("smoker", "ward", "grade"))
    assert host_of(("ward",), groups, study) == ("age", "ward")
    assert host_of(("ward", "grade"), groups, study) == ("smoker", "ward", "grade")
    assert host_of((), groups, study) == ("age", "ward")


@pytest.mark.parametrize(
    ("clique", "expected"),
    [
        ((), 15),
        (("b",), [3, 12]),
        (("c", "a"), [[1, 5, 9]]),
        (("a", "b", "c"), [[[0], [1]], [[2], [3]], [[1], [8]]]),
    ],
)
def test_a_marginal_sums_over_the_rest_and_keeps_the_order_of_the_clique(
    clique: Clique, expected: object
) -> None:
    table = np.array([[[0], [1]], [[2], [3]], [[1], [8]]], np.int64)
    assert marginal(table, ("a", "b", "c"), clique).tolist() == expected


def test_columns_of_visits_share_supersets_of_their_population() -> None:
    study = visits_study()
    plan = compile_plan(study)
    for population in populations(plan):
        families = plan.tables(population)
        groups = supersets(families, study)
        assert len(groups) == 1
        assert all(set(family) <= set(host_of(family, groups, study)) for family in families)
