"""Worlds in which mediators see another treatment than the outcome does."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from server.causal.mediation.paths import Carriers
from server.causal.worlds.assembly import finished
from server.causal.worlds.part import Part
from server.causal.worlds.world import World

MEDIATED, DRAWN = "/mediated", "/drawn"


def natural_world(direct: World, mediated: World, treated: Collection[str], by: Carriers) -> World:
    """Return the world of Y(t, M(t')): `direct` is that of t, `mediated` that of t'.

    The noise is the same for everybody: mediators are what they would have been under t'.
    """
    seen = {node: node + MEDIATED for node in treated}
    parts = [_seeing(part, seen) if part.node in by.mediated else part for part in direct.parts]
    return _with(direct, [*parts, *_treatments(mediated, seen)])


def interventional_world(
    direct: World,
    mediated: World,
    treated: Collection[str],
    by: Carriers,
    mediators: Collection[str],
) -> World:
    """Return the world of Y(t, G(t')): mediators are drawn anew, as under t' for such persons.

    G is a draw from the joint distribution of the mediators under t' given all that the treatment
    does not change: with noise of its own, so that it knows nothing else of the person
    (VanderWeele, Vansteelandt and Robins 2014).
    """
    seen = {node: node + MEDIATED for node in treated}
    drawn = {node: node + DRAWN for node in by.mediated}
    copies = [
        replace(
            _seeing(part, {**seen, **drawn}),
            name=drawn[part.name],
            stream=part.stream + DRAWN,
        )
        for part in mediated.parts
        if part.name in drawn
    ]
    given = {node: drawn[node] for node in mediators}
    carried = by.mediated | by.direct
    parts = [_seeing(part, given) if part.node in carried else part for part in direct.parts]
    return _with(direct, [*parts, *copies, *_treatments(mediated, seen)])


def _seeing(part: Part, instead: Mapping[str, str]) -> Part:
    """Return a part with other parents in place of some."""
    return replace(part, parents=tuple(instead.get(parent, parent) for parent in part.parents))


def _treatments(mediated: World, seen: Mapping[str, str]) -> list[Part]:
    """Return what the treated nodes are set to for the mediators, under names of their own."""
    return [replace(mediated.by_name[node], name=name, stream=name) for node, name in seen.items()]


def _with(world: World, parts: list[Part]) -> World:
    return World(world.study, world.placements, world.draws, finished(world.study, parts))
