"""The causal graph and the notations that it is read from."""

import networkx as nx
import pytest

from protocol.study.dagitty import parse_dagitty, parse_link
from protocol.study.graph import Edge, build_graph
from protocol.study.problems import Problem, StudyProblems

DIAMOND = build_graph(["d", "c", "b", "a", "z"], [("a", "b"), ("a", "c"), ("c", "d"), ("b", "d")])


def test_nodes_are_in_topological_order_and_ties_in_the_order_of_names() -> None:
    assert DIAMOND.nodes == ("a", "b", "c", "d", "z")
    late = build_graph(["a", "b", "c"], [("c", "a")])
    assert late.nodes == ("b", "c", "a")


def test_order_does_not_depend_on_how_variables_and_edges_are_listed() -> None:
    other = build_graph(["z", "a", "b", "c", "d"], [("b", "d"), ("c", "d"), ("a", "c"), ("a", "b")])
    assert other == DIAMOND


def test_a_family_is_the_parents_in_order_then_the_node() -> None:
    assert DIAMOND.family("d") == ("b", "c", "d")
    assert DIAMOND.families() == (("a",), ("a", "b"), ("a", "c"), ("b", "c", "d"), ("z",))


def test_relatives_are_found_along_the_arrows() -> None:
    assert DIAMOND.children("a") == {"b", "c"}
    assert DIAMOND.ancestors("d") == {"a", "b", "c"}
    assert DIAMOND.descendants("a") == {"b", "c", "d"}
    assert DIAMOND.ancestors("z") == DIAMOND.descendants("z") == frozenset()


def test_networkx_sees_the_same_graph() -> None:
    graph = DIAMOND.to_networkx()
    assert list(graph.nodes) == list(DIAMOND.nodes)
    assert set(graph.edges) == set(DIAMOND.edges())
    assert nx.ancestors(graph, "d") == DIAMOND.ancestors("d")


@pytest.mark.parametrize(
    ("edges", "cycle"),
    [
        ([("a", "b"), ("b", "a")], "a -> b -> a"),
        ([("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")], "b -> c -> d -> b"),
        ([("c", "b"), ("b", "a"), ("a", "c")], "a -> c -> b -> a"),
    ],
)
def test_a_cycle_is_refused_and_named(edges: list[Edge], cycle: str) -> None:
    problem = _problem_of(edges)
    assert problem.expected == "a graph without cycles"
    assert problem.found == cycle


def test_an_unknown_node_is_refused_with_the_nearest_variable() -> None:
    with pytest.raises(StudyProblems) as refusal:
        build_graph(["weight", "height"], [("heigth", "weight")])
    [problem] = refusal.value.problems
    assert problem.found == "'heigth'"
    assert problem.remedy == "'height'"


def test_a_self_loop_is_refused() -> None:
    assert _problem_of([("a", "a")]).found == "'a -> a'"


def test_an_edge_given_twice_is_refused() -> None:
    assert _problem_of([("a", "b"), ("a", "b")]).found == "'a -> b' twice"


def test_all_problems_of_the_edges_are_reported_at_once() -> None:
    with pytest.raises(StudyProblems) as refusal:
        build_graph(["a", "b"], [("a", "a"), ("x", "b"), ("a", "y")])
    assert len(refusal.value.problems) == 3


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("dag { a -> b }", [("a", "b")]),
        ("dag{a->b b->c}", [("a", "b"), ("b", "c")]),
        ("dag { a -> b -> c <- d }", [("a", "b"), ("b", "c"), ("d", "c")]),
        ("dag { a -> {b c} ; a <- d }", [("a", "b"), ("a", "c"), ("d", "a")]),
        ("dag { {a, b} -> c }", [("a", "c"), ("b", "c")]),
        ('dag G { x [exposure,pos="0,1"] "two words" -> x }', [("two words", "x")]),
        ('dag "my graph" {\nbb="0,0,1,1"\na -> b // why\n}\n', [("a", "b")]),
    ],
)
def test_dagitty_text_is_read(text: str, edges: list[Edge]) -> None:
    assert list(parse_dagitty(text).edges) == edges


def test_dagitty_nodes_without_arrows_are_seen() -> None:
    assert parse_dagitty("dag { a ; b [outcome] ; c -> {d} }").nodes == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a -> b", "dagitty's notation"),
        ("dag { a -> b", "closing brace"),
        ("dag { a -- b }", "arrows ->, <- and <->"),
        ("dag { a @-> b }", "arrows ->, <- and <->"),
        ("dag { a -> }", "name of a variable"),
        ("dag { -> b }", "name of a variable"),
        ("dag { a -> {b {c}} }", "names inside braces"),
        ("dag { a -> {b c }", "name of a variable"),
        ("dag { a -> b ! }", "names, arrows and braces"),
    ],
)
def test_other_text_than_a_directed_graph_is_refused(text: str, expected: str) -> None:
    with pytest.raises(StudyProblems) as refusal:
        parse_dagitty(text)
    assert expected in refusal.value.problems[0].expected


def test_a_text_that_draws_too_many_arrows_is_refused_before_they_are_listed() -> None:
    group = "{" + " ".join(f"x{number}" for number in range(1000)) + "}"
    with pytest.raises(StudyProblems) as refusal:
        parse_dagitty(f"dag {{ {group} -> {group} }}")
    assert refusal.value.problems[0].expected == "at most 100000 arrows"


def test_an_unknown_direction_is_answered_with_what_to_write_instead() -> None:
    with pytest.raises(StudyProblems) as refusal:
        parse_dagitty("dag { a -- b }")
    assert "'a <-> b'" in refusal.value.problems[0].remedy


def test_unmeasured_causes_are_read_as_pairs_or_by_name() -> None:
    drawn = parse_dagitty('dag { a <-> {b c} ; u [latent,pos="0,1"] u -> {a v [pos="1", latent]} }')
    assert drawn.pairs == (("a", "b"), ("a", "c"))
    assert drawn.latent == ("u", "v")
    assert drawn.edges == (("u", "a"), ("u", "v"))
    assert parse_dagitty("dag { a [latentish] -> b }").latent == ()


@pytest.mark.parametrize("text", ["a -> b", "b <- a", ' "a"->b '])
def test_an_edge_is_one_arrow_in_either_direction(text: str) -> None:
    assert parse_link(text).edges == (("a", "b"),)


@pytest.mark.parametrize(
    "text", ["a", "a -> b -> c", "a -> {b c}", "", "a => b", "a <-> {b c}", "u [latent] -> b"]
)
def test_an_entry_that_is_not_one_arrow_is_refused(text: str) -> None:
    with pytest.raises(StudyProblems):
        parse_link(text)


def _problem_of(edges: list[Edge]) -> Problem:
    with pytest.raises(StudyProblems) as refusal:
        build_graph(["a", "b", "c", "d"], edges)
    [problem] = refusal.value.problems
    return problem
