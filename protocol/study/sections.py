"""The parts of a study beside its variables: unit, budget, cohort, trust, graph, questions.

Each part checks itself; what must hold between parts is in `protocol/study/consistency.py`.
"""

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictInt,
    model_validator,
)

from protocol.errors import UsageError
from protocol.identifiers import MAX_SITES
from protocol.study.dagitty import MAX_EDGES
from protocol.study.problems import Problem, StudyProblems, quote, refuse_any
from protocol.study.quantities import (
    MAX_CANONICAL_INTEGER,
    Exact,
    FilledText,
    Slug,
    Text,
    decimal_text,
    exact,
)

MAX_ROWS_PER_UNIT = 1_000_000
MAX_ROWS_PER_SITE = 2**33  # more than there are people
MAX_VISITS = 13  # the weights of transitions are shares of lcm(1, .., visits - 1)
MAX_WEIGHTS = 100_000
DEFAULT_DELTA = Decimal("0.000001")
LARGEST_DELTA = Decimal("0.001")
LARGEST_EPSILON = 100  # a budget above it promises nothing
SMALLEST_RHO = Decimal("0.000000001")

_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def _calendar_day(value: object) -> object:
    text = isinstance(value, str) and _DAY.fullmatch(value)
    if text or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    raise StudyProblems([Problem((), "a date", quote(value), "2030-12-31, without a time")])


Day: TypeAlias = Annotated[date, BeforeValidator(_calendar_day)]


def _level(value: object) -> object:
    return value if isinstance(value, str | int) else exact(value)


# A label of the treatment, or a number that one of its labels stands for; bool is an int.
Level: TypeAlias = Annotated[str | int | Decimal, PlainValidator(_level)]


def _hex_digest(value: object) -> object:
    if isinstance(value, str) and _HEX_DIGEST.fullmatch(value):
        return value
    raise StudyProblems(
        [Problem((), "a hash in 64 hexadecimal digits", quote(value), "what `study check` prints")]
    )


HexDigest: TypeAlias = Annotated[str, BeforeValidator(_hex_digest)]


def _sorted(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(names))


Sorted: TypeAlias = Annotated[tuple[str, ...], AfterValidator(_sorted)]


class Section(BaseModel):
    """A table of the study: immutable, and closed to unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Unit(Section):
    """Whose presence in the data is protected: by default one person.

    `max_rows_per_site` is a public promise: a site that holds more takes no part. What is surely
    small then travels in half the bytes (SPEC 9.8).
    """

    name: FilledText = "person"
    max_rows_per_unit: StrictInt = Field(default=1, ge=1, le=MAX_ROWS_PER_UNIT)
    max_rows_per_site: StrictInt | None = Field(default=None, ge=1, le=MAX_ROWS_PER_SITE)


class Budget(Section):
    """The most that one round may cost a unit: (epsilon, delta), or rho of zCDP.

    With rho, delta is only where the equivalent epsilon is read off.
    """

    epsilon: Exact | None = Field(default=None, gt=0, le=LARGEST_EPSILON)
    delta: Exact | None = Field(default=None, gt=0, le=LARGEST_DELTA)
    rho: Exact | None = Field(default=None, ge=SMALLEST_RHO, le=LARGEST_EPSILON)

    @model_validator(mode="after")
    def _one_form(self) -> "Budget":
        given = [name for name in ("epsilon", "delta", "rho") if getattr(self, name) is not None]
        if given not in (["epsilon", "delta"], ["delta", "rho"], ["rho"]):
            raise StudyProblems(
                [
                    Problem(
                        (),
                        "epsilon with delta, or rho alone or with delta",
                        " and ".join(given) or "none of them",
                        "epsilon = 1.0 and delta = 1e-6",
                    )
                ]
            )
        return self

    @property
    def delta_or_default(self) -> Decimal:
        """Return delta; 1e-6 where the study gives rho alone."""
        return DEFAULT_DELTA if self.delta is None else self.delta


class Cohort(Section):
    """How many sites must take part, how many may collude, how many suffice to unmask."""

    n_min: StrictInt = Field(ge=2, le=MAX_SITES)
    tolerated_colluders: StrictInt = Field(ge=0, le=MAX_SITES)
    threshold: StrictInt = Field(ge=2, le=MAX_SITES)

    @model_validator(mode="after")
    def _possible(self) -> "Cohort":
        n_min, colluders, threshold = self.n_min, self.tolerated_colluders, self.threshold
        problems = []
        if colluders >= n_min:
            problems.append(
                Problem(("tolerated_colluders",), f"less than n_min = {n_min}", str(colluders), "0")
            )
        if threshold > n_min:
            problems.append(
                Problem(("threshold",), f"at most n_min = {n_min}", str(threshold), str(n_min))
            )
        if 2 * threshold <= n_min + colluders:
            least = (n_min + colluders) // 2 + 1
            problems.append(
                Problem(
                    ("threshold",),
                    "2 threshold > n_min + tolerated_colluders",
                    str(threshold),
                    f"{least}" if least <= n_min else "fewer tolerated_colluders",
                )
            )
        refuse_any(problems)
        return self

    @property
    def noise_shares(self) -> int:
        """Return how many sites' noise is counted on: the smallest cohort less the colluders."""
        return self.n_min - self.tolerated_colluders

    @property
    def most_sites(self) -> int:
        """Return the largest roster that can run this study: 2t > n + c, and 200."""
        return min(MAX_SITES, 2 * self.threshold - self.tolerated_colluders - 1)

    def check_roster_size(self, sites: int) -> None:
        """Check that a roster of `sites` can run this study: n_min <= n and 2t > n + c.

        Raises:
            UsageError: it cannot.
        """
        if sites < self.n_min:
            raise UsageError(
                "roster-too-small",
                f"Expected at least n_min = {self.n_min} sites in the roster, found {sites}.",
                "Add sites, or lower cohort.n_min in the study.",
            )
        if 2 * self.threshold <= sites + self.tolerated_colluders:
            raise UsageError(
                "threshold-too-low",
                f"Expected 2 threshold > sites + tolerated_colluders, found threshold "
                f"{self.threshold} with {sites} sites and {self.tolerated_colluders} colluders.",
                f"Write threshold = {(sites + self.tolerated_colluders) // 2 + 1} or more, and "
                "n_min at least as large, in the study.",
            )


