"""A concause model of a network whose tables are known: to sample, intervene on and ask.

The study has the network's variables, and a budget, a cohort and a date of its own, which mean
nothing: no site measured anything. A level OTHER or MISSING is what it is in any study, levels 0
and 1 alone make a boolean; all else is categorical. All parameter draws are the tables themselves,
in parts per million, so that intervals have no width and a model file can be written.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from protocol.study.document import parse_study
from protocol.study.quantities import MISSING, OTHER
from protocol.study.study import Study
from server.causal.exchange.bif_reader import read_bif
from server.causal.exchange.network import Network
from server.causal.exchange.sources import read_source
from server.causal.files.model_file import FEWEST_DRAWS, Provenance
from server.causal.mechanisms.mechanism import TableMechanism, apportion
from server.causal.model import Model

_HEAD = """\
format = "concause-study/1"
author = "Nobody"
expires = 2099-12-31
budget = { epsilon = 1, delta = 1e-6 }
cohort = { n_min = 3, tolerated_colluders = 0, threshold = 3 }
trust = { aggregation = "masking" }
"""


def from_bif(source: str | Path, name: str = "network") -> Model:
    """Return the model of a BIF file (perhaps gzipped) or text.

    Raises:
        UsageError: it is no BIF text, or a name or level that no study can have.
    """
    return model_of_network(read_bif(read_source(source, "a network (BIF)")), name)


def model_of_network(network: Network, name: str = "network") -> Model:
    """Return the model of a network.

    Raises:
        UsageError: a name or level that no study can have, or a level alone.
    """
    study = parse_study(study_text(network, name))
    mechanisms = {node: _mechanism(study, network, node) for node in study.mechanism_graph.nodes}
    provenance = Provenance(study.hash, study.hash, 1)
    return Model(study, MappingProxyType(mechanisms), provenance)


def study_text(network: Network, name: str = "network") -> str:
    """Return a study with the variables and the graph of a network, as TOML."""
    arrows = [
        f"{cause} -> {node}" for node, parents in network.parents.items() for cause in parents
    ]
    lines = [f"name = {_toml(name)}", f"title = {_toml(name)}"]
    lines += [f"graph = {{ edges = {_toml(arrows)} }}"]
    lines += [
        f"[variables.{_toml(node)}]\n{variable_text(levels)}"
        for node, levels in network.levels.items()
    ]
    return _HEAD + "\n".join(lines) + "\n"


def variable_text(levels: tuple[str, ...]) -> str:
    """Return the fields of a variable with these levels, as TOML."""
    if set(levels) == {"0", "1"}:
        return 'kind = "boolean"'
    own = [level for level in levels if level not in (OTHER, MISSING)]
    marks = [(OTHER, "other = true"), (MISSING, "missing = true")]
    extra = [text for level, text in marks if level in levels]
    return "\n".join(['kind = "categorical"', f"levels = {_toml(own)}", *extra])


def _toml(value: object) -> str:
    """Return a text or a list of texts in TOML, whose basic strings are those of JSON."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _mechanism(study: Study, network: Network, node: str) -> TableMechanism:
    """Return the table of a node, its axes and codes in the order of the study."""
    parents = study.mechanism_graph.parents[node]
    own = (*network.parents[node], node)
    table = network.tables[node].transpose([own.index(name) for name in (*parents, node)])
    for axis, name in enumerate((*parents, node)):
        table = np.take(table, _order(study, network.levels, name), axis=axis)
    draws = np.broadcast_to(apportion(table), (FEWEST_DRAWS, *table.shape))
    return TableMechanism(node, parents, table, draws, np.ones(table.shape[:-1]))


def _order(study: Study, levels: Mapping[str, tuple[str, ...]], name: str) -> list[int]:
    return [levels[name].index(label) for label in study.model_labels(name)]
