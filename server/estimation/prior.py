"""What is believed of a population before a round: one or several sets of tables, and its size.

From a model that was released before, or neutral: tables drawn at random over the declared graph,
so that nothing about the answer is taken for granted but the graph. Averages over such sets say
where noise would hurt in a typical population with this graph.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator, Philox

from protocol.errors import UsageError
from protocol.study.study import Study
from server.causal.mechanisms.mechanism import TableMechanism, Tables

if TYPE_CHECKING:
    from server.causal.model import Model  # pandas is slow to load

NEUTRAL_SETS = 8
NEUTRAL_CONCENTRATION = 1.0  # of each code: any distribution of a row is as likely as another


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """Tables of all mechanisms that have one, each of the same number of sets."""

    tables: Mapping[str, Tables]  # shape (sets, parents' model sizes .., model size)
    persons: float

    @property
    def sets(self) -> int:
        """Return the number of sets of tables."""
        return len(next(iter(self.tables.values()), ()))


def prior_of(model: "Model") -> Prior:
    """Return the point estimate of a released model, with its estimated number of persons."""
    found = {
        node: mechanism
        for node, mechanism in model.mechanisms.items()
        if isinstance(mechanism, TableMechanism)
    }
    persons = max((float(one.support.sum()) for one in found.values()), default=1.0)
    return Prior({node: one.table[None] for node, one in found.items()}, max(persons, 1.0))


def neutral_prior(study: Study, persons: float) -> Prior:
    """Return random tables for every node: rows uniform over all distributions.

    A function of the study's graph and domains alone: every node has a generator of its own,
    named after it. Nodes whose mechanism is no table have none.

    Raises:
        UsageError: fewer than one person.
    """
    if not persons >= 1:
        raise UsageError(
            "too-few-persons",
            f"Expected at least 1 person, found {persons:g}.",
            "Give the number of persons that all sites together will have.",
        )
    tables = {}
    for node in study.mechanism_graph.nodes:
        if study.family_of(node).mechanism.uses == "table":
            *rows, size = study.model_sizes(study.mechanism_graph.family(node))
            shares = np.full(size, NEUTRAL_CONCENTRATION)
            drawn = _generator(node).dirichlet(shares, size=(NEUTRAL_SETS, prod(rows)))
            tables[node] = drawn.reshape(NEUTRAL_SETS, *rows, size)
    return Prior(tables, persons)


def _generator(node: str) -> Generator:
    digest = hashlib.sha256(f"{node}/neutral".encode()).digest()
    return Generator(Philox(key=np.frombuffer(digest[:16], dtype="<u8")))
