"""What a plan will be able to say, before anything is spent: the noise of rebuilt family tables."""

from dataclasses import dataclass
from fractions import Fraction
from math import prod, sqrt

from protocol.privacy.allocation import cell_share
from protocol.privacy.plan import StatisticsPlan
from protocol.privacy.residuals import subsets
from protocol.study.families import Population
from protocol.study.graph import Clique
from protocol.study.study import Study


@dataclass(frozen=True, slots=True)
class MechanismExpectation:
    """The noise in the table that one mechanism P(node | parents) is fitted from."""

    node: str
    family: Clique  # parents, then the node
    cells: int
    cell_deviation: float  # standard deviation of one cell, in counts


def expected_errors(study: Study, plan: StatisticsPlan) -> tuple[MechanismExpectation, ...]:
    """Return the noise per mechanism with n_min survivors, in the order of the causal graph.

    More survivors add more noise: with n of them, deviations grow by sqrt(n / n_min).
    """
    return tuple(
        MechanismExpectation(
            node=family.node,
            family=family.clique,
            cells=prod(study.sizes(family.clique)),
            cell_deviation=sqrt(
                cell_variance(plan, family.clique, study.cohort.n_min, family.population)
            ),
        )
        for family in plan.families
        if family.mechanism.uses == "table"
    )


def cell_variance(
    plan: StatisticsPlan, family: Clique, contributors: int, population: Population = "units"
) -> Fraction:
    """Return the noise variance of one cell of the family's rebuilt table, in squared counts.

    sum_{A subset of B} sigma_A^2 prod_A (m_i - 1) / m_i prod_{B minus A} 1 / m_i^2, where
    sigma_A^2 is the variance of a released integer over prod_A m_i^2.
    """
    sizes = plan.block(family, population).shape
    blocks = [plan.block(clique, population) for clique in subsets(family)]
    return sum(
        (
            block.variance(contributors)
            / (block.unit * prod(block.shape)) ** 2
            * cell_share(family, sizes, block.clique)
            for block in blocks
        ),
        start=Fraction(0),
    )
