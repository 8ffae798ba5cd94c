"""A study's graph against what a round released: the independences that its arrows imply.

Two variables without an arrow between them are independent given some others (d-separation, with
unmeasured causes m-separation). Where both and these others are in one family, the release has a
noisy table of them all, and the independence is tested, noise and all. What is contradicted lacks
an arrow or a common cause. The other way round, an arrow whose cause tells nothing of its effect
once the effect's other causes are known has left no trace: it may be there and be weak.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias

from protocol.graphs.mixed import MixedGraph
from protocol.graphs.separation import separated
from protocol.study.graph import Clique
from protocol.study.problems import listed
from protocol.study.study import Study
from server.estimation.evidence import NoisySum
from server.evaluation.independence import Independence, independence_of
from server.evaluation.replicates import holm, released

Verdict: TypeAlias = Literal["contradicted", "not contradicted", "too noisy to tell"]
Trace: TypeAlias = Literal["seen", "no trace", "too noisy to tell"]

SIGNIFICANCE = 0.05
MODERATE = 0.1  # Cramer's V that a test ought to find, or it is too noisy
_MOST_GIVEN = 3


@dataclass(frozen=True, slots=True)
class Implied:
    """An independence that the graph implies, and what the release says of it."""

    x: str
    y: str
    given: tuple[str, ...]
    p: float
    adjusted: float
    strength: float
    detectable: float
    verdict: Verdict

    @property
    def text(self) -> str:
        """Return the statement in words."""
        verb = "is" if len(self.given) == 1 else "are"
        known = f" once {listed(self.given)} {verb} known" if self.given else ""
        return f"{self.x!r} and {self.y!r} tell nothing of each other{known}"

    @property
    def remedy(self) -> str:
        """Return what the graph may lack, where it is contradicted."""
        if self.verdict != "contradicted":
            return ""
        return (
            f"Consider an arrow between {self.x!r} and {self.y!r}, or '{self.x} <-> {self.y}' for "
            "an unmeasured cause of both."
        )


@dataclass(frozen=True, slots=True)
class Arrow:
    """An arrow of the graph, and whether the release shows a trace of it."""

    cause: str
    effect: str
    p: float
    adjusted: float
    strength: float
    detectable: float
    trace: Trace


@dataclass(frozen=True, slots=True)
class GraphCheck:
    """What a release says of its graph."""

    implied: tuple[Implied, ...]
    arrows: tuple[Arrow, ...]
    untested: tuple[tuple[str, str], ...]  # pairs without an arrow, of which nothing was released

    @property
    def contradicted(self) -> tuple[Implied, ...]:
        """Return the independences that the data contradict."""
        return tuple(one for one in self.implied if one.verdict == "contradicted")

    @property
    def text(self) -> str:
        """Return the result in words."""
        count, bad = len(self.implied), self.contradicted
        start = f"{count} implied independences tested, {len(bad)} contradicted"
        faint = [f"{one.cause} -> {one.effect}" for one in self.arrows if one.trace == "no trace"]
        parts = [start, *(one.remedy for one in bad)]
        if faint:
            parts.append(f"No trace of {', '.join(faint)}")
        if self.untested:
            parts.append(
                f"{len(self.untested)} pairs without an arrow cannot be tested from what was "
                "released"
            )
        return ". ".join(part.rstrip(".") for part in parts) + "."

    def to_json(self) -> dict[str, object]:
        """Return the check as a JSON object."""
        return {
            "implied": [
                {name: getattr(one, name) for name in (*Implied.__slots__, "text", "remedy")}
                for one in self.implied
            ],
            "arrows": [
                {name: getattr(one, name) for name in Arrow.__slots__} for one in self.arrows
            ],
            "untested": [list(pair) for pair in self.untested],
            "text": self.text,
        }


def check_graph(study: Study, noisy: NoisySum) -> GraphCheck:
    """Return what a round's sum says of the study's graph.

    Of a study with visits, of the first one. Variables that are missing for a reason are left out:
    their table says who answered, too.
    """
    graph, data = study.mixed_graph, released(noisy)
    families = _families(study, noisy)
    statements = dict(_implied(graph, families))
    tests = [independence_of(data, *pair, given) for pair, given in statements.items()]
    arrows = list(_arrows(graph, families))
    traces = [independence_of(data, cause, effect, given) for cause, effect, given in arrows]
    return GraphCheck(
        tuple(_statements(statements, tests)),
        tuple(_traces(arrows, traces)),
        tuple(_untested(graph, study, statements)),
    )


def _families(study: Study, noisy: NoisySum) -> list[Clique]:
    """Return the variables of each family that can be looked at, by the names of graph nodes."""
    found = []
    for family in study.families:
        if family.population != noisy.population or family.mechanism.uses != "table":
            continue
        found.append(tuple(name for name in family.clique if name not in study.hidden))
    return found


def _implied(
    graph: MixedGraph, families: Sequence[Clique]
) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
    """Yield pairs that others in their family separate, each once, with the fewest of these."""
    seen = set[tuple[str, str]]()
    for size in range(_MOST_GIVEN + 1):
        for family in families:
            for x, y in combinations(family, 2):
                if (x, y) in seen or _adjacent(graph, x, y):
                    continue
                others = [name for name in family if name not in (x, y)]
                for given in combinations(others, size):
                    if separated(graph, [x], [y], given):
                        seen.add((x, y))
                        yield (x, y), given
                        break


def _adjacent(graph: MixedGraph, x: str, y: str) -> bool:
    parents = graph.arrows.parents
    return x in parents[y] or y in parents[x] or y in graph.spouses[x]


def _arrows(
    graph: MixedGraph, families: Sequence[Clique]
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for family in families:
        effect = family[-1]
        for cause in family[:-1]:
            if cause in graph.arrows.parents[effect]:
                yield cause, effect, tuple(name for name in family[:-1] if name != cause)


def _statements(
    statements: dict[tuple[str, str], tuple[str, ...]], tests: Sequence[Independence]
) -> Iterator[Implied]:
    adjusted = holm([test.p for test in tests])
    for ((x, y), given), test, p in zip(statements.items(), tests, adjusted, strict=True):
        verdict: Verdict = "not contradicted"
        if p < SIGNIFICANCE:
            verdict = "contradicted"
        elif test.detectable > MODERATE:
            verdict = "too noisy to tell"
        yield Implied(x, y, given, test.p, p, test.strength, test.detectable, verdict)


def _traces(
    arrows: Sequence[tuple[str, str, tuple[str, ...]]], tests: Sequence[Independence]
) -> Iterator[Arrow]:
    adjusted = holm([test.p for test in tests])
    for (cause, effect, _), test, p in zip(arrows, tests, adjusted, strict=True):
        trace: Trace = "no trace"
        if test.p < SIGNIFICANCE:
            trace = "seen"
        elif test.detectable > MODERATE:
            trace = "too noisy to tell"
        yield Arrow(cause, effect, test.p, p, test.strength, test.detectable, trace)


def _untested(
    graph: MixedGraph, study: Study, statements: dict[tuple[str, str], tuple[str, ...]]
) -> Iterator[tuple[str, str]]:
    tested_pairs = {frozenset(pair) for pair in statements}
    nodes = [node for node in graph.nodes if study.time is None or node.endswith("[0]")]
    for x, y in combinations(nodes, 2):
        if not _adjacent(graph, x, y) and frozenset((x, y)) not in tested_pairs:
            yield x, y
