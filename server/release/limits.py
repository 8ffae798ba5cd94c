"""What the promise of a release does not cover, and what its results take for granted."""

from collections.abc import Iterator
from typing import NamedTuple

from protocol.study.study import Study
from server.release.basis import Basis

_REGRESSIONS = frozenset(("gaussian", "logistic", "poisson", "negative-binomial"))


class Limit(NamedTuple):
    """What the promise does not cover: a line, and what it means."""

    title: str
    text: str


_CHARGED_ANEW = Limit(
    title="Every round is charged anew",
    text=(
        "A repeated round draws fresh noise and costs its full budget again. The loss stated "
        "here is of this round alone; the ledgers of the sites hold the total."
    ),
)
_OF_TWO_ROUNDS = (
    "A repeated round draws fresh noise and costs its full budget again. The loss stated here is "
    "of this round and of the one that it follows, together; the ledgers of the sites hold the "
    "total."
)

LIMITS = (
    Limit(
        title="A site can poison its own contribution",
        text=(
            "Aggregation hides every single contribution, also a dishonest one. The signed "
            "commitments in the transcript allow an audit afterwards; they do not prevent it."
        ),
    ),
    Limit(
        title="Someone known to two sites counts twice",
        text=(
            "The bound on rows per unit is enforced inside each site. A unit with records at k "
            "sites contributes k times, and its privacy loss (rho) is up to k squared times this."
        ),
    ),
    Limit(
        title="The causal graph is an assumption",
        text=(
            "It was declared in the study and not learned from the data. If an arrow or a common "
            "cause is missing, the effects here are wrong by an amount that no interval shows."
        ),
    ),
    _CHARGED_ANEW,
    Limit(
        title="Noise grows with the cohort",
        text=(
            "Each site adds a share that suffices when only the smallest cohort answers and the "
            "tolerated colluders hold theirs back. Every further site adds noise and costs nothing."
        ),
    ),
)


def limits_of(basis: Basis) -> tuple[Limit, ...]:
    """Return the limits of a release, in words that fit the number of its rounds."""
    replaced = {_CHARGED_ANEW: _CHARGED_ANEW._replace(text=_OF_TWO_ROUNDS)}
    limits = LIMITS if basis.followed is None else tuple(replaced.get(it, it) for it in LIMITS)
    assumed = " ".join(_assumptions(basis.study))
    return (*limits, Limit("What the mechanisms assume", assumed)) if assumed else limits


def _assumptions(study: Study) -> Iterator[str]:
    """Yield what the mechanisms of a study take for granted, beside its graph."""
    for one, other in study.mixed_graph.pairs:
        yield f"Something unmeasured causes both {one} and {other}; what joins others is measured."
    regressed = [it.node for it in study.families if it.mechanism.kind in _REGRESSIONS]
    if regressed:
        yield f"Regressions have the form that the study declares: {', '.join(regressed)}."
    kinds = {variable.kind for variable in study.variables.values()}
    if "survival" in kinds:
        yield (
            "Those whose observation ends early run the same risk afterwards as others with the "
            "same causes."
        )
    if "missingness" in kinds:
        yield (
            "Whether a value is missing does not depend on that value, once the causes in the "
            "graph are known."
        )
    if study.time is not None:
        yield (
            "From one visit to the next the same holds at every visit, and visits that are not "
            "there tell nothing."
        )
