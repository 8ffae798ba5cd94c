"""What a plan will be able to say, before anything is spent: the noise of rebuilt family tables."""

from dataclasses import dataclass
from fractions import Fraction
from math import prod, sqrt

from protocol.privacy.allocation import cell_share
from protocol.privacy.plan import StatisticsPlan
from protocol.privacy.residuals import subsets
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
            node=family[-1],
            family=family,
            cells=prod(study.sizes(family)),
            cell_deviation=sqrt(cell_variance(plan, family, study.cohort.n_min)),
        )
        for family in plan.families
    )


def cell_variance(plan: StatisticsPlan, family: Clique, contributors: int) -> Fraction:
    """Return the noise variance of one cell of the family's rebuilt table, in squared counts.

    sum_{A subset of B} sigma_A^2 prod_A (m_i - 1) / m_i prod_{B minus A} 1 / m_i^2, where
    sigma_A^2 is the variance of a released integer over prod_A m_i^2.
    """
    sizes = plan.block(family).shape
    return sum(
        (
            plan.block(clique).variance(contributors)
            / prod(plan.block(clique).shape) ** 2
            * cell_share(family, sizes, clique)
            for clique in subsets(family)
        ),
        start=Fraction(0),
    )
