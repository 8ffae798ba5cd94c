"""Which mechanisms are the same in several groups of sites, and may be carried from one to another.

Each group has had a round of its own over at least two sites, so that nothing is known of one site
alone. A mechanism P(node | causes) is the same in all groups if the node is independent of the
group given its causes; the statistic is that of `independence.py` with the group in the place of
x, and replicates have the noise of each group's own round.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UsageError
from protocol.study.problems import listed
from protocol.study.study import Study
from server.estimation.combination import check_same_counts
from server.estimation.evidence import NoisySum
from server.evaluation.independence import shares_along, statistic, visible
from server.evaluation.replicates import REPLICATES, NoisyTable, compared, holm, released

Reals: TypeAlias = NDArray[Any]  # float64
Verdict: TypeAlias = Literal["site-specific", "shared", "too noisy to tell"]

SIGNIFICANCE = 0.05
MODERATE = 0.1  # Cramer's V


@dataclass(frozen=True, slots=True)
class Group:
    """A round over some sites: the study that it was run for, who was in it, and its sum."""

    name: str
    study: Study
    sites: frozenset[bytes]  # keys of those in the sum
    noisy: NoisySum


@dataclass(frozen=True, slots=True)
class MechanismInvariance:
    """Whether one mechanism is the same in all groups."""

    node: str
    p: float
    adjusted: float
    strength: float
    detectable: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Invariance:
    """Whether each mechanism is the same in all groups."""

    groups: tuple[str, ...]
    mechanisms: tuple[MechanismInvariance, ...]

    @property
    def specific(self) -> tuple[str, ...]:
        """Return the nodes whose mechanisms differ: what `transport` takes from the target."""
        return tuple(one.node for one in self.mechanisms if one.verdict == "site-specific")

    @property
    def text(self) -> str:
        """Return the result in words."""
        unsure = [one.node for one in self.mechanisms if one.verdict == "too noisy to tell"]
        found = f"{len(self.mechanisms)} mechanisms compared in {listed(self.groups)}: "
        differ = f"{listed(self.specific)} differ" if self.specific else "none differs"
        rest = f"; too noisy to tell for {listed(unsure)}" if unsure else ""
        return f"{found}{differ}{rest}."

    def to_json(self) -> dict[str, object]:
        """Return the comparison as a JSON object."""
        names = MechanismInvariance.__slots__
        return {
            "groups": list(self.groups),
            "mechanisms": [{name: getattr(one, name) for name in names} for one in self.mechanisms],
            "specific": list(self.specific),
            "text": self.text,
        }


def check_invariance(groups: Sequence[Group]) -> Invariance:
    """Return which mechanisms of tables are the same in all groups.

    Raises:
        UsageError: fewer than two groups, a group of one site, a site in two of them, or studies
            that do not count the same.
    """
    _check(groups)
    study = groups[0].study
    families = [
        family
        for family in study.families
        if family.mechanism.uses == "table" and family.population == groups[0].noisy.population
    ]
    sums = [released(group.noisy) for group in groups]
    found = []
    for family in families:
        tables = [data.table(family.clique) for data in sums]
        found.append(_compared(tables, [data.generator(family.node) for data in sums]))
    adjusted = holm([p for p, _, _ in found])
    mechanisms = [
        MechanismInvariance(family.node, p, own, strength, detectable, _verdict(own, detectable))
        for family, own, (p, strength, detectable) in zip(families, adjusted, found, strict=True)
    ]
    return Invariance(tuple(group.name for group in groups), tuple(mechanisms))


def _verdict(adjusted: float, detectable: float) -> Verdict:
    if adjusted < SIGNIFICANCE:
        return "site-specific"
    return "too noisy to tell" if detectable > MODERATE else "shared"


def _compared(
    tables: Sequence[NoisyTable], generators: Sequence[np.random.Generator]
) -> tuple[float, float, float]:
    """Return p, strength and what could be found, of one family in all groups."""
    noise = float(np.mean([table.cell_noise for table in tables]))
    together = np.sum([table.counts for table in tables], axis=0)
    pooled = shares_along(together, -1, noise * len(tables))
    drawn = [
        table.replicates(_with_rows(table, pooled), REPLICATES, generator)
        for table, generator in zip(tables, generators, strict=True)
    ]
    own = np.stack([table.counts for table in tables])[None]
    every = np.concatenate([own, np.stack(drawn, axis=1)])  # table, group, causes .., node
    statistics = statistic(np.moveaxis(every, 1, -2), noise)
    found = compared(float(statistics[0]), statistics[1:])
    levels = every.shape[-1]
    expected = np.stack([_with_rows(table, pooled) * table.persons for table in tables])
    scale = expected.sum() * max(min(len(tables), levels) - 1, 1) * visible(expected, noise)
    return (
        found.p,
        float(np.sqrt(min(found.excess / scale, 1.0))),
        float(np.sqrt(min(found.detectable / scale, 1.0))),
    )


def _with_rows(table: NoisyTable, mechanism: Reals) -> Reals:
    """Return shares of a group's own causes, with the mechanism that all groups have together."""
    rows = np.maximum(table.counts.sum(axis=-1, keepdims=True), 0.0)
    rows = rows if rows.sum() > 0 else np.ones_like(rows)
    found = rows * mechanism
    return np.asarray(found / found.sum())


def _check(groups: Sequence[Group]) -> None:
    if len(groups) < 2:
        raise UsageError(
            "too-few-groups",
            f"Expected at least two releases, found {len(groups)}.",
            "Give one of each group of sites.",
        )
    for group in groups:
        if len(group.sites) < 2:
            raise UsageError(
                "single-site",
                f"Expected groups of at least two sites, found one in {group.name!r}: what is said "
                "of it would be said of that site alone.",
                "Join it with another site in one round.",
            )
    for at, group in enumerate(groups):
        for other in groups[at + 1 :]:
            if group.sites & other.sites:
                raise UsageError(
                    "overlapping-groups",
                    f"Expected groups without a site in common, found one in {group.name!r} and in "
                    f"{other.name!r}.",
                    "Leave the site out of one of the rounds.",
                )
            check_same_counts(other.study, group.study)
