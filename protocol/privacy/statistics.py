"""Which statistics a study needs, with their sensitivity and how much their noise matters.

1. The residual table of every subset of every family fitted to tables, once per population
   (protocol/privacy/residuals.py).
2. A one-way histogram of the parts of bins of every numeric variable with `detail`.
3. Moments of every family fitted to them (protocol/privacy/moments.py).

Of a selection, the scores of its candidates instead of all of these (protocol/privacy/scores.py):
a row changes the score of a candidate by at most PER_FAMILY for each of its differing families.

L2 sensitivity of residuals. One row x adds to the table of A the vector a_x = kron_i (m_i e_{x_i}
- 1), and |a_x|^2 = prod_i ((m_i - 1)^2 + (m_i - 1)) = prod_i m_i (m_i - 1) for every x. A unit of r
rows adds a sum of r such vectors, whose norm is at most r |a_x| by the triangle inequality, and
exactly that when the rows are equal: D^2 = r^2 prod_i m_i (m_i - 1).

Transitions. A unit with T transitions adds each with weight S / T, S = lcm(1, .., visits - 1): by
the same inequality at most S times what one row adds, and exactly that when they are equal.

Noise is planned in persons: sigma^2 is the variance in a statistic divided by `integers`, what one
person adds in integers. Measuring at sigma^2 costs `cost` / (2 sigma^2) of rho.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Literal, TypeAlias

from protocol.errors import UsageError
from protocol.privacy.allocation import WeightedFamily, objective
from protocol.privacy.limits import check_family, check_length, shown
from protocol.privacy.moments import (
    MAX_REGRESSORS,
    MAX_ROWS,
    STEPS,
    TRANSITION_STEPS,
    elements,
)
from protocol.privacy.residuals import subsets
from protocol.privacy.roots import root_below
from protocol.privacy.scores import PER_FAMILY
from protocol.privacy.weights import family_weights
from protocol.study.families import Family, Population
from protocol.study.graph import Clique
from protocol.study.sections import CliqueWeight
from protocol.study.selection import differing_families
from protocol.study.study import Study
from protocol.study.time import BEFORE, FIRST, NOW, transition_unit
from protocol.study.variables import Numeric

BlockKind: TypeAlias = Literal["residual", "histogram", "moments", "scores"]
BlockKey: TypeAlias = tuple[BlockKind, Population, Clique]

# A histogram only places values inside their bins: it is worth less than a family's table.
HISTOGRAM_WEIGHT = Fraction(1, 4)


@dataclass(frozen=True, slots=True)
class WantedStatistic:
    """A statistic before its noise is decided."""

    kind: BlockKind
    population: Population
    clique: Clique
    shape: tuple[int, ...]
    unit: int
    integers_squared: int  # (released integers per person)^2
    squared_sensitivity: int  # D^2 of the released integers
    largest: int  # the most, in size, that one row adds to an element
    coefficient: Fraction  # of sigma^2 in the objective

    @property
    def key(self) -> BlockKey:
        """Return what tells the statistic from all others of a plan."""
        return self.kind, self.population, self.clique

    @property
    def cost(self) -> Fraction:
        """Return 2 rho sigma^2."""
        return Fraction(self.squared_sensitivity, self.integers_squared)


def statistics_of(study: Study) -> tuple[WantedStatistic, ...]:
    """Return the statistics of a study in plan order.

    Raises:
        UsageError: a family or the plan is too large, or the study's weights do not fit.
    """
    if study.candidates:
        return (_scores(study),)
    weights = family_weights(study)
    wanted = (
        *_residuals(study, weights, "units"),
        *(_residuals(study, weights, "transitions") if study.time is not None else ()),
        *_histograms(study),
        *_moments(study, weights),
    )
    return _directed(study.plan.weights, wanted) if study.plan.weights else wanted


def _scores(study: Study) -> WantedStatistic:
    """Return the scores of a selection's candidates; a row changes each family by `PER_FAMILY`."""
    families = differing_families(study.candidates)
    for clique in {clique for found in families.values() for clique in found}:
        check_family(clique, study.sizes(clique))
    changes = [PER_FAMILY * _row_bound(study) * len(found) for found in families.values()]
    most = PER_FAMILY * max(len(found) for found in families.values())
    return WantedStatistic(
        kind="scores",
        population="units",
        clique=(),
        shape=(len(changes),),
        unit=most,
        integers_squared=1,
        squared_sensitivity=sum(change**2 for change in changes),
        largest=most,
        coefficient=Fraction(1),
    )


def _directed(
    weights: Sequence[CliqueWeight], wanted: Sequence[WantedStatistic]
) -> tuple[WantedStatistic, ...]:
    """Return the statistics with the coefficients that a study declares.

    Budget shares are as sqrt(coefficient cost). Those that are not declared are scaled alike, so
    that together they keep their share; a residual table has to be declared.
    """
    declared: dict[BlockKey, Fraction] = {
        (one.kind, one.population, one.clique): Fraction(one.weight) for one in weights
    }
    _check_weights(weights, wanted)
    named = [one for one in wanted if one.key in declared]
    now = sum(root_below(declared[one.key] * one.cost) for one in named)
    before = sum(root_below(one.coefficient * one.cost) for one in named)
    scale = (Fraction(now) / before) ** 2
    return tuple(
        replace(one, coefficient=declared.get(one.key, one.coefficient * scale)) for one in wanted
    )


