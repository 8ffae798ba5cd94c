"""What every arm is asked on: a study, records, questions, and the truth. The interfaces live here.

A world is a population whose effects are known: a network with known parameters, or real data
with effects that the literature accepts. An arm is one way to answer its questions under
differential privacy. Arms see records and the study, never the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from protocol.study.study import Study

Codes = NDArray[np.int64]  # shape (rows, nodes), in the order of the causal graph's nodes
Values = NDArray[np.float64]  # shape (rows, nodes), what numeric variables were before binning
Effects = NDArray[np.float64]  # shape (contrasts,)
Marginal = NDArray[np.float64]  # shape of a family (parents' sizes .., size), sums to 1


@dataclass(frozen=True, slots=True)
class Sites:
    """Who adds noise: the cohort of the study, and how many take part in the round."""

    n_min: int
    tolerated_colluders: int
    threshold: int
    contributors: int

    @property
    def cohort(self) -> str:
        """Return the study's table `cohort`, as inline TOML."""
        return (
            f"{{ n_min = {self.n_min}, tolerated_colluders = {self.tolerated_colluders},"
            f" threshold = {self.threshold} }}"
        )


TEN_SITES = Sites(n_min=8, tolerated_colluders=1, threshold=6, contributors=10)
CENTRAL = Sites(n_min=2, tolerated_colluders=1, threshold=2, contributors=1)  # one share of noise
DELTA = "0.000001"


@dataclass(frozen=True, slots=True)
class Contrast:
    """The effect of setting `treatment` to one code against another on the mean of `scores`.

    `scores` has one number per code of the outcome, in [0, 1]: ranks or bin midpoints brought to
    that range, or 1 for one level and 0 for the others; nan for codes without a number (MISSING,
    OTHER), which are left out of the mean.
    """

    treatment: str
    outcome: str
    treated: int
    reference: int
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Records of persons: codes for table mechanisms, raw values where there are any."""

    codes: Codes
    values: Values | None = None

    def part(self, rows: slice) -> "Records":
        """Return some of the persons."""
        return Records(self.codes[rows], None if self.values is None else self.values[rows])


class World(Protocol):
    """A population with known effects."""

    @property
    def name(self) -> str:
        """Return a short name, for tables and file names."""
        ...

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """Return the questions."""
        ...

    @property
    def truth(self) -> Effects:
        """Return the true effect of every contrast."""
        ...

    @property
    def marginals(self) -> Sequence[Marginal]:
        """Return the population's family tables in the order of nodes; empty where unknown."""
        ...

    def study(self, epsilon: float, sites: Sites) -> Study:
        """Return the study with this budget (delta is DELTA) and this cohort."""
        ...

    def records(self, rows: int, seed: int) -> Records:
        """Return `rows` persons of the population; the same ones for the same seed."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What an arm says. Intervals are nominal 95 %, nan where the arm has none."""

    effects: Effects
    low: Effects
    high: Effects
    marginals: Sequence[Marginal]  # of every family, in the order of the graph's nodes
    seconds: float  # wall time from what was released to a model (or rows), without the effects


class Arm(Protocol):
    """One way to answer."""

    @property
    def name(self) -> str:
        """Return a short name, for tables and file names."""
        ...

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the folders and files whose change makes results of this arm stale."""
        ...

    def fit(self, world: World, records: Records, epsilon: float, seed: int) -> Answer:
        """Return the arm's answer from records, within (epsilon, DELTA) for one person."""
        ...
