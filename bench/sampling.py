"""The sampler on ALARM with its published parameters, in rows per CPU second of one core.

The peer is pgmpy's `simulate` on the same network, over fewer rows. The limit is the time of
drawing the uniform words alone: one of 32 bits per node and row, from the same streams.
"""

import gzip
import warnings
from importlib.resources import files
from typing import Any

import numpy as np

from bench.alarm import alarm_study
from bench.harness import Measurement, interleaved
from protocol.study.study import Study
from server.causal.files.model_file import Provenance
from server.causal.mechanisms.mechanism import TableMechanism
from server.causal.model import Model
from server.causal.sampling.engine import CHUNK_ROWS
from server.causal.sampling.noise import Words

ROWS = 1_000_000
PEER_ROWS = 20_000
TARGET = 3_000_000
SEED = 1


def run() -> list[Measurement]:
    """Measure our sampler, pgmpy's, and the words alone, interleaved."""
    peer = _published()
    model = _as_model(alarm_study(), peer)
    ours, theirs, words = interleaved(
        lambda: model.codes(ROWS, seed=SEED),
        lambda: _simulate(peer),
        lambda: _words(model),
        repeats=5,
    )
    return [
        Measurement(
            "sampling, ALARM",
            ROWS / ours,
            "rows/s",
            peer="pgmpy simulate",
            peer_value=PEER_ROWS / theirs,
            limit="words alone",
            limit_value=ROWS / words,
            target=TARGET,
            targets_ratio=False,
        )
    ]


def _published() -> Any:  # noqa: ANN401 - pgmpy has no types
    """Return ALARM as pgmpy bundles it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pgmpy announces renamed modules on import
        from pgmpy.readwrite import BIFReader  # noqa: PLC0415 - extra `bench`, only needed here

        (bundle,) = (one for one in _walk(files("pgmpy")) if one.name == "alarm.bif.gz")
        return BIFReader(string=gzip.decompress(bundle.read_bytes()).decode()).get_model()


def _walk(folder: Any) -> Any:  # noqa: ANN401 - importlib's Traversable, recursively
    for one in folder.iterdir():
        yield from _walk(one) if one.is_dir() else (one,)


def _as_model(study: Study, network: Any) -> Model:  # noqa: ANN401 - pgmpy has no types
    """Return our model with the network's parameters, axes and levels in the study's order."""
    nodes = study.causal_graph.nodes
    mechanisms = {node: _mechanism(study, network.get_cpds(node), node) for node in nodes}
    return Model(study, mechanisms, Provenance(study.hash, study.hash, 1))


def _mechanism(study: Study, table: Any, node: str) -> TableMechanism:  # noqa: ANN401
    parents = study.causal_graph.parents[node]
    values = np.asarray(table.values, dtype=np.float64)
    family = (*parents, node)
    values = values.transpose([table.variables.index(name) for name in family])
    for axis, name in enumerate(family):
        labels = study.variables[name].labels
        order = [table.state_names[name].index(label) for label in labels]
        values = np.take(values, order, axis=axis)
    values = values / values.sum(axis=-1, keepdims=True)
    no_draws = np.zeros((0, *values.shape), dtype=np.uint32)
    return TableMechanism(node, parents, values, no_draws, np.ones(values.shape[:-1]))


def _simulate(network: Any) -> None:  # noqa: ANN401 - pgmpy has no types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.simulate(PEER_ROWS, seed=SEED, show_progress=False)


def _words(model: Model) -> None:
    streams = [Words(SEED, node, 0) for node in model.study.causal_graph.nodes]
    for _ in range(0, ROWS, CHUNK_ROWS):
        for stream in streams:
            stream.take(CHUNK_ROWS)
