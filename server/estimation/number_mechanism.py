"""Mechanisms of all kinds that are fitted to the noisy moments of their family."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.random import Generator

from protocol.study.families import Family
from protocol.study.study import Study
from protocol.study.variables import Boolean, Count, Numeric
from server.causal.compilation import compile_world
from server.causal.mechanism import Caution, Mechanism, Placement, RegressionMechanism, Response
from server.causal.world import draw_world
from server.estimation.evidence import NoisySum
from server.estimation.gaussian import fit_gaussian
from server.estimation.moment_matching import MatchedDraws, SimulatedParents, match_moments
from server.estimation.moments import (
    NoisyMoments,
    Reals,
    Scale,
    natural,
    noisy_moments,
    scale_of,
)

SIMULATED_PARENTS = 50_000
_LARGEST_MISMATCH = 5.0  # standard deviations

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
    cautions = list(_moment_cautions(family, moments))
    regressors = [scale_of(study, name) for name in family.regressors]
    own = scale_of(study, family.node)
    if response == "gaussian":
        found = fit_gaussian(moments, draws, generator)
        coefficients = natural(found.coefficients, regressors, own)
        scale, support = found.scale * own.half, found.support
    else:
        matched = match_moments(moments, response, upstream(), own, draws, generator)
        cautions += _mismatch_cautions(family, matched)
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
    mechanisms: Mapping[str, Mechanism],
    placements: Mapping[str, Placement],
    seed: int,
) -> SimulatedParents:
    """Return parents of a family drawn from the mechanisms of all nodes before it.

    Precondition: the study has no visits, so that columns are nodes.
    """
    nodes = [node for node in study.causal_graph.nodes if node in mechanisms]
    rows = draw_world(compile_world(study, mechanisms, placements), seed, 0, SIMULATED_PARENTS)
    place = {node: at for at, node in enumerate(nodes)}
    row = np.zeros(SIMULATED_PARENTS, dtype=np.intp)
    for name, size in zip(family.rows, study.model_sizes(family.rows), strict=True):
        row = row * size + rows.codes[place[name]]
    columns = [np.ones(SIMULATED_PARENTS)]
    for name in family.regressors:
        scale, at = scale_of(study, name), place[name]
        values = rows.values[at] if at in rows.values else rows.codes[at].astype(np.float64)
        columns.append(np.clip((values - scale.middle) / scale.half, -1.0, 1.0))
    return SimulatedParents(row, np.array(columns).T)


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


def _moment_cautions(family: Family, moments: NoisyMoments) -> Sequence[Caution]:
    """Return a caution where the regressors' moments are not a positive matrix above the noise."""
    gram = moments.pooled.matrices[0, :-1, :-1]
    least = float(np.linalg.eigvalsh(gram)[0])
    if least > np.sqrt(moments.pooled.variance):
        return ()
    text = (
        f"The noise hides how the causes of {family.node} vary together: its coefficients are "
        "decided by the prior, with wide intervals. Ask for a larger budget or fewer causes."
    )
    return (Caution(family.node, "moments-below-noise", text),)


def _mismatch_cautions(family: Family, found: MatchedDraws) -> Sequence[Caution]:
    if found.mismatch <= _LARGEST_MISMATCH:
        return ()
    text = (
        f"The causes of {family.node}, as the mechanisms before it draw them, differ from the "
        f"released moments by {found.mismatch:.0f} standard deviations: its coefficients may be "
        "biased. Add the arrows that are missing between its causes."
    )
    return (Caution(family.node, "parents-mismatch", text),)