class Trust(Section):
    """How the sum is computed without showing any site's part of it."""

    aggregation: Literal["masking", "aggregators"]


class GraphSource(Section):
    """The arrows of the causal graph, as a list or as dagitty text.

    Nodes named in `latent` are causes that nobody measures; `a <-> b` is one without a name.
    Mechanisms of those in `site_specific` are expected to differ from place to place.
    """

    edges: tuple[str, ...] | None = Field(default=None, max_length=MAX_EDGES)
    dagitty: str | None = None
    latent: Sorted = ()
    site_specific: Sorted = ()

    @model_validator(mode="after")
    def _one_notation(self) -> "GraphSource":
        if (self.edges is None) == (self.dagitty is None):
            found = "neither" if self.edges is None else "both"
            raise StudyProblems(
                [Problem((), "edges or dagitty", found, 'edges = ["a -> b"], or dagitty = "..."')]
            )
        return self


class Published(Section):
    """What the literature says about a question, printed beside the study's own answer."""

    low: Exact
    high: Exact
    source: FilledText

    @model_validator(mode="after")
    def _ordered(self) -> "Published":
        if self.low > self.high:
            found = f"{decimal_text(self.low)} above {decimal_text(self.high)}"
            raise StudyProblems([Problem((), "low at most high", found, "them exchanged")])
        return self


# What of the outcome is compared: a mean; or of a survival outcome the share with the event by
# the last edge, the mean time without event up to it, or the ratio of hazards.
Measure: TypeAlias = Literal["mean", "risk", "restricted-mean", "hazard-ratio"]


class Time(Section):
    """Visits of a longitudinal study: a unit has at most one row per visit 0, 1, 2, ...

    Variables named in `static` are the same at every visit; all others have a value per visit.
    """

    visits: StrictInt = Field(ge=2, le=MAX_VISITS)
    static: Sorted = ()


class CliqueWeight(Section):
    """How much the noise of one block matters: its coefficient in the allocation.

    Blocks are named as in the plan (`protocol/privacy/plan.py`).
    """

    clique: tuple[str, ...]
    population: Literal["units", "transitions"] = "units"
    kind: Literal["residual", "histogram", "moments"] = "residual"
    weight: Exact = Field(gt=0, le=1_000_000)


def _ordered(weights: tuple[CliqueWeight, ...]) -> tuple[CliqueWeight, ...]:
    return tuple(sorted(weights, key=lambda one: (one.kind, one.population, one.clique)))


class PlanSection(Section):
    """Budget directed at the questions; written by `concause study direct`, read by everybody.

    `follows` is the hash of an earlier study on the same records, whose sum is combined with
    this one's. `weights`, if given, has an entry for every residual table of the plan; blocks of
    other kinds keep the share of the budget that they have without weights, unless they are named.
    """

    follows: HexDigest | None = None
    weights: Annotated[tuple[CliqueWeight, ...], AfterValidator(_ordered)] = Field(
        default=(), max_length=MAX_WEIGHTS
    )


class Question(Section):
    """The average effect on `outcome` of setting `treatment` to `treated` against `reference`.

    The outcome need not be a descendant of the treatment: then the graph says that the effect
    is zero, and the question gets no weight in the plan.
    """

    name: Slug
    kind: Literal["average"]
    measure: Measure = "mean"
    treatment: str
    treated: Level
    reference: Level
    outcome: str
    weight: Exact = Field(default=Decimal(1), gt=0, le=1000)
    published: Published | None = None
    label: Text = ""


class Synthetic(Section):
    """How much synthetic data a release holds, and the seed that it is drawn with.

    With several copies each is drawn from another plausible set of parameters, so that what is
    computed from them can be combined into honest intervals
    (`server/causal/synthetic/combining.py`).
    """

    copies: StrictInt = Field(default=1, ge=1, le=100)
    rows: StrictInt = Field(default=10_000, ge=1, le=1_000_000_000)
    seed: StrictInt = Field(default=1, ge=0, le=MAX_CANONICAL_INTEGER)
