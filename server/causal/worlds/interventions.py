"""Interventions as people write them: a value, a policy, a shift, a lottery, an agent, a capacity.

    do({"treated": 1})                                     hard: everybody is treated
    do({"treated": policy("cd4 < 350 and age < 60")})      dynamic: a rule of covariates
    do({"weight": policy("min(weight, 90)")})              its own name: what it would have been
    do({"weight": shift(-5)})                              everybody 5 lighter than they would be
    do({"treated": randomised(0.4)})                       by lot, with probability .4
    do({"stage": randomised({"I": 0.5, "II": "0.5"})})     probabilities may be rules too
    do({"treated": agent("guideline.py", "treat")})        a function of your own
    do({"treated": capacity(0.2, by="risk")})              the 20 % with the highest score

In a longitudinal study a variable without an index is set at every visit, and rules read x[t],
x[t-1], or a visit by its number; a node that is named itself, x[0], goes before its variable.
Notation of rules: `protocol/study/expression_reader.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from protocol.study.variables import Value

Share: TypeAlias = float | str  # a probability, or a rule that computes one


@dataclass(frozen=True, slots=True)
class Policy:
    """Set to what a rule computes from other variables, and from what the node would have been."""

    value: str


@dataclass(frozen=True, slots=True)
class Shift:
    """Moved by so much from what a number would have been, within its edges."""

    by: float | str


@dataclass(frozen=True, slots=True)
class Randomised:
    """Drawn anew, with these probabilities of levels; one alone is that of a boolean's 1."""

    shares: Share | Mapping[str, Share]


@dataclass(frozen=True, slots=True)
class Agent:
    """Set by a function in a Python file (`agents.py`)."""

    path: Path
    function: str
    reads: Mapping[str, str] | None = None  # variables by the names of its arguments
    sha256: str | None = None  # of the file, if it has to be that one


@dataclass(frozen=True, slots=True)
class Capacity:
    """1 for the share of persons with the highest score, 0 for all others (`capacities.py`)."""

    share: float
    by: str


Intervention: TypeAlias = Value | Policy | Shift | Randomised | Agent | Capacity


def policy(value: str) -> Policy:
    """Return an intervention that sets a node to what a rule says.

    The rule reads any variables that the node does not cause, and under its own name what the
    node would have been.
    """
    return Policy(value)


def shift(by: float | str) -> Shift:
    """Return an intervention that moves a number by so much; a text is a rule."""
    return Shift(by)


def randomised(shares: Share | Mapping[str, Share]) -> Randomised:
    """Return an intervention that draws a node by lot, whatever it would have been."""
    return Randomised(shares)


def agent(path: str | Path, function: str, reads: Mapping[str, str] | None = None) -> Agent:
    """Return an intervention that asks a function in a Python file.

    Its arguments are the variables of the same names, or those that `reads` names for them, as
    read-only arrays: numbers and booleans as float64 (NaN is missing), levels as text. It returns
    an array of as many numbers, booleans or levels, each from the same row alone.
    """
    return Agent(Path(path), function, reads)


def capacity(share: float, by: str) -> Capacity:
    """Return an intervention that sets a boolean to 1 for the `share` with the highest score.

    `by` is a rule. Who reaches the score that this share of the fitted population reaches is
    taken, so that of ties either all are or none is, and never more than the share.
    """
    return Capacity(share, by)