def _check_weights(weights: Sequence[CliqueWeight], wanted: Sequence[WantedStatistic]) -> None:
    named: Counter[BlockKey] = Counter((one.kind, one.population, one.clique) for one in weights)
    known = {one.key for one in wanted}
    tables = {one.key for one in wanted if one.kind == "residual"}
    wrong = sorted({key for key, count in named.items() if count > 1 or key not in known})
    wrong += sorted(tables - set(named))
    if wrong:
        kind, population, clique = wrong[0]
        raise UsageError(
            "weights-not-the-plan",
            "Expected [plan] weights for every residual table of the study, each once, and for "
            f"nothing that it does not measure; found otherwise for {shown(clique)} ({kind}, "
            f"{population}).",
            "Run `concause study direct` again, or remove the weights.",
        )


def _row_bound(study: Study) -> int:
    return 1 if study.time is not None else study.unit.max_rows_per_unit


def _unit(study: Study, population: Population) -> int:
    return 1 if population == "units" or study.time is None else transition_unit(study.time)


def _residuals(
    study: Study, weights: Mapping[str, Fraction], population: Population
) -> Iterator[WantedStatistic]:
    """Yield the residual tables of a population: the smaller first, then by the graph's order."""
    families = [
        WeightedFamily(family.clique, study.sizes(family.clique), weights[family.node])
        for family in study.families
        if family.mechanism.uses == "table" and family.population == population
    ]
    rank, cliques = _ranks(study), _cliques(families, study)
    coefficients = {(): Fraction(1)} | objective(families)
    unit, rows = _unit(study, population), _row_bound(study)
    for clique in sorted(cliques, key=lambda one: (len(one), [rank[name] for name in one])):
        shape = study.sizes(clique)
        yield WantedStatistic(
            kind="residual",
            population=population,
            clique=clique,
            shape=shape,
            unit=unit,
            integers_squared=(unit * prod(shape)) ** 2,
            squared_sensitivity=(rows * unit) ** 2 * prod(size * (size - 1) for size in shape),
            largest=unit * prod(size - 1 for size in shape),
            coefficient=coefficients[clique],
        )


def _cliques(families: Sequence[WeightedFamily], study: Study) -> set[Clique]:
    """Return all subsets of all families, the empty one always; refused as soon as too many."""
    found: set[Clique] = {()}
    length = 1
    for family in families:
        check_family(family.clique, family.sizes)
        new = set(subsets(family.clique)) - found
        length += sum(prod(study.sizes(clique)) for clique in new)
        check_length(length)
        found |= new
    return found


def _ranks(study: Study) -> dict[str, int]:
    """Return the place of every column: that of the node that it is at visit 0 or 1."""
    nodes = {node: place for place, node in enumerate(study.causal_graph.nodes)}
    columns = {name for family in study.families for name in family.clique}
    return {name: nodes[name.replace(NOW, "[1]").replace(BEFORE, FIRST)] for name in columns}


def _histograms(study: Study) -> Iterator[WantedStatistic]:
    """Yield one per recorded number with parts of bins; what a rule computes needs none."""
    rows = _row_bound(study)
    for name in study.measured_variables:
        variable = study.variables[name]
        if not isinstance(variable, Numeric) or variable.detail == 1:
            continue
        cells = variable.parts
        changing = study.time is not None and name not in study.time.static
        yield WantedStatistic(
            kind="histogram",
            population="units",
            clique=(f"{name}{FIRST}" if changing else name,),
            shape=(cells,),
            unit=1,
            integers_squared=1,
            squared_sensitivity=rows**2,
            largest=1,
            coefficient=HISTOGRAM_WEIGHT * cells,
        )


def _moments(study: Study, weights: Mapping[str, Fraction]) -> Iterator[WantedStatistic]:
    rows = _row_bound(study)
    for family in study.families:
        if family.mechanism.uses != "moments":
            continue
        _check_moments(study, family)
        count = elements(len(family.regressors))
        steps = STEPS if family.population == "units" else TRANSITION_STEPS
        unit = steps**2 * _unit(study, family.population)
        shape = (*study.sizes(family.rows), count)
        yield WantedStatistic(
            kind="moments",
            population=family.population,
            clique=(*family.rows, *family.regressors, family.node),
            shape=shape,
            unit=unit,
            integers_squared=unit**2,
            squared_sensitivity=(rows * unit) ** 2 * count,
            largest=unit,
            coefficient=weights[family.node] * prod(shape),
        )


def _check_moments(study: Study, family: Family) -> None:
    cells, count = prod(study.sizes(family.rows)), len(family.regressors)
    if cells > MAX_ROWS or count > MAX_REGRESSORS:
        raise UsageError(
            "family-too-large",
            f"Expected at most {MAX_ROWS} combinations of levels and {MAX_REGRESSORS} numbers "
            f"among the parents of {family.node!r}, found {cells} and {count}.",
            "Give it fewer parents, or its parents fewer levels.",
        )
