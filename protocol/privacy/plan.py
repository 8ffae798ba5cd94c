"""The statistics plan: what sites measure and how much noise they add, as a function of a study.

An ordered list of integer blocks in one flat vector: the row count, then the residual table of
every subset of every family, once. Exact arithmetic throughout, so that the plan has the same
bytes, and the same hash, at every party.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from math import ceil, prod

from protocol import canonical
from protocol.canonical import Json, fraction_text
from protocol.errors import UsageError
from protocol.identifiers import Digest
from protocol.privacy.allocation import WeightedFamily, allocate, cost, objective
from protocol.privacy.conversion import epsilon_of, rho_of
from protocol.privacy.distributed import SMALLEST_SITE_SCALE, sum_rho
from protocol.privacy.limits import check_family, check_length, check_overflow, check_scale
from protocol.privacy.residuals import subsets
from protocol.privacy.roots import root_above
from protocol.privacy.weights import family_weights
from protocol.study.graph import Clique
from protocol.study.sections import Budget
from protocol.study.study import Study

SCALE_BITS = 16
LARGEST_UNSPENT = Fraction(1, 10_000)  # what rounding scales up may leave of a budget

# The part of the budget that is held back, so that rounding and the tau terms of proposition 14
# (below 2^-90 together) never take the sum of costs over it.
_RESERVE = Fraction(1, 2**32)


@dataclass(frozen=True, slots=True)
class Block:
    """One residual table of the plan; nothing in it depends on records."""

    clique: Clique  # in the order of the causal graph's nodes; () is the row count
    shape: tuple[int, ...]
    offset: int  # of the first element in the flat vector
    squared_sensitivity: int  # D^2 of the released integers, row bound included
    site_scale: Fraction  # s of the discrete Gaussian that each site adds; exactly a float
    rho: Fraction  # zCDP of this block at the plan's noise shares

    @property
    def size(self) -> int:
        """Return the number of elements."""
        return prod(self.shape)

    @property
    def span(self) -> slice:
        """Return where the block lies in the flat vector."""
        return slice(self.offset, self.offset + self.size)

    def variance(self, contributors: int) -> Fraction:
        """Return the noise variance of one released integer of the sum over `contributors`."""
        return contributors * self.site_scale**2


@dataclass(frozen=True, slots=True)
class StatisticsPlan:
    """All blocks of a study, their place, noise and cost."""

    study_hash: Digest
    blocks: tuple[Block, ...]
    families: tuple[Clique, ...]  # one per node, in the order of the causal graph
    noise_shares: int  # n_min less the tolerated colluders
    delta: Fraction  # where epsilon is read off
    _by_clique: Mapping[Clique, Block] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_clique = {block.clique: block for block in self.blocks}
        object.__setattr__(self, "_by_clique", by_clique)

    @property
    def length(self) -> int:
        """Return the number of elements of the flat vector."""
        return sum(block.size for block in self.blocks)

    @property
    def rho(self) -> Fraction:
        """Return the zCDP of one round: the sum over the blocks."""
        return sum((block.rho for block in self.blocks), start=Fraction(0))

    @property
    def epsilon(self) -> float:
        """Return the epsilon that `rho` is worth at `delta`, for display."""
        return epsilon_of(self.rho, self.delta)

    def block(self, clique: Clique) -> Block:
        """Return the block of a clique.

        Raises:
            KeyError: the plan does not measure it.
        """
        return self._by_clique[clique]

    @property
    def canonical(self) -> bytes:
        """Return the canonical JSON of the plan: integers, and fractions as text."""
        return canonical.encode(
            {
                "format": "concause-plan/1",
                "study": self.study_hash.hex(),
                "families": [list(family) for family in self.families],
                "blocks": [_block_document(block) for block in self.blocks],
                "length": self.length,
                "noise_shares": self.noise_shares,
                "rho": fraction_text(self.rho),
                "delta": fraction_text(self.delta),
            }
        )

    @property
    def hash(self) -> Digest:
        """Return the SHA-256 of the canonical JSON."""
        return Digest(hashlib.sha256(self.canonical).digest())


def compile_plan(study: Study) -> StatisticsPlan:
    """Return the plan of a study: what is measured, at which cost, within its budget.

    L2 sensitivity. One row x adds to the table of A the vector a_x = kron_i (m_i e_{x_i} - 1),
    and |a_x|^2 = prod_i ((m_i - 1)^2 + (m_i - 1)) = prod_i m_i (m_i - 1) for every x. A unit of r
    rows adds a sum of r such vectors, whose norm is at most r |a_x| by the triangle inequality,
    and exactly that when the rows are equal: D^2 = r^2 prod_i m_i (m_i - 1).

    Raises:
        UsageError: a family or the plan is too large, a sum could overflow, or the budget is so
            large that a block's noise would fall below scale 3 per site.
    """
    families = _weighted_families(study)
    cliques = _cliques(study, families)
    budget, delta = budget_of(study.budget)
    _check_spendable(study, cliques, budget, delta)
    scales = _site_scales(study, families, budget)
    plan = StatisticsPlan(
        study_hash=study.hash,
        blocks=tuple(_lay_out(study, [(clique, scales[clique]) for clique in cliques])),
        families=tuple(family.clique for family in families),
        noise_shares=study.cohort.noise_shares,
        delta=delta,
    )
    check_within_budget(plan, budget)
    return plan


def budget_of(budget: Budget) -> tuple[Fraction, Fraction]:
    """Return (rho, delta) of a study's budget."""
    delta = Fraction(budget.delta_or_default)
    if budget.rho is not None:
        return Fraction(budget.rho), delta
    return rho_of(Fraction(budget.epsilon or 0), delta), delta


