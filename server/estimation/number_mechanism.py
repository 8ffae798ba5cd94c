"""Mechanisms of all kinds that are fitted to the noisy moments of their family."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.random import Generator

from protocol.study.families import Family, visit_of
from protocol.study.study import Study
from protocol.study.time import BEFORE, FIRST, NOW, template_of
from protocol.study.variables import Boolean, Count, Numeric
from server.causal.mechanisms.mechanism import (
    Caution,
    Mechanism,
    Placement,
    RegressionMechanism,
    Response,
    at_node,
)
from server.causal.sampling.drawing import draw
from server.causal.worlds.assembly import assemble
from server.estimation.cautions import bounds_cautions, mismatch_cautions, moment_cautions
from server.estimation.evidence import NoisySum
from server.estimation.gaussian import fit_gaussian
from server.estimation.moment_matching import SimulatedParents, match_moments
from server.estimation.moments import (
    Reals,
    Scale,
    natural,
    noisy_moments,
    scale_of,
)

SIMULATED_PARENTS = 30_000

_RESPONSES: Mapping[str, Response] = {
    "gaussian": "gaussian",
    "logistic": "logistic",
    "poisson": "poisson",
    "negative-binomial": "negative-binomial",
}

# Draws parents of a family as the mechanisms before it have them.
Upstream: TypeAlias = Callable[[], SimulatedParents]
Fitted: TypeAlias = tuple[RegressionMechanism, tuple[Caution, ...]]


def number_mechanism(
    study: Study,
    family: Family,
    sums: Sequence[NoisySum],
    upstream: Upstream,
    draws: int,
    generator: Generator,
) -> Fitted:
    """Return the mechanism of a column fitted to moments, and what a reader should know of it."""
    moments = noisy_moments(study, family, sums)
    response = _RESPONSES[family.mechanism.kind]
    cautions = [*moment_cautions(family, moments)]
    regressors = [scale_of(study, name) for name in family.regressors]
    own = scale_of(study, family.node)
    if response == "gaussian":
        cautions += bounds_cautions(family, moments)
        found = fit_gaussian(moments, draws, generator)
        coefficients = natural(found.coefficients, regressors, own)
        scale, support = found.scale * own.half, found.support
    else:
        matched = match_moments(moments, response, upstream(), own, draws, generator)
        cautions += mismatch_cautions(family, matched.mismatch)
        coefficients = _unscaled(matched.coefficients, regressors)
        scale, support = matched.dispersion, matched.support
    sizes = study.model_sizes(family.rows)
    mechanism = RegressionMechanism(
        node=family.node,
        parents=family.parents,
        rows=family.rows,
        regressors=family.regressors,
        response=response,
        coefficients=coefficients.reshape(1 + draws, *sizes, -1),
        scale=np.asarray(scale).reshape(1 + draws, *sizes),
        bounds=_bounds(study, family.node),
        support=np.asarray(support).reshape(sizes),
    )
    return mechanism, tuple(cautions)


def simulated_parents(
    study: Study,
    family: Family,
    columns: Mapping[str, Mechanism],
    placements: Mapping[str, Placement],
    seed: int,
) -> SimulatedParents:
    """Return parents of a family drawn from the mechanisms of all columns before it.

    Of a family of transitions: those at the second visit, later ones needing the family itself.
    """
    graph = study.mechanism_graph
    mechanisms = {
        node: at_node(columns[template_of(node)], node, graph.parents[node])
        for node in graph.nodes
        if template_of(node) in columns and (visit_of(node) or 0) < 2
    }
    world = assemble(study, mechanisms, placements, {}, draws=0)
    rows, place = draw(world.compiled(None), seed, 0, SIMULATED_PARENTS), world.place
    row = np.zeros(SIMULATED_PARENTS, dtype=np.intp)
    for name, size in zip(family.rows, study.model_sizes(family.rows), strict=True):
        row = row * size + rows.codes[place[_at_second_visit(name)]]
    found = [np.ones(SIMULATED_PARENTS)]
    for name in family.regressors:
        scale, at = scale_of(study, name), place[_at_second_visit(name)]
        values = rows.values[at] if at in rows.values else rows.codes[at].astype(np.float64)
        found.append(np.clip((values - scale.middle) / scale.half, -1.0, 1.0))
    return SimulatedParents(row, np.array(found).T)


def _at_second_visit(column: str) -> str:
    """Return the node of a column at visit 1; of others the column itself."""
    return column.replace(NOW, "[1]").replace(BEFORE, FIRST)


def _unscaled(coefficients: Reals, regressors: Sequence[Scale]) -> Reals:
    """Return coefficients of scaled regressors in the regressors' own units."""
    return natural(coefficients, regressors, Scale(0.0, 1.0))


def _bounds(study: Study, node: str) -> tuple[float, float]:
    variable = study.variable(node)
    match variable:
        case Numeric() | Count():
            low, high = variable.bounds
            return float(low), float(high)
        case Boolean():
            return 0.0, 1.0
    raise AssertionError(f"a {variable.kind} is not fitted to moments")
