"""Known graphs: which effects are identified, how, and what prevents the others."""

import pytest

from protocol.graphs.adjustment import (
    canonical_adjustment_set,
    is_adjustment_set,
    minimal_adjustment_sets,
)
from protocol.graphs.complete import is_identified
from protocol.graphs.fixing import natural_readers, obstacle
from protocol.graphs.front_door import is_front_door_set, minimal_front_door_sets
from protocol.graphs.identification import identify
from protocol.graphs.minimal import NodeSet, minimal_sets
from tests.support.mixed_graphs import drawn

BOW = drawn("ay, a-y", "ay")
FRONT_DOOR = drawn("am, my, a-y", "amy")
INSTRUMENT = drawn("za, ay, a-y", "zay")
NAPKIN = drawn("vw, wa, ay, v-a, v-y", "vway")
M_BIAS = drawn("ay, z-a, z-y", "ayz")
M_BIAS_COLLIDER_FIRST = drawn("ay, z-a, z-y", "zay")
BACK_DOOR = drawn("za, zy, ay, w-a, w-z", "wzay")
VERMA = drawn("ab, bc, cd, b-d", "abcd")
PRIMAL_ONLY = drawn("am, ml, ly, a-l, ay", "amly")  # the direct effect is past every front door


@pytest.mark.parametrize(
    ("graph", "treated", "outcome", "how", "sets"),
    [
        (BOW, "y", "a", "no effect", ()),
        (drawn("ay", "ay"), "a", "y", "no confounding", ((),)),
        (drawn("za, zy, ay", "zay"), "a", "y", "no confounding", (("z",),)),
        (FRONT_DOOR, "a", "y", "front-door", (("m",),)),
        (FRONT_DOOR, "m", "y", "no confounding", (("a",),)),
        (INSTRUMENT, "z", "y", "no confounding", ((),)),
        (M_BIAS, "a", "y", "no confounding", ((),)),
        (BACK_DOOR, "a", "y", "back-door", (("z",),)),
        (VERMA, "b", "d", "front-door", (("c",),)),
        (VERMA, "a", "d", "no confounding", ((),)),
        (drawn("am, my, a-y, sa", "samy"), "a", "y", "front-door", (("m",),)),
    ],
)
def test_an_effect_is_identified_in_the_simplest_way(
    graph: object, treated: str, outcome: str, how: str, sets: object
) -> None:
    found = identify(graph, treated, outcome)  # type: ignore[arg-type]
    assert (found.how, found.sets) == (how, sets)
    assert found.identified
    assert found.path == ()


def test_an_effect_by_neither_door_is_identified_by_primal_fixing() -> None:
    found = identify(PRIMAL_ONLY, "a", "y")
    assert (found.how, found.sets) == ("primal fixing", ())


@pytest.mark.parametrize(
    ("graph", "treated", "path", "otherwise"),
    [
        (BOW, "a", "open path a <-> y", ""),
        (INSTRUMENT, "a", "open path a <-> y", ""),
        (NAPKIN, "a", "path of unmeasured causes a <-> v <-> y", "formula"),
        (M_BIAS_COLLIDER_FIRST, "a", "path of unmeasured causes a <-> z <-> y", "order"),
        (drawn("am, my, a-m", "amy"), "a", "open path a <-> m -> y", ""),
    ],
)
def test_an_effect_that_is_not_identified_names_the_path(
    graph: object, treated: str, path: str, otherwise: str
) -> None:
    found = identify(graph, treated, "y")  # type: ignore[arg-type]
    assert found.how == "not identified"
    assert found.text == f"not identified: the {path}"
    assert found.otherwise == otherwise
    assert not found.identified


@pytest.mark.parametrize(
    ("graph", "treated", "outcome", "identified"),
    [
        (BOW, "a", "y", False),
        (FRONT_DOOR, "a", "y", True),
        (INSTRUMENT, "a", "y", False),
        (NAPKIN, "a", "y", True),
        (M_BIAS, "a", "y", True),
        (M_BIAS_COLLIDER_FIRST, "a", "y", True),
        (VERMA, "bc", "d", True),
        (drawn("ab, bc, b-c", "abc"), "b", "c", False),
        (drawn("am, my, a-m, m-y", "amy"), "a", "y", False),
        (drawn("ay, a-z, zy", "azy"), "a", "y", True),
        (drawn("az, zy, ay, a-z", "azy"), "a", "y", False),
        (drawn("az, zy, ay, a-z", "azy"), "az", "y", True),
    ],
)
def test_the_complete_algorithm_knows_the_known_graphs(
    graph: object, treated: str, outcome: str, identified: bool
) -> None:
    assert is_identified(graph, treated, outcome) == identified  # type: ignore[arg-type]


