"""What a data steward is asked to sign: a study, its cost, and what would be left of the budget.

The same checks as a round's, in the same code, so that what is approved can also be run.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time
from fractions import Fraction

from client.gate.approvals import ApprovalTerms
from client.gate.consent import Consents, Examined, OpenSource
from client.gate.ledger import Balance, Ledger
from client.gate.site_config import SiteConfig
from protocol.errors import UsageError
from protocol.study.study import Study


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the steward may set; unset, one round's cost and the study's own last day.

    `expires` in seconds since 1970.
    """

    rho_cap: Fraction | None = None
    expires: int | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """An approval that waits for its signature."""

    examined: Examined
    terms: ApprovalTerms
    spent: Balance

    @property
    def left_before(self) -> Fraction:
        """Return the rho that the lifetime budget still allows."""
        return self.spent.remaining(self.examined.policy.caps.lifetime)

    @property
    def left_after(self) -> Fraction:
        """Return what one round would leave of it, below 0 if it does not suffice."""
        return self.left_before - self.examined.plan.rho


class Proposals:
    """Makes proposals from a site's settings, records and ledger."""

    def __init__(self, config: SiteConfig, open_source: OpenSource, ledger: Ledger) -> None:
        self._config = config
        self._open_source = open_source
        self._ledger = ledger

    def propose(self, study: Study, wishes: Wishes, *, now: int) -> Proposal:
        """Return what an approval of `study` would say; `now` in seconds since 1970.

        Raises:
            PolicyError: the site's policy does not allow the study.
            UsageError: the wishes, the roster or the records do not fit it.
        """
        examined = Consents(self._config).examine(study, now=now)
        examined.roster.site_id(self._config.site.name)
        rho_cap = _rho_cap(wishes, examined)
        expires = _expires(wishes, study, now)
        with self._open_source(study) as source:
            present = examined.present(self._config.mapping_digest, source.snapshot())
        terms = ApprovalTerms(
            study=present.study,
            plan=present.plan,
            roster=present.roster,
            mapping=present.mapping,
            snapshot=present.snapshot,
            rho_cap=rho_cap,
            approved=now,
            expires=expires,
        )
        return Proposal(examined, terms, self._ledger.balance(now=now))


def last_second(study: Study) -> int:
    """Return the end of a study's last day, UTC, in seconds since 1970."""
    return int(datetime.combine(study.expires, time(23, 59, 59), UTC).timestamp())


def _rho_cap(wishes: Wishes, examined: Examined) -> Fraction:
    least = examined.plan.rho
    if wishes.rho_cap is None:
        return least
    if wishes.rho_cap < least:
        raise UsageError(
            "rho-cap-below-cost",
            f"Expected a cap of at least one round's cost, {float(least):.6g}, found "
            f"{float(wishes.rho_cap):.6g}.",
            "Leave --rho-cap out to allow exactly one round.",
        )
    return wishes.rho_cap


def _expires(wishes: Wishes, study: Study, now: int) -> int:
    latest = last_second(study)
    expires = latest if wishes.expires is None else wishes.expires
    if not now < expires <= latest:
        raise UsageError(
            "expiry-out-of-range",
            f"Expected an expiry after today and no later than the study's, {study.expires}.",
            "Leave --expires out to use the study's own.",
        )
    return expires