def check_within_budget(plan: StatisticsPlan, budget: Fraction) -> None:
    """Check the accounting itself: the blocks cost at most the budget, and no less than 0.9999.

    Raises:
        AssertionError: they do not, which is a bug of ours.
    """
    if not budget * (1 - LARGEST_UNSPENT) <= plan.rho <= budget:
        raise AssertionError(f"blocks cost {float(plan.rho)} of a budget of {float(budget)}")


def _weighted_families(study: Study) -> tuple[WeightedFamily, ...]:
    weights = family_weights(study)
    families = tuple(
        WeightedFamily(family, study.sizes(family), weights[family[-1]])
        for family in study.causal_graph.families()
    )
    for family in families:
        check_family(family.clique, family.sizes)
    return families


def _cliques(study: Study, families: Sequence[WeightedFamily]) -> list[Clique]:
    """Return every subset of every family once: the smaller first, then by the graph's order."""
    rank = {node: position for position, node in enumerate(study.causal_graph.nodes)}
    found = {clique for family in families for clique in subsets(family.clique)}
    check_length(sum(prod(study.sizes(clique)) for clique in found))
    return sorted(found, key=lambda clique: (len(clique), [rank[name] for name in clique]))


def _site_scales(
    study: Study, families: Sequence[WeightedFamily], budget: Fraction
) -> dict[Clique, Fraction]:
    """Return s >= 3 per clique, a multiple of 2^-16: n_e s^2 = sigma_A^2 prod_i m_i^2."""
    coefficients = objective(families)
    costs = {clique: cost(study.sizes(clique)) for clique in coefficients}
    shrink = {
        clique: Fraction(prod(study.sizes(clique)) ** 2, study.cohort.noise_shares)
        for clique in coefficients
    }  # site scale squared over sigma_A^2
    floors = {clique: SMALLEST_SITE_SCALE**2 / factor for clique, factor in shrink.items()}
    total = 2 * budget * (1 - _RESERVE) / study.unit.max_rows_per_unit**2
    variances = allocate(coefficients, costs, floors, total)
    return {clique: _up(root_above(variances[clique] * shrink[clique])) for clique in coefficients}


def _up(scale: Fraction) -> Fraction:
    return Fraction(ceil(scale * 2**SCALE_BITS), 2**SCALE_BITS)


def _check_spendable(
    study: Study, cliques: Iterable[Clique], budget: Fraction, delta: Fraction
) -> None:
    """Check that the budget can be spent without a noise scale below 3 per site."""
    least = [(clique, Fraction(SMALLEST_SITE_SCALE)) for clique in cliques]
    most = sum((block.rho for block in _lay_out(study, least)), start=Fraction(0))
    if budget <= most:
        return
    rho, epsilon = _display_below(float(most)), _display_below(epsilon_of(most, delta))
    raise UsageError(
        "noise-scale-too-small",
        f"Expected noise of scale {SMALLEST_SITE_SCALE} or more per site in every block; found a "
        f"budget of rho = {float(budget):.4g}, of which all {len(least)} blocks at that scale, "
        f"from the row count to the largest family, spend only {float(most):.4g}.",
        f"Write rho = {rho} or less, or epsilon = {epsilon} or less with delta = {float(delta):g}; "
        f"or let fewer sites share the noise: n_min - tolerated_colluders is "
        f"{study.cohort.noise_shares}.",
    )


def _display_below(value: float) -> str:
    """Return `value` with three digits, rounded down."""
    step = Decimal(1).scaleb(Decimal(value).adjusted() - 2)
    return f"{Decimal(value).quantize(step, rounding=ROUND_FLOOR):f}"


def _lay_out(study: Study, scales: Iterable[tuple[Clique, Fraction]]) -> Iterator[Block]:
    offset = 0
    rows, shares = study.unit.max_rows_per_unit, study.cohort.noise_shares
    for clique, scale in scales:
        shape = study.sizes(clique)
        check_scale(clique, scale)
        check_overflow(clique, shape, rows, scale)
        squared = rows**2 * prod(size * (size - 1) for size in shape)
        rho = sum_rho(squared, prod(shape), scale, shares)
        yield Block(clique, shape, offset, squared, scale, rho)
        offset += prod(shape)


def _block_document(block: Block) -> Json:
    return {
        "clique": list(block.clique),
        "shape": list(block.shape),
        "offset": block.offset,
        "squared_sensitivity": str(block.squared_sensitivity),
        "site_scale": fraction_text(block.site_scale),
        "rho": fraction_text(block.rho),
    }
