"""Means in worlds: exact by contraction where every node on the way has a table, else simulated.

A question is put to all its worlds by the same way, so that what they have in common cancels.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from server.causal.answers.asked import Asked
from server.causal.answers.contraction import Distributions, contracted
from server.causal.answers.means import WorldMeans, score_means
from server.causal.answers.simulation import simulated_means, simulated_shares
from server.causal.worlds.assignment import Assignment
from server.causal.worlds.factors import exact_factors
from server.causal.worlds.identification import check_identified
from server.causal.worlds.world import World

Shares = NDArray[np.float64]  # shape (levels,)


def means_of(worlds: Sequence[World], asked: Asked) -> WorldMeans:
    """Return what is asked of a node in worlds of one model; nan where it has no number."""
    values: list[NDArray[np.float64]] = []
    for world in worlds:
        found = _exact_means(world, asked)
        if found is None:
            return WorldMeans(*simulated_means(worlds, asked), "simulation")
        values.extend(found)
    return WorldMeans(np.array(values), np.zeros((len(values), len(values))), "exact")


def shares_of(world: World, node: str) -> Shares:
    """Return P(node) in a world by the point estimate.

    Raises:
        UsageError: unmeasured causes hide it.
    """
    check_identified(world, {node})
    found = exact_distributions(world, node, draws=False)
    return simulated_shares(world, node) if found is None else found[0]


def exact_distributions(
    world: World, node: str, given: Sequence[str] = (), *, draws: bool = True
) -> Distributions | None:
    """Return P(given.., node), shape (draws, sizes ..), by the estimate, then by every draw.

    None where it has to be simulated.
    """
    factors = exact_factors(world.up_to([node, *given]), draws=draws)
    if factors is None:
        return None
    try:
        return contracted(factors, (*given, node))
    except UsageError:  # the network is too wide
        return None


def given_masses(joint: Distributions, codes: Iterable[int]) -> Distributions:
    """Return the masses of the last node of a joint distribution, where the others have `codes`."""
    for code in codes:
        joint = joint[:, code]
    return joint


def _exact_means(world: World, asked: Asked) -> NDArray[np.float64] | None:
    """Return the K means, shape (K, 1 + draws)."""
    setting = world.by_name[asked.node].setting
    if asked.by_value and isinstance(setting, Assignment) and setting.value is not None:
        return np.full((1, 1 + world.draws), setting.value)
    given = {node: code for node, code in asked.given.items() if node != asked.node}
    joint = exact_distributions(world, asked.node, tuple(given))
    if joint is None:
        return None
    found = given_masses(joint, given.values())
    if asked.node in asked.given:
        found = found * (np.arange(found.shape[1]) == asked.given[asked.node])
    return np.array([score_means(found, scores) for scores in asked.scores])
