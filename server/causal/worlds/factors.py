"""The parts of a world as factors of its joint distribution, where all of them are tables."""

import numpy as np

from server.causal.mechanisms.mechanism import TableMechanism, Tables
from server.causal.worlds.assignment import Assignment
from server.causal.worlds.part import Part, certain
from server.causal.worlds.world import World

Factor = tuple[Tables, tuple[str, ...]]  # axes: draws, then the parts that are named


def exact_factors(world: World, *, draws: bool = True) -> list[Factor] | None:
    """Return one factor a part: by the estimate, then by every draw if `draws`.

    None where a part is no table: a regression, or something that values enter.
    """
    found: list[Factor] = []
    for part in world.parts:
        table = _table(world, part, draws=draws)
        if table is None:
            return None
        axes = part.parents if table.ndim > 2 else ()
        found.append((table, (*axes, part.name)))
    return found


def _table(world: World, part: Part, *, draws: bool) -> Tables | None:
    rows = 1 + world.draws if draws else 1
    table, setting, mechanism = part.table, part.setting, part.mechanism
    if isinstance(setting, Assignment):
        table = certain(len(world.study.model_labels(part.node)), setting.code)
    if table is not None:
        return np.broadcast_to(table, (rows, *table.shape))
    if setting is None and isinstance(mechanism, TableMechanism):
        return mechanism.point_and_draws if draws else mechanism.table[None]
    return None
