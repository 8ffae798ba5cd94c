"""Graphs in and out: formats keep nodes, arrows and unmeasured causes, and refuse the rest."""

import gzip
from collections.abc import Hashable
from pathlib import Path

import networkx as nx
import pytest

from protocol.errors import UsageError
from server.causal.exchange.graphs import read_graph, write_graph
from server.causal.exchange.latent import latent_nodes
from tests.support.causal_models import mixed_model, model_of, study_of

FORMATS = ("dagitty", "dot", "gml", "json")
BOOLEAN = 'kind = "boolean"'


def drawn() -> "nx.DiGraph[Hashable]":
    graph: nx.DiGraph[Hashable] = nx.DiGraph()
    graph.add_nodes_from(["age", "two words", "alone"])
    graph.add_node("u", latent=True)
    graph.add_node("age <-> two words", latent=True)
    graph.add_edges_from([("age", "two words"), ("u", "age"), ("u", "alone")])
    graph.add_edges_from([("age <-> two words", "age"), ("age <-> two words", "two words")])
    return graph


@pytest.mark.parametrize("name", FORMATS)
def test_a_graph_comes_back_as_it_was_written(name: str) -> None:
    graph = drawn()
    found = read_graph(write_graph(graph, format=name), format=name)
    assert set(found) == set(graph)
    assert set(found.edges) == set(graph.edges)
    assert set(latent_nodes(found)) == {"u", "age <-> two words"}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_file_is_known_by_its_ending(name: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"graph.{name}{ending}"
    text = write_graph(drawn(), path)
    content = path.read_bytes()
    assert (gzip.decompress(content) if ending else content).decode() == text
    assert set(read_graph(path).edges) == set(drawn().edges)


@pytest.mark.parametrize("name", FORMATS)
def test_a_study_is_written_with_its_unmeasured_causes(name: str) -> None:
    study = study_of(dict.fromkeys("amy", BOOLEAN), ["a -> m", "m -> y", "a <-> y"])
    found = read_graph(write_graph(study, format=name), format=name)
    assert latent_nodes(found) == ("a <-> y",)
    assert set(found.edges) >= {("a", "m"), ("m", "y"), ("a <-> y", "a")}


def test_a_model_is_written_as_the_world_that_it_is_a_view_of() -> None:
    model = mixed_model()
    whole = read_graph(write_graph(model, format="json"), format="json")
    view = read_graph(write_graph(model.do({"treated": 1}), format="json"), format="json")
    assert set(whole.edges) == set(model.study.causal_graph.edges())
    assert not list(view.predecessors("treated"))


def test_a_network_of_tables_is_written_and_read_with_its_levels() -> None:
    study = study_of({"a": BOOLEAN, "b": 'kind = "ordinal", levels = ["x", "y", "z"]'}, ["a -> b"])
    found = read_graph(write_graph(model_of(study), format="bif"), format="bif")
    assert list(found.edges) == [("a", "b")]
    assert tuple(found.nodes["b"]["levels"]) == ("x", "y", "z")


def test_graphs_of_networkx_come_as_they_are() -> None:
    found = read_graph(nx.DiGraph([(1, 2)]))
    assert list(found.edges) == [("1", "2")]


BAD = [
    ("dag { a -> b", "dagitty", "graph-invalid"),
    ("dag { a -> b b -> a }", "dagitty", "graph-invalid"),
    ("dag { a -> a }", "dagitty", "graph-invalid"),
    ("digraph { a -> ", "dot", "graph-invalid"),
    ("graph { a -- b }", "dot", "graph-invalid"),
    ("digraph { a -> b a -> b }", "dot", "graph-invalid"),
    ("graph [ node [ id 0 ]", "gml", "graph-invalid"),
    ("graph [ directed 0 node [ id 0 ] ]", "gml", "graph-invalid"),
    ("{", "json", "graph-invalid"),
    ('{"nodes": []}', "json", "graph-invalid"),
    (
        '{"directed": true, "nodes": [{"id": "a"}, {"id": "a"}], "edges": []}',
        "json",
        "graph-invalid",
    ),
    (
        '{"directed": true, "nodes": [{"id": "a"}], "edges": [{"source": "a", "target": "b"}]}',
        "json",
        "graph-invalid",
    ),
    ("network { }\nvariable a { type discrete [ 2 ] { x }; }", "bif", "bif-invalid"),
    ("dag { a -> b }", "graphml", "format-unknown"),
    ("dag { a -> b }", None, "format-unknown"),
]


@pytest.mark.parametrize(("text", "name", "code"), BAD)
def test_texts_that_draw_no_graph_are_refused(text: str, name: str | None, code: str) -> None:
    with pytest.raises(UsageError) as refusal:
        read_graph(text, name)
    assert refusal.value.code in {code, "graph-invalid", "network-invalid"}
    assert refusal.value.remedy


def test_files_that_are_not_there_or_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refusal:
        read_graph(tmp_path / "no.dot")
    assert refusal.value.code == "file-not-found"
    (tmp_path / "bad.dot").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError) as refusal:
        read_graph(tmp_path / "bad.dot")
    assert refusal.value.code == "file-not-readable"
    with pytest.raises(UsageError) as refusal:
        read_graph(tmp_path / "graph.xyz")
    assert refusal.value.code == "format-unknown"


def test_a_graph_without_levels_is_no_network() -> None:
    with pytest.raises(UsageError, match="levels of every node"):
        write_graph(nx.DiGraph([("a", "b")]), format="bif")
