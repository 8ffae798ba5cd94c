"""Any families are covered; any marginal of a superset is the table itself."""

from itertools import combinations
from math import prod

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from client.measure.groups import MAX_CELLS, host_of, marginal, supersets
from protocol.study.document import parse_study
from protocol.study.study import Study
from tests.support.tables_study import STUDY


@st.composite
def studies(draw: st.DrawFn) -> Study:
    names = [f"n{place}" for place in range(draw(st.integers(1, 9)))]
    pairs = list(combinations(names, 2))
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=12)) if pairs else []
    domains = "".join(
        f"[variables.{name}]\nkind = 'numeric'\nedges = {list(range(draw(st.integers(3, 20))))}\n"
        for name in names
    )
    arrows = [f"{cause} -> {effect}" for cause, effect in edges]
    head, _, _ = STUDY.format(rows=1).partition("[variables.smoker]")
    return parse_study(f"{head}{domains}[graph]\nedges = {arrows}\n")


@settings(derandomize=True, deadline=None, max_examples=60)
@given(study=studies())
def test_every_family_has_a_host_within_the_limit_or_of_its_own(study: Study) -> None:
    families = study.causal_graph.families()
    groups = supersets(families, study)
    for family in families:
        assert set(family) <= set(host_of(family, groups, study))
    for group in groups:
        assert prod(study.sizes(group)) <= MAX_CELLS or group in families
    assert len(groups) <= len(families)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    rows=st.integers(0, 30),
    data=st.data(),
)
def test_a_marginal_is_the_table_of_the_records_themselves(
    shape: list[int], rows: int, data: st.DataObject
) -> None:
    names = tuple("abcd"[: len(shape)])
    records = [tuple(data.draw(st.integers(0, size - 1)) for size in shape) for _ in range(rows)]
    clique = tuple(data.draw(st.permutations(names)))[: data.draw(st.integers(0, len(names)))]
    table, expected = (
        np.zeros(shape, np.int64),
        np.zeros([shape[names.index(name)] for name in clique], np.int64),
    )
    for record in records:
        table[record] += 1
        expected[tuple(record[names.index(name)] for name in clique)] += 1
    assert np.array_equal(marginal(table, names, clique), expected)