def test_members_of_the_district_read_what_a_node_would_have_been() -> None:
    assert natural_readers(FRONT_DOOR, "a") == {"a": {"y"}}
    assert natural_readers(FRONT_DOOR, "my") == {"m": set(), "y": set()}
    assert natural_readers(VERMA, "b") == {"b": {"d"}}


def test_nodes_that_share_a_cause_with_a_later_one_alone_read_nothing_natural() -> None:
    late = drawn("ab, a-c, b-c", "abc")
    assert natural_readers(late, "a") == {"a": {"c"}}
    assert natural_readers(late, "b") == {"b": {"c"}}


def test_two_treatments_that_share_a_cause_are_fixed_together() -> None:
    together = drawn("ab, ay, by, a-b", "aby")
    assert obstacle(together, "a", "y") is not None
    assert obstacle(together, "ab", "y") is None
    assert identify(together, "ab", "y").how == "primal fixing"


def test_a_treated_child_that_is_joined_only_later_is_an_obstacle() -> None:
    later = drawn("ad, dz, az, a-z, d-z, zy", "adzy")
    assert obstacle(later, "ad", "y") is not None


def test_a_treated_node_that_the_outcome_does_not_read_is_no_obstacle() -> None:
    upstream = drawn("aw, a-w, wx, xy", "awxy")
    assert obstacle(upstream, "a", "y") is not None
    assert obstacle(upstream, "ax", "y") is None


def test_what_comes_later_in_the_order_is_no_obstacle() -> None:
    assert obstacle(M_BIAS, "a", "y") is None
    assert obstacle(M_BIAS, "a", "yz") == ("a", "<->", "z", "<->", "y")
    assert obstacle(M_BIAS_COLLIDER_FIRST, "a", "y") is not None


def test_minimal_sets_and_the_canonical_one_for_a_back_door() -> None:
    graph = drawn("zw, wa, zy, ay, vy", "zwvay")
    assert minimal_adjustment_sets(graph, "a", "y") == (("w",), ("z",))
    assert minimal_adjustment_sets(graph, "a", "y", most=1) in ((("w",),), (("z",),))
    assert canonical_adjustment_set(graph, "a", "y") == ("z", "w", "v")
    assert is_adjustment_set(graph, "a", "y", ["w"])
    assert not is_adjustment_set(graph, "a", "y", ["v"])
    assert minimal_adjustment_sets(BOW, "a", "y") == ()
    assert canonical_adjustment_set(BOW, "a", "y") is None


def test_what_a_causal_path_leads_to_is_never_adjusted_for() -> None:
    graph = drawn("am, my, mx", "amyx")
    assert is_adjustment_set(graph, "a", "y", [])
    assert not is_adjustment_set(graph, "a", "y", ["m"])
    assert not is_adjustment_set(graph, "a", "y", ["x"])


def test_front_door_sets_intercept_all_and_are_not_confounded() -> None:
    two = drawn("am, an, my, ny, a-y", "amny")
    assert minimal_front_door_sets(two, "a", "y") == (("m", "n"),)
    assert not is_front_door_set(two, "a", "y", ["m"])
    assert is_front_door_set(two, "a", "y", ["m", "n"])
    assert minimal_front_door_sets(drawn("am, my, a-y, a-m", "amy"), "a", "y") == ()
    chain = drawn("am, mn, ny, a-y", "amny")
    assert minimal_front_door_sets(chain, "a", "y") == (("m",), ("n",))


def test_the_search_for_minimal_sets_ends_where_they_are_many() -> None:
    def find(without: NodeSet) -> NodeSet | None:
        left = sorted(set(map(str, range(40))) - without)
        return frozenset(left[:1])

    assert len(minimal_sets(find, 5)) == 5
    assert minimal_sets(lambda _: None) == ()


@pytest.mark.parametrize(
    ("graph", "treated", "text"),
    [
        (drawn("a, y", "ay"), "a", "no effect: the graph has no path along its arrows"),
        (drawn("ay", "ay"), "a", "no unmeasured confounding: adjusting for nothing"),
        (drawn("za, zy, ay", "zay"), "a", "no unmeasured confounding: adjusting for z"),
        (drawn("ab, by, ay", "aby"), "ab", "no unmeasured confounding"),
        (BACK_DOOR, "a", "back door: adjusting for z"),
        (drawn("am, mn, ny, a-y", "amny"), "a", "front door: through m; or n"),
        (PRIMAL_ONLY, "a", "primal fixing: what shares unmeasured causes with the treatment is"),
    ],
)
def test_how_an_effect_is_identified_is_said_in_words(
    graph: object, treated: str, text: str
) -> None:
    assert identify(graph, treated, "y").text.startswith(text)  # type: ignore[arg-type]
