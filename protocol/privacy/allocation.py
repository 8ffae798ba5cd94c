"""How much noise each residual table gets: the optimal share of the budget, in closed form.

Xiao et al. 2023, section 5, for a weighted sum of variances. Notation, for a clique A of
variables with sizes m_i:

    sigma_A^2   variance of the component's cells before centring, in counts
    p_A         prod_{i in A} (m_i - 1) / m_i: measuring A costs p_A / (2 sigma_A^2) of rho, times
                r^2 for a unit of at most r rows
    v_A         coefficient of sigma_A^2 in the objective
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import TypeVar

from protocol.privacy.residuals import subsets
from protocol.privacy.roots import root_below
from protocol.study.graph import Clique

Key = TypeVar("Key", bound=Hashable)  # of a statistic


@dataclass(frozen=True, slots=True)
class WeightedFamily:
    """A family of the graph, its sizes, and how much its table matters."""

    clique: Clique
    sizes: tuple[int, ...]
    weight: Fraction


def cost(sizes: Iterable[int]) -> Fraction:
    """Return p_A of a clique with these sizes."""
    return prod((Fraction(size - 1, size) for size in sizes), start=Fraction(1))


def cell_share(family: Clique, sizes: Sequence[int], clique: Clique) -> Fraction:
    """Return the coefficient of sigma_A^2 in the variance of one cell of the family's table.

    prod_{i in A} (m_i - 1) / m_i prod_{i in B minus A} 1 / m_i^2, for A = `clique`, B = `family`.
    """
    return prod(
        (
            Fraction(size - 1, size) if name in clique else Fraction(1, size**2)
            for name, size in zip(family, sizes, strict=True)
        ),
        start=Fraction(1),
    )


def objective(families: Iterable[WeightedFamily]) -> dict[Clique, Fraction]:
    """Return v_A for every subset A of every family: sum_B w_B (variance of B's cells, summed)."""
    coefficients: dict[Clique, Fraction] = {}
    for family in families:
        cells = family.weight * prod(family.sizes)
        for clique in subsets(family.clique):
            share = cells * cell_share(family.clique, family.sizes, clique)
            coefficients[clique] = coefficients.get(clique, Fraction(0)) + share
    return coefficients


def allocate(
    coefficients: Mapping[Key, Fraction],
    costs: Mapping[Key, Fraction],
    floors: Mapping[Key, Fraction],
    total: Fraction,
) -> dict[Key, Fraction]:
    """Return sigma_A^2 >= floor_A minimising sum v_A sigma_A^2 under sum p_A / sigma_A^2 = total.

    Without floors, by Cauchy-Schwarz: sigma_A^2 = sqrt(p_A / v_A) sum_A' sqrt(v_A' p_A') / total.
    Cliques that would fall below their floor stay at it, and what they leave goes to the others;
    that only lowers the others, so that each round settles its cliques for good (the conditions
    of Karush, Kuhn and Tucker for this convex problem). Roots are rounded down, by 2^-64.

    With a total that all floors together cannot spend, every clique is at its floor.
    """
    roots = {clique: root_below(v * costs[clique]) for clique, v in coefficients.items()}
    settled: dict[Key, Fraction] = {}
    while True:
        free = [clique for clique in coefficients if clique not in settled]
        left = total - sum(costs[clique] / floor for clique, floor in settled.items())
        factor = sum((roots[clique] for clique in free), start=Fraction(0)) / left
        optimum = {clique: factor * costs[clique] / roots[clique] for clique in free}
        low = {clique: floors[clique] for clique in free if optimum[clique] < floors[clique]}
        if not low:
            return optimum | settled
        settled |= low
