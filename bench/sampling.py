"""The sampler on one core: ALARM with its published parameters, and a linear Gaussian model.

Peers are pgmpy's `simulate` on the same network and DoWhy's `draw_samples` of the same model, over
fewer rows, as rates; the limit is numpy's Philox drawing the uniforms that the rows need. Both
paths of ours give the same bytes, which is checked. In CPU seconds: other work does not matter.
"""

import gzip
import warnings
from hashlib import sha256
from importlib.resources import files
from typing import Any

import numpy as np

from bench.alarm import alarm_study
from bench.harness import Measurement, interleaved
from bench.linear_gaussian import linear_gaussian_model
from protocol.study.study import Study
from server.causal.exchange.dowhy_model import to_dowhy
from server.causal.files.model_file import Provenance
from server.causal.mechanisms.mechanism import TableMechanism
from server.causal.model import BATCH_ROWS, Model
from server.causal.sampling.engine import Engine

ROWS = 10_000_000
NUMPY_ROWS = 1_000_000
PEER_ROWS = 20_000
GAUSSIAN_ROWS = 2_000_000
SEED = 1
COMPILED, PLAIN = Engine(path="numba", threads=1), Engine(path="numpy", threads=1)


def run() -> list[Measurement]:
    """Measure both paths, the peers and the limits, each beside what it is compared with."""
    peer = published()
    model = as_model(alarm_study(), peer)
    _check_same_bytes(model)
    return [*_alarm(model, peer), *_intervened(model, peer), *_gaussian()]


def _alarm(model: Model, peer: Any) -> list[Measurement]:  # noqa: ANN401 - pgmpy has no types
    ours, plain, theirs, uniforms = interleaved(
        lambda: _draw(model, ROWS, COMPILED),
        lambda: _draw(model, NUMPY_ROWS, PLAIN),
        lambda: _simulate(peer),
        lambda: _uniforms(NUMPY_ROWS, len(model.mechanisms)),
        repeats=3,
    )
    rate, limit = ROWS / ours, NUMPY_ROWS / uniforms
    return [
        Measurement(
            "ALARM, 10 M rows, one core",
            rate,
            "rows/s",
            peer="pgmpy simulate",
            peer_value=PEER_ROWS / theirs,
            target=200,
        ),
        Measurement("the same", rate, "rows/s", target=1e7, targets_ratio=False),
        Measurement("the same", rate, "rows/s", "numpy's Philox, uniforms", limit, target=1),
        Measurement(
            "the same by numpy alone, 1 M rows",
            NUMPY_ROWS / plain,
            "rows/s",
            peer="compiled",
            peer_value=rate,
            target=1e6,
            targets_ratio=False,
        ),
    ]


