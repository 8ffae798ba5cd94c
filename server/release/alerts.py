"""What a reader should know before using a release, in the order of its weight."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from server.causal.mechanisms.mechanism import Caution
from server.release.answers import Agreement, Answer, number
from server.release.basis import Basis
from server.release.marginals import Marginal, noisy_rows
from server.release.support import Support

_TOO_MUCH = 0.1  # share of the data in combinations that cannot speak for themselves
_MOST_LISTED = 5
_BLURRED = 0.05  # a share with noise of this standard deviation says little


class Weight(Enum):
    """How much an alert matters."""

    CAUTION = "caution"  # may change a conclusion
    NOTE = "note"  # good to know


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to know, in a line, and what it means."""

    weight: Weight
    title: str
    text: str


def find_alerts(
    basis: Basis,
    answers: Sequence[Answer],
    marginals: Sequence[Marginal],
    supports: Sequence[Support],
    cautions: Sequence[Caution] = (),
) -> tuple[Alert, ...]:
    """Return the alerts that these results call for, cautions first."""
    found = (
        *_about_rows(basis),
        *_about_rounds(basis),
        *(alert for answer in answers for alert in _about_answer(answer)),
        *map(_about_mechanism, cautions),
        *_about_noise(marginals),
        *_about_supports(supports),
        *_about_sites(basis),
    )
    return tuple(sorted(found, key=lambda alert: alert.weight is not Weight.CAUTION))


def _about_rows(basis: Basis) -> Iterable[Alert]:
    rows, deviation = noisy_rows(basis.evidence)
    if rows < 2 * deviation:
        yield Alert(
            Weight.CAUTION,
            "The row count drowns in the noise",
            f"The released count of rows is {rows:,}, with noise of standard deviation "
            f"{number(deviation)}. Everything below rests on assumptions more than on data.",
        )


def _about_rounds(basis: Basis) -> Iterable[Alert]:
    if basis.followed is not None and not basis.earlier:
        before, now = set(basis.followed.members), set(basis.members)
        parts = {
            "only in the earlier one": before - now,
            "only in this one": now - before,
        }
        listed = "; ".join(
            f"{where}: {', '.join(sorted({site.name for site in sites}))}"
            for where, sites in parts.items()
            if sites
        )
        yield Alert(
            Weight.CAUTION,
            "The two rounds are not combined",
            f"The sum of the earlier round is over other sites or keys ({listed}). All results "
            "are from the later round alone, with the precision of its budget; both are spent.",
        )


def _about_mechanism(caution: Caution) -> Alert:
    title = f"Reason to doubt the mechanism of {caution.node}: {caution.code.replace('-', ' ')}"
    return Alert(Weight.CAUTION, title, caution.text)


def _about_answer(answer: Answer) -> Iterable[Alert]:
    if answer.certain:
        yield Alert(
            Weight.CAUTION, f"Known before any data were seen: {answer.name}", answer.certain
        )
    elif answer.contains_null:
        null = "Zero" if answer.null == 0 else "A ratio of one"
        yield Alert(
            Weight.CAUTION,
            f"No effect cannot be excluded: {answer.name}",
            f"{null} lies inside the interval. At this budget the study cannot tell the effect "
            "from none at all.",
        )
    published = answer.question.published
    if published is not None and answer.agreement is not Agreement.OVERLAP:
        side = answer.agreement.value if answer.agreement else ""
        yield Alert(
            Weight.CAUTION,
            f"Not what was published: {answer.name}",
            f"Here {side} of {published.low} to {published.high} ({published.source}).",
        )


def _about_noise(marginals: Sequence[Marginal]) -> Iterable[Alert]:
    blurred = [it.node for it in marginals if max(it.deviation) > _BLURRED]
    if blurred:
        yield Alert(
            Weight.CAUTION,
            "Some marginals are blurred by noise",
            f"The noise has a standard deviation above {_BLURRED:.0%} of the rows in at least "
            f"one level of: {', '.join(blurred)}.",
        )


def _about_supports(supports: Sequence[Support]) -> Iterable[Alert]:
    weak = sorted((it for it in supports if it.weak_rows), key=lambda it: -it.weak_share)
    if weak:
        listed = [
            f"{it.node}: {it.weak_rows} of {it.rows} combinations, {it.weak_share:.0%} of the data"
            for it in weak[:_MOST_LISTED]
        ]
        more = len(weak) - len(listed)
        yield Alert(
            Weight.CAUTION if weak[0].weak_share > _TOO_MUCH else Weight.NOTE,
            "Some combinations of causes are too rare for this budget",
            "Where fewer records share a combination than noise could feign, the fit leans on "
            f"the other combinations. {'; '.join(listed)}{f'; {more} more' if more else ''}.",
        )


def _about_sites(basis: Basis) -> Iterable[Alert]:
    if basis.dropped:
        yield Alert(
            Weight.NOTE,
            f"{len(basis.contributed)} of {len(basis.roster.sites)} sites are in this release",
            f"Not in the sum: {', '.join(basis.dropped)}. The results speak for the population "
            "of the others.",
        )
    extra = basis.noisy.contributors - basis.plan.noise_shares
    if extra > 0:
        yield Alert(
            Weight.NOTE,
            "There is more noise than the budget asked for",
            f"{basis.noisy.contributors} shares of it are in the sum, {basis.plan.noise_shares} "
            "would have sufficed: the others insure against colluding or missing sites. The "
            "intervals include it.",
        )
