"""The statistics plan: what sites measure and how much noise they add, as a function of a study.

An ordered list of integer blocks in one flat vector; which ones is decided in
`protocol/privacy/statistics.py`. Exact arithmetic throughout, so that the plan has the same bytes,
and the same hash, at every party.
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
from protocol.privacy.allocation import allocate
from protocol.privacy.conversion import epsilon_of, rho_of
from protocol.privacy.distributed import SMALLEST_SITE_SCALE, sum_rho
from protocol.privacy.limits import (
    MAX_NARROW_SUM,
    check_length,
    check_overflow,
    check_scale,
    largest_sum,
)
from protocol.privacy.roots import root_above
from protocol.privacy.statistics import BlockKey, BlockKind, WantedStatistic, statistics_of
from protocol.secagg.ring import Layout
from protocol.study.families import Family, Population
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
    """One statistic of the plan; nothing in it depends on records.

    A residual table of `clique` (protocol/privacy/residuals.py), a one-way histogram of parts of
    bins, or moments (protocol/privacy/moments.py), whose clique is rows, regressors and node.
    """

    kind: BlockKind
    population: Population
    clique: Clique  # in the order of the causal graph's nodes; () is the row count
    shape: tuple[int, ...]
    offset: int  # of the first element in the flat vector
    unit: int  # what a row adds is a multiple of 1 / unit before it is made an integer
    squared_sensitivity: int  # D^2 of the released integers, row bound included
    site_scale: Fraction  # s of the discrete Gaussian that each site adds; exactly a float
    rho: Fraction  # zCDP of this block at the plan's noise shares
    narrow: bool = False  # whether every sum surely lies in [-2^31, 2^31)

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
    families: tuple[Family, ...]  # one per mechanism, in the order of `Study.families`
    noise_shares: int  # n_min less the tolerated colluders
    delta: Fraction  # where epsilon is read off
    _by_key: Mapping[BlockKey, Block] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_key = {(block.kind, block.population, block.clique): block for block in self.blocks}
        object.__setattr__(self, "_by_key", by_key)

    @property
    def length(self) -> int:
        """Return the number of elements of the flat vector."""
        return sum(block.size for block in self.blocks)

    @property
    def layout(self) -> Layout:
        """Return how the vector travels: narrow blocks are its last."""
        return Layout(self.length, sum(block.size for block in self.blocks if block.narrow))

    @property
    def rho(self) -> Fraction:
        """Return the zCDP of one round: the sum over the blocks."""
        return sum((block.rho for block in self.blocks), start=Fraction(0))

    @property
    def epsilon(self) -> float:
        """Return the epsilon that `rho` is worth at `delta`, for display."""
        return epsilon_of(self.rho, self.delta)

    def block(
        self, clique: Clique, population: Population = "units", kind: BlockKind = "residual"
    ) -> Block:
        """Return the block of a clique.

        Raises:
            KeyError: the plan does not measure it.
        """
        return self._by_key[kind, population, clique]

    def residuals(self, population: Population = "units") -> tuple[Block, ...]:
        """Return the residual tables of a population, in plan order."""
        return tuple(
            block
            for block in self.blocks
            if block.kind == "residual" and block.population == population
        )

    def tables(self, population: Population = "units") -> tuple[Clique, ...]:
        """Return the cliques of the families that are fitted to residual tables, in order."""
        return tuple(
            family.clique
            for family in self.families
            if family.mechanism.uses == "table" and family.population == population
        )

    @property
    def canonical(self) -> bytes:
        """Return the canonical JSON of the plan: integers, and fractions as text."""
        return canonical.encode(
            {
                "format": "concause-plan/1",
                "study": self.study_hash.hex(),
                "families": [_family_document(family) for family in self.families],
                "blocks": [_block_document(block) for block in self.blocks],
                "length": self.length,
                "narrow": self.layout.narrow,
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

    Raises:
        UsageError: a family or the plan is too large, a sum could overflow, the budget is so
            large that a block's noise would fall below scale 3 per site, or the study's weights
            are not those of its residual tables.
    """
    wanted = statistics_of(study)
    check_length(sum(prod(one.shape) for one in wanted))
    budget, delta = budget_of(study.budget)
    _check_spendable(study, wanted, budget, delta)
    plan = StatisticsPlan(
        study_hash=study.hash,
        blocks=tuple(
            _lay_out(study, zip(wanted, _site_scales(study, wanted, budget), strict=True))
        ),
        families=() if study.candidates else study.families,
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


def _site_scales(
    study: Study, wanted: Sequence[WantedStatistic], budget: Fraction
) -> list[Fraction]:
    """Return s >= 3 per statistic, a multiple of 2^-16: n_e s^2 = sigma^2 (integers a person)^2."""
    shares = study.cohort.noise_shares
    places = range(len(wanted))
    shrink = [Fraction(one.integers_squared, shares) for one in wanted]
    variances = allocate(
        {at: wanted[at].coefficient for at in places},
        {at: wanted[at].cost for at in places},
        {at: SMALLEST_SITE_SCALE**2 / shrink[at] for at in places},
        2 * budget * (1 - _RESERVE),
    )
    return [_up(root_above(variances[at] * shrink[at])) for at in places]


def _up(scale: Fraction) -> Fraction:
    return Fraction(ceil(scale * 2**SCALE_BITS), 2**SCALE_BITS)


def _check_spendable(
    study: Study, wanted: Sequence[WantedStatistic], budget: Fraction, delta: Fraction
) -> None:
    """Check that the budget can be spent without a noise scale below 3 per site."""
    least = [(one, Fraction(SMALLEST_SITE_SCALE)) for one in wanted]
    most = sum((block.rho for block in _lay_out(study, least)), start=Fraction(0))
    if budget <= most:
        return
    rho, epsilon = _display_below(float(most)), _display_below(epsilon_of(most, delta))
    raise UsageError(
        "noise-scale-too-small",
        f"Expected noise of scale {SMALLEST_SITE_SCALE} or more per site in every block; found a "
        f"budget of rho = {float(budget):.4g}, of which all {len(wanted)} blocks at that scale, "
        f"from the row count to the largest family, spend only {float(most):.4g}.",
        f"Write rho = {rho} or less, or epsilon = {epsilon} or less with delta = {float(delta):g}; "
        f"or let fewer sites share the noise: n_min - tolerated_colluders is "
        f"{study.cohort.noise_shares}.",
    )


def _display_below(value: float) -> str:
    """Return `value` with three digits, rounded down."""
    step = Decimal(1).scaleb(Decimal(value).adjusted() - 2)
    return f"{Decimal(value).quantize(step, rounding=ROUND_FLOOR):f}"


def _is_narrow(study: Study, one: WantedStatistic, scale: Fraction) -> bool:
    # Scores are compared, in a ring that has room for it.
    return one.kind != "scores" and largest_sum(study, one.largest, scale) < MAX_NARROW_SUM


def _lay_out(study: Study, scales: Iterable[tuple[WantedStatistic, Fraction]]) -> Iterator[Block]:
    offset = 0
    for one, scale in sorted(scales, key=lambda each: _is_narrow(study, *each)):
        check_scale(one.clique, scale)
        most = largest_sum(study, one.largest, scale)
        check_overflow(one.clique, most, of_scores=one.kind == "scores")
        size = prod(one.shape)
        rho = sum_rho(one.squared_sensitivity, size, scale, study.cohort.noise_shares)
        yield Block(
            kind=one.kind,
            population=one.population,
            clique=one.clique,
            shape=one.shape,
            offset=offset,
            unit=one.unit,
            squared_sensitivity=one.squared_sensitivity,
            site_scale=scale,
            rho=rho,
            narrow=_is_narrow(study, one, scale),
        )
        offset += size


def _family_document(family: Family) -> Json:
    return {
        "node": family.node,
        "parents": list(family.parents),
        "population": family.population,
        "statistic": family.mechanism.uses,
        "rows": list(family.rows),
    }


def _block_document(block: Block) -> Json:
    return {
        "kind": block.kind,
        "population": block.population,
        "clique": list(block.clique),
        "shape": list(block.shape),
        "offset": block.offset,
        "unit": block.unit,
        "squared_sensitivity": str(block.squared_sensitivity),
        "site_scale": fraction_text(block.site_scale),
        "rho": fraction_text(block.rho),
    }