def _intervened(model: Model, peer: Any) -> list[Measurement]:  # noqa: ANN401 - as above
    """Measure plain sampling and sampling under `do` of a node with many descendants."""
    node = most_descendants(model)
    level = model.study.model_labels(node)[0]
    view = model.do({node: level})
    below = len(model.study.causal_graph.descendants(node))
    plain, under, theirs, their_do = interleaved(
        lambda: _draw(model, ROWS // 5, COMPILED),
        lambda: _draw(view, ROWS // 5, COMPILED),
        lambda: _simulate(peer),
        lambda: _simulate(peer, {node: level}),
        repeats=5,
    )
    name = f"time under do({node}), {below} descendants of {len(model.mechanisms)}"
    return [
        Measurement(
            name,
            under,
            "CPU s",
            peer="plain",
            peer_value=plain,
            target=1.1,
            at_least=False,
        ),
        Measurement("the same of pgmpy", their_do, "CPU s", peer="plain", peer_value=theirs),
    ]


def most_descendants(model: Model) -> str:
    """Return the node whose number of descendants is nearest to 20."""
    graph = model.study.causal_graph
    return min(graph.nodes, key=lambda node: abs(len(graph.descendants(node)) - 20))


def _gaussian() -> list[Measurement]:
    """Measure a linear Gaussian model of ten nodes against DoWhy's sampler of the same."""
    from dowhy import gcm  # noqa: PLC0415 - an extra, slow to load

    model = linear_gaussian_model()
    causal = to_dowhy(model)
    ours, theirs = interleaved(
        lambda: _draw(model, GAUSSIAN_ROWS, COMPILED),
        lambda: gcm.draw_samples(causal, PEER_ROWS),
        repeats=5,
    )
    rate = GAUSSIAN_ROWS / ours
    own = PEER_ROWS / _own_dowhy(gcm)
    return [
        Measurement(
            "linear Gaussian, 10 nodes, one core",
            rate,
            "rows/s",
            peer="DoWhy, our functions",
            peer_value=PEER_ROWS / theirs,
        ),
        Measurement("the same", rate, "rows/s", "DoWhy, its linear models", own, target=10),
        Measurement("the same", rate, "rows/s", target=5e6, targets_ratio=False),
    ]


def _own_dowhy(gcm: Any) -> float:  # noqa: ANN401 - DoWhy has no types
    """Return the seconds in which DoWhy draws from linear models that it has fitted itself."""
    model = linear_gaussian_model()
    causal = gcm.StructuralCausalModel(model.graph)
    data = model.sample(2_000, seed=SEED)
    gcm.auto.assign_causal_mechanisms(causal, data, quality=gcm.auto.AssignmentQuality.GOOD)
    for node in causal.graph.nodes:
        if list(causal.graph.predecessors(node)):
            causal.set_causal_mechanism(
                node, gcm.AdditiveNoiseModel(gcm.ml.create_linear_regressor())
            )
        else:
            causal.set_causal_mechanism(node, gcm.ScipyDistribution(_normal()))
    gcm.fit(causal, data)
    (seconds,) = interleaved(lambda: gcm.draw_samples(causal, PEER_ROWS), repeats=5)
    return seconds


def _normal() -> Any:  # noqa: ANN401 - scipy's distribution
    from scipy.stats import norm  # noqa: PLC0415

    return norm


def _draw(model: Model, rows: int, engine: Engine) -> None:
    for start in range(0, rows, BATCH_ROWS):
        model.codes(min(BATCH_ROWS, rows - start), seed=SEED, start=start, engine=engine)


def _check_same_bytes(model: Model) -> None:
    """Stop unless both paths, in pieces or at once, give the same bytes."""
    rows = 100_003
    whole = sha256(model.codes(rows, seed=SEED, engine=COMPILED).tobytes()).hexdigest()
    plain = sha256(model.codes(rows, seed=SEED, engine=PLAIN).tobytes()).hexdigest()
    if whole != plain:
        raise SystemExit("the compiled and the plain path give other bytes")


def _uniforms(rows: int, nodes: int) -> None:
    generator = np.random.Generator(np.random.Philox(SEED))
    room = np.empty(1 << 14)
    for _ in range(rows * nodes // len(room)):
        generator.random(out=room)


def published() -> Any:  # noqa: ANN401 - pgmpy has no types
    """Return ALARM as pgmpy bundles it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pgmpy announces renamed modules on import
        from pgmpy.readwrite import BIFReader  # noqa: PLC0415 - extra `bench`, only needed here

        return BIFReader(string=alarm_text()).get_model()


def alarm_text() -> str:
    """Return ALARM as BIF, as pgmpy bundles it."""
    (bundle,) = (one for one in _walk(files("pgmpy")) if one.name == "alarm.bif.gz")
    return gzip.decompress(bundle.read_bytes()).decode()


def _walk(folder: Any) -> Any:  # noqa: ANN401 - importlib's Traversable, recursively
    for one in folder.iterdir():
        yield from _walk(one) if one.is_dir() else (one,)


def as_model(study: Study, network: Any) -> Model:  # noqa: ANN401 - pgmpy has no types
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


def _simulate(network: Any, do: dict[str, str] | None = None) -> None:  # noqa: ANN401
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.simulate(PEER_ROWS, do=do, seed=SEED, show_progress=False)
