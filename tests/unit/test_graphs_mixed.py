"""Graphs with unmeasured causes: relatives, districts, pillows, projections and paths."""

import pytest

from protocol.graphs.mixed import MixedGraph
from protocol.graphs.projection import latent_projection
from protocol.graphs.separation import connected, open_trail, separated
from protocol.graphs.trails import has_collider, joined, turned, written
from protocol.study.graph import Edge, build_graph
from tests.support.mixed_graphs import drawn, mixed

VERMA = drawn("ab, bc, cd, b-d", "abcd")
CHAIN = drawn("a-b, b-c, c-d, ae, de", "abcde")


def projected(arrows: list[Edge], latent: str, pairs: list[Edge] | None = None) -> MixedGraph:
    names = sorted({*latent, *"".join(map("".join, [*arrows, *(pairs or [])]))})
    return latent_projection(build_graph(names, arrows), latent, pairs or [])


def test_a_district_is_what_pairs_join() -> None:
    assert CHAIN.district("a") == {*"abcd"}
    assert CHAIN.districts() == (frozenset("abcd"), frozenset("e"))
    assert CHAIN.within("abd").districts() == (frozenset("ab"), frozenset("d"))


def test_an_early_district_joins_only_nodes_that_come_before() -> None:
    late = drawn("a-d, c-d, bc", "abcd")
    assert [late.early_districts[node] for node in "abcd"] == [
        {"a"},
        {"b"},
        {"c"},
        {"a", "c", "d"},
    ]


def test_a_pillow_is_the_early_district_and_its_parents() -> None:
    assert VERMA.markov_pillow("d") == {"a", "b", "c"}
    assert VERMA.markov_pillow("c") == {"b"}
    assert VERMA.markov.parents["d"] == ("a", "b", "c")
    assert drawn("a-d, c-d, bc", "abcd").markov.parents["d"] == ("a", "b", "c")


def test_without_pairs_the_pillows_are_the_parents() -> None:
    plain = drawn("ab, bc", "abc")
    assert plain.markov is plain.arrows


def test_parts_of_a_graph_keep_what_joins_their_nodes() -> None:
    part = VERMA.within({"b", "d"})
    assert part.nodes == ("b", "d")
    assert part.arrows.edges() == ()
    assert list(part.pairs) == [("b", "d")]
    assert VERMA.without_arrows({"b"}, {"c"}).arrows.edges() == (("a", "b"), ("c", "d"))


def test_relatives_hold_the_nodes_themselves() -> None:
    assert VERMA.causes_of(["c"]) == {*"abc"}
    assert VERMA.effects_of(["c"]) == {*"cd"}
    assert VERMA.children["b"] == {"c"}
    assert VERMA.spouses["d"] == {"b"}


def test_a_common_cause_that_is_not_measured_becomes_a_pair_with_its_name() -> None:
    graph = projected([("u", "a"), ("u", "y"), ("a", "y")], "u")
    assert graph.arrows.edges() == (("a", "y"),)
    assert written(graph.between("a", "y")) == "a <- u -> y"
    assert written(graph.between("y", "a")) == "y <- u -> a"


def test_an_unmeasured_mediator_becomes_an_arrow() -> None:
    graph = projected([("a", "u"), ("u", "b"), ("u", "c"), ("c", "b")], "u")
    assert graph.arrows.edges() == (("a", "b"), ("a", "c"), ("c", "b"))
    assert written(graph.between("b", "c")) == "b <- u -> c"


def test_paths_through_several_unmeasured_causes_are_followed() -> None:
    arrows = [("u", "w"), ("u", "a"), ("w", "b"), ("w", "c"), ("b", "c")]
    graph = projected(arrows, "uw")
    assert {pair: written(trail) for pair, trail in graph.pairs.items()} == {
        ("a", "b"): "a <- u -> w -> b",
        ("a", "c"): "a <- u -> w -> c",
        ("b", "c"): "b <- w -> c",
    }


def test_pairs_may_end_in_what_is_not_measured() -> None:
    graph = projected([("u", "a"), ("u", "b")], "u", [("c", "u"), ("a", "d")])
    assert {pair: written(trail) for pair, trail in graph.pairs.items()} == {
        ("a", "b"): "a <- u -> b",
        ("a", "c"): "a <- u <-> c",
        ("a", "d"): "a <-> d",
        ("b", "c"): "b <- u <-> c",
    }


def test_what_a_single_unmeasured_cause_does_twice_to_one_variable_joins_nothing() -> None:
    assert not projected([("u", "a"), ("u", "w"), ("w", "a"), ("b", "a")], "uw").pairs


def test_the_order_of_a_projection_may_be_asked_for() -> None:
    whole = build_graph("uabc", [("u", "a"), ("u", "b"), ("c", "b")])
    assert latent_projection(whole, "u", []).nodes == ("a", "c", "b")
    assert latent_projection(whole, "u", [], "cba").nodes == ("c", "b", "a")


@pytest.mark.parametrize(
    ("start", "end", "given", "path"),
    [
        ("a", "d", "", "a -> b -> c -> d"),
        ("a", "d", "b", "a -> b <-> d"),
        ("a", "d", "c", "a -> b <-> d"),  # the collider b causes c
        ("a", "d", "bc", "a -> b <-> d"),
        ("c", "b", "", "c <- b"),
        ("d", "a", "c", "d <-> b <- a"),
    ],
)
def test_an_open_path_is_shown(start: str, end: str, given: str, path: str) -> None:
    found = open_trail(VERMA, start, end, given)
    assert found is not None
    assert written(found) == path
    assert end in connected(VERMA, start, given)


@pytest.mark.parametrize(
    ("one", "other", "given"), [("a", "c", "b"), ("a", "c", "bd"), ("a", "b", "")]
)
def test_separation_is_told_from_connection(one: str, other: str, given: str) -> None:
    is_separated = (one, given) != ("a", "bd") and (one, other) != ("a", "b")
    assert separated(VERMA, one, other, given) == is_separated
    assert (open_trail(VERMA, one, other, given) is None) == is_separated


def test_the_pieces_of_a_path_read_from_both_ends() -> None:
    trail = joined(("a", "<-", "u", "->", "b"), ("b", "<->", "c"))
    assert written(trail) == "a <- u -> b <-> c"
    assert written(turned(trail)) == "c <-> b <- u -> a"
    assert has_collider(trail)
    assert not has_collider(trail[:5])


def test_graphs_are_the_same_where_arrows_and_pairs_are() -> None:
    assert mixed("ab", [("a", "b")]) == drawn("ab", "ab")
    assert mixed("ab", [("a", "b")], [("b", "a")]) == drawn("ab, a-b", "ab")
    assert drawn("ab, a-b", "ab") != drawn("ab", "ab")
