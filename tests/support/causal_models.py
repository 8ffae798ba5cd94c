"""Models of every kind of mechanism with known parameters."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import default_rng
from numpy.typing import NDArray

from protocol.privacy.plan import StatisticsPlan
from protocol.study.document import parse_study
from protocol.study.study import Study
from protocol.study.variables import Boolean, Count, Numeric
from server.causal.files.model_file import Provenance
from server.causal.mechanisms.mechanism import (
    Mechanism,
    Placement,
    RegressionMechanism,
    RuleMechanism,
    TableMechanism,
    apportion,
    at_node,
)
from server.causal.model import Model
from tests.support.reference_statistics import Record, reference_statistics
from tests.support.release_rounds import Vector
from tests.support.studies import MIXED_TEXT, VISITS_TEXT

Reals = NDArray[Any]
DRAWS = 20


def study_of(
    variables: Mapping[str, str],
    edges: Sequence[str],
    mechanisms: Mapping[str, str] | None = None,
    more: str = "",
    *,
    latent: Sequence[str] = (),
    rho: str = "0.5",
    site_specific: Sequence[str] = (),
) -> Study:
    """Return a study; variables and mechanisms are inline TOML, `more` is TOML at the end."""
    named = f"latent = {list(latent)}, site_specific = {list(site_specific)}"
    return parse_study(
        "\n".join(
            [
                'format = "concause-study/1"\nname = "made"\ntitle = "Made"\nauthor = "A"',
                'expires = 2030-12-31\ntrust = { aggregation = "masking" }',
                f"budget = {{ rho = {rho} }}",
                "cohort = { n_min = 3, tolerated_colluders = 0, threshold = 2 }",
                f"graph = {{ edges = {list(edges)}, {named} }}",
                "[variables]",
                *(f"{name} = {{ {text} }}" for name, text in variables.items()),
                "[mechanisms]",
                *(f"{name} = {text}" for name, text in (mechanisms or {}).items()),
                more,
            ]
        )
    )


def table(study: Study, node: str, values: Reals | None = None, spread: float = 0.0) -> Mechanism:
    """Return a table mechanism; random without `values`, with draws that vary by `spread`."""
    generator = default_rng(sum(node.encode()))
    parents = study.mechanism_graph.parents[node]
    sizes = study.model_sizes((*parents, node))
    if values is None:
        values = generator.dirichlet(np.full(sizes[-1], 4.0), size=sizes[:-1])
    point = np.asarray(values, dtype=np.float64).reshape(sizes)
    noise = np.exp(spread * generator.standard_normal((DRAWS, *sizes))) * point
    parts = apportion(noise / noise.sum(axis=-1, keepdims=True))
    return TableMechanism(node, parents, point, parts, np.full(sizes[:-1], 100.0))


def regression(
    study: Study,
    node: str,
    coefficients: Reals,
    scale: Reals | float = 0.0,
    spread: float = 0.0,
) -> Mechanism:
    """Return a regression of the study's response; draws of coefficients vary by `spread`.

    `coefficients` have the shape (rows' sizes .., 1 + regressors).
    """
    generator = default_rng(sum(node.encode()))
    family, parents = study.family_of(node), study.mechanism_graph.parents[node]
    name = dict(zip(family.parents, parents, strict=True))
    rows = tuple(name[column] for column in family.rows)
    sizes = study.model_sizes(rows)
    point = np.asarray(coefficients, dtype=np.float64).reshape(*sizes, 1 + len(family.regressors))
    noise = spread * generator.standard_normal((1 + DRAWS, *point.shape))
    noise[0] = 0
    return RegressionMechanism(
        node=node,
        parents=parents,
        rows=rows,
        regressors=tuple(name[column] for column in family.regressors),
        response=study.mechanism_of(node),  # type: ignore[arg-type]
        coefficients=point + noise,
        scale=np.broadcast_to(np.asarray(scale, dtype=np.float64), (1 + DRAWS, *sizes)).copy(),
        bounds=bounds(study, node),
        support=np.full(sizes, 100.0),
    )


def bounds(study: Study, node: str) -> tuple[float, float]:
    """Return the smallest and the largest value of a node."""
    variable = study.variable(node)
    if isinstance(variable, Boolean):
        return 0.0, 1.0
    assert isinstance(variable, Numeric | Count)
    return float(variable.bounds[0]), float(variable.bounds[1])


def rule(study: Study, node: str) -> Mechanism:
    """Return the rule of a node."""
    value = study.mechanism(node).value
    assert value is not None
    return RuleMechanism(node, study.mechanism_graph.parents[node], value)


def model_of(
    study: Study,
    given: Mapping[str, Mechanism] | None = None,
    placements: Mapping[str, Placement] | None = None,
    spread: float = 0.0,
) -> Model:
    """Return a model with the mechanisms that are given, and random ones elsewhere.

    Visits share the mechanism of the first node of their family.
    """
    graph, first = study.mechanism_graph, dict[str, Mechanism]()
    for node in graph.nodes:
        column = study.family_of(node).node
        if column not in first:
            first[column] = (given or {}).get(node) or _random(study, node, spread)
    mechanisms = {
        node: at_node(first[study.family_of(node).node], node, graph.parents[node])
        for node in graph.nodes
    }
    return Model(
        study,
        MappingProxyType(mechanisms),
        Provenance(study.hash, study.hash, 3),
        placements=placements or {},
    )


def _random(study: Study, node: str, spread: float) -> Mechanism:
    uses = study.mechanism(node).uses
    if uses == "none":
        return rule(study, node)
    if uses == "table":
        return table(study, node, spread=spread)
    family = study.family_of(node)
    sizes = study.model_sizes(family.rows)
    generator = default_rng(sum(node.encode()))
    slopes = generator.normal(0.0, 0.02, (*sizes, 1 + len(family.regressors)))
    low, high = bounds(study, node)
    kind = study.mechanism_of(node)
    slopes[..., 0] += {"gaussian": (low + high) / 2}.get(kind, 0.0)
    return regression(study, node, slopes, (high - low) / 8, spread)


def placement(study: Study, name: str, shares: Reals, spread: float = 0.0) -> Placement:
    """Return a placement with the shares of the parts of each bin, shape (bins, parts)."""
    variable = study.variables[name]
    assert isinstance(variable, Numeric)
    generator = default_rng(5)
    point = np.asarray(shares, dtype=np.float64)
    sets = np.exp(spread * generator.standard_normal((1 + DRAWS, *point.shape))) * point
    sets[0] = point
    edges = np.array([float(edge) for edge in variable.part_edges])
    return Placement(name, edges, sets / sets.sum(axis=-1, keepdims=True))


def mixed_model(spread: float = 0.1) -> Model:
    """Return a model with every kind of variable and mechanism (`studies.MIXED_TEXT`)."""
    study = parse_study(MIXED_TEXT)
    placements = {
        "age": placement(study, "age", np.array([[0.2, 0.3, 0.5], [0.5, 0.3, 0.2]]), spread),
        "crp": placement(study, "crp", np.array([[0.4, 0.6], [0.7, 0.3]]), spread),
    }
    return model_of(study, placements=placements, spread=spread)


def visits_model(spread: float = 0.1) -> Model:
    """Return a longitudinal model with feedback, a rule and an indicator."""
    return model_of(parse_study(VISITS_TEXT), spread=spread)


def records_of(study: Study, model: Model, rows: int, seed: int) -> list[Record]:
    """Return rows drawn from a model as a site would record them."""
    frame = model.sample(rows, seed)
    if study.time is not None:
        frame = model.sample_long(rows, seed)
    return [
        {
            "unit": row.get("unit", at),
            "visit": row.get("visit", 0),
            "values": {name: _recorded(row, name) for name in study.measured_variables},
        }
        for at, row in enumerate(frame.astype(object).to_dict("records"))
    ]


def _recorded(row: Mapping[Any, Any], name: str) -> Any:
    if f"{name}_event" in row:
        return row[name], bool(row[f"{name}_event"])
    return None if pd.isna(row[name]) else row[name]


def site_vector(model: Model) -> Vector:
    """Return what makes a site's statistics of rows drawn from a model, with rounded noise."""

    def vector(study: Study, plan: StatisticsPlan, name: str, rows: int) -> NDArray[np.int64]:
        generator = default_rng(list(name.encode()))
        records = records_of(study, model, rows, int(generator.integers(1 << 30)))
        found = reference_statistics(plan, study, records)
        for block in plan.blocks:
            noise = float(block.site_scale) * generator.standard_normal(block.size)
            found[block.span] += np.rint(noise).astype(np.int64)
        return found

    return vector
