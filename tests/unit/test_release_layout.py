"""The layered drawing of the causal graph."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from protocol.study.graph import CausalGraph, build_graph
from server.release.layout import Bend, Layout, crossings, isotonic, lay_out

MIN_GAP = 0.3 - 1e-9


@st.composite
def graphs(draw: st.DrawFn) -> CausalGraph:
    size = draw(st.integers(1, 9))
    names = [f"v{index}" for index in range(size)]
    pairs = [(a, b) for index, b in enumerate(names) for a in names[:index]]
    return build_graph(names, draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else [])


def test_causes_stand_to_the_left_of_their_effects() -> None:
    layout = lay_out(build_graph("abcd", [("a", "b"), ("b", "c"), ("a", "c"), ("d", "c")]))
    assert layout.layer_of == {"a": 0, "b": 1, "c": 2, "d": 1}


def test_an_edge_over_two_layers_bends_in_the_layer_between() -> None:
    layout = lay_out(build_graph("abc", [("a", "b"), ("b", "c"), ("a", "c")]))
    assert layout.routes["a", "c"] == ("a", Bend(("a", "c"), 1), "c")


def test_edges_that_need_not_cross_do_not() -> None:
    edges = [("a", "z"), ("b", "y"), ("c", "x")]
    layout = lay_out(build_graph("abcxyz", edges))
    assert crossings(layout.layers, layout.routes) == 0


def test_two_edges_that_exchange_places_cross_once() -> None:
    routes = {("a", "d"): ("a", "d"), ("b", "c"): ("b", "c")}
    assert crossings([["a", "b"], ["c", "d"]], routes) == 1
    assert crossings([["a", "b"], ["d", "c"]], routes) == 0


def test_a_chain_is_drawn_straight() -> None:
    layout = lay_out(build_graph("abc", [("a", "b"), ("b", "c")]))
    assert set(layout.height_of.values()) == {0.0}


def test_a_graph_without_edges_is_one_layer() -> None:
    layout = lay_out(build_graph("abc", []))
    assert layout.layers == (("a", "b", "c"),)
    assert layout.extent == 2.0


@given(graphs())
def test_every_edge_runs_left_to_right_through_one_place_per_layer(graph: CausalGraph) -> None:
    layout = lay_out(graph)
    for route in layout.routes.values():
        depths = [_layer(layout, place) for place in route]
        assert depths == list(range(depths[0], depths[0] + len(route)))


@given(graphs())
def test_places_of_one_layer_keep_their_order_and_their_distance(graph: CausalGraph) -> None:
    layout = lay_out(graph)
    for layer in layout.layers:
        heights = [layout.height_of[place] for place in layer]
        assert all(below - above >= MIN_GAP for above, below in pairwise(heights))
    assert min(layout.height_of.values()) == 0.0


@given(graphs())
def test_the_same_graph_is_always_drawn_the_same_way(graph: CausalGraph) -> None:
    assert lay_out(graph) == lay_out(build_graph(reversed(graph.nodes), graph.edges()))


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(0.1, 4)), max_size=12))
def test_isotonic_regression_rises_and_keeps_the_weighted_sum(
    pairs: list[tuple[float, float]],
) -> None:
    values, weights = [value for value, _ in pairs], [weight for _, weight in pairs]
    fitted = isotonic(values, weights)
    assert all(left <= right for left, right in pairwise(fitted))
    moved = sum(
        (new - old) * weight for new, old, weight in zip(fitted, values, weights, strict=True)
    )
    assert abs(moved) < 1e-9


def test_isotonic_regression_leaves_a_rising_sequence_alone() -> None:
    assert isotonic([1.0, 2.0, 5.0], [1.0, 1.0, 1.0]) == [1.0, 2.0, 5.0]


def _layer(layout: Layout, place: str | Bend) -> int:
    return place.layer if isinstance(place, Bend) else layout.layer_of[place]
