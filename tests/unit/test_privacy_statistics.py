"""Which statistics a study needs, beside the residual tables of its families."""

import pytest

from protocol.errors import UsageError
from protocol.privacy.moments import STEPS, TRANSITION_STEPS, elements, pairs, scaled
from protocol.privacy.plan import compile_plan
from protocol.privacy.statistics import statistics_of
from protocol.study.document import parse_study
from tests.support.studies import MIXED_TEXT, VISITS_TEXT, edited

MIXED, VISITS = parse_study(MIXED_TEXT), parse_study(VISITS_TEXT)


def test_blocks_stand_by_population_and_kind_then_size_then_the_order_of_the_graph() -> None:
    keys = [(one.kind, one.population, one.clique) for one in statistics_of(VISITS)]
    kinds = list(dict.fromkeys((kind, population) for kind, population, _ in keys))
    assert kinds == [
        ("residual", "units"),
        ("residual", "transitions"),
        ("histogram", "units"),
        ("moments", "units"),
        ("moments", "transitions"),
    ]
    place = {node: at for at, node in enumerate(VISITS.causal_graph.nodes)}
    tables = [
        [place[name.replace("[t]", "[1]").replace("[t-1]", "[0]")] for name in clique]
        for kind, population, clique in keys
        if (kind, population) == ("residual", "transitions")
    ]
    assert tables == sorted(tables, key=lambda places: (len(places), places))
    assert all(places == sorted(places) for places in tables)


def test_both_populations_count_their_rows() -> None:
    plan = compile_plan(VISITS)
    assert plan.block(()).unit == 1
    assert plan.block((), "transitions").unit == 2


def test_a_recorded_number_with_detail_has_a_histogram_and_a_computed_one_has_none() -> None:
    text = edited("edges = [0, 5, 10] }", "edges = [0, 5, 10], detail = 4 }", MIXED_TEXT)
    wanted = [one for one in statistics_of(parse_study(text)) if one.kind == "histogram"]
    assert [(one.clique, one.shape) for one in wanted] == [(("age",), (6,)), (("crp",), (4,))]
    [visits] = [one for one in statistics_of(VISITS) if one.kind == "histogram"]
    assert (visits.clique, visits.population) == (("cd4[0]",), "units")


def test_moments_have_a_row_per_combination_of_levels_and_an_element_per_pair() -> None:
    block = compile_plan(MIXED).block(
        ("stage", "dose", "treated", "pressure"), "units", kind="moments"
    )
    assert block.shape == (3, 10)
    assert block.unit == STEPS**2
    later = compile_plan(VISITS).block(
        ("load[t-1]", "drug[t-1]", "load[t]"), "transitions", "moments"
    )
    assert later.unit == 2 * TRANSITION_STEPS**2


def test_elements_are_the_upper_triangle_row_by_row() -> None:
    assert pairs(1) == ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    assert all(len(pairs(count)) == elements(count) for count in range(5))


def test_numbers_are_mapped_to_the_unit_interval_and_clamped() -> None:
    low, high = MIXED.variables["pressure"].bounds  # type: ignore[union-attr]
    assert [scaled(low + shift, low, high) for shift in (-5, 0, 20, 80, 85)] == [-1, -1, -0.5, 1, 1]


@pytest.mark.parametrize(
    ("levels", "numbers", "code"),
    [(256, 1, None), (257, 1, "family-too-large"), (2, 64, None), (2, 65, "family-too-large")],
)
def test_moments_of_too_many_rows_or_numbers_are_refused(
    levels: int, numbers: int, code: str | None
) -> None:
    names = [f"n{number}" for number in range(numbers)]
    text = MIXED_TEXT[: MIXED_TEXT.index("[variables]")] + "\n".join(
        [
            "[variables]",
            f'group = {{ kind = "ordinal", levels = {[f"v{level}" for level in range(levels)]} }}',
            'y = { kind = "numeric", edges = [0, 1, 2] }',
            *(f'{name} = {{ kind = "boolean" }}' for name in names),
            '[mechanisms]\ny = "gaussian"',
            f"[graph]\nedges = {[f'{name} -> y' for name in ('group', *names)]}",
        ]
    )
    study = parse_study(text)
    if code is None:
        assert compile_plan(study).block(("group", *sorted(names), "y"), kind="moments")
        return
    with pytest.raises(UsageError, match="among the parents of 'y'") as refusal:
        compile_plan(study)
    assert refusal.value.code == code


def test_a_rule_costs_nothing() -> None:
    assert not any(one.clique[-1:] == ("dose",) for one in statistics_of(MIXED))
