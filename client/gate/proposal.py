"""What people of a site are asked to sign: a study, its cost, and what would be left of the budget.

The same checks as a round's, in the same code, so that what is approved can also be run.
"""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, time
from fractions import Fraction

from client.gate.approvals import (
    Approval,
    ApprovalFolder,
    ApprovalTerms,
    Present,
    check_approval,
    read_approval,
)
from client.gate.consent import Consents, Examined, OpenSource
from client.gate.endorsement import may_endorse
from client.gate.ledger import Balance
from client.gate.memory import Memory
from client.gate.policy import check_units
from client.gate.site_config import SiteConfig
from protocol.errors import PolicyError, UsageError
from protocol.study.study import Study


@dataclass(frozen=True, slots=True)
class Wishes:
    """What who signs first may set; unset, one round more and the study's own last day.

    `expires` in seconds since 1970.
    """

    rho_cap: Fraction | None = None
    expires: int | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """An approval that waits for signatures; it may have some already.

    `spent_on_study` is the rho of its earlier rounds, under whatever approval.
    """

    examined: Examined
    approval: Approval
    spent: Balance
    spent_on_study: Fraction = Fraction(0)

    @property
    def terms(self) -> ApprovalTerms:
        """Return what is to be signed."""
        return self.approval.terms

    @property
    def left_before(self) -> Fraction:
        """Return the rho that the lifetime budget still allows."""
        return self.spent.remaining(self.examined.policy.caps.lifetime)

    @property
    def left_after(self) -> Fraction:
        """Return what one round would leave of it, below 0 if it does not suffice."""
        return self.left_before - self.examined.plan.rho

    @property
    def is_affordable(self) -> bool:
        """Return whether the lifetime's and the study's budget cover one more round."""
        cap = min(self.examined.policy.caps.study, self.terms.rho_cap)
        covered = self.spent_on_study + self.examined.plan.rho <= cap
        return covered and self.left_after >= 0


class Proposals:
    """Makes proposals from a site's settings, records and ledger."""

    def __init__(self, config: SiteConfig, open_source: OpenSource, memory: Memory) -> None:
        self._config = config
        self._open_source = open_source
        self._memory = memory
        self._folder = ApprovalFolder(config.site.folder)

    def propose(self, study: Study, wishes: Wishes, *, now: int) -> Proposal:
        """Return what an approval of `study` would say; `now` in seconds since 1970.

        Terms that someone has signed, and that still hold and allow a round, are those to sign,
        unless the wishes are others.

        Raises:
            PolicyError: the site's policy does not allow the study.
            UsageError: the wishes, the roster or the records do not fit it.
        """
        examined = Consents(self._config, self._memory.standing).examine(study, now=now)
        examined.roster.site_id(self._config.site.name)
        spent = self._memory.ledger.balance(now=now, study=study.hash).charged
        least = spent + examined.plan.rho
        rho_cap = _rho_cap(wishes, least)
        expires = _expires(wishes, study, now)
        with self._open_source(study) as source:
            check_units(examined.policy, source.units)
            present = examined.present(self._config.mapping_digest, source.snapshot())
        approval = self._begun(examined, present, wishes, least, now=now) or Approval(
            ApprovalTerms(**asdict(present), rho_cap=rho_cap, approved=now, expires=expires)
        )
        return Proposal(examined, approval, self._memory.ledger.balance(now=now), spent)

    def _begun(
        self, examined: Examined, present: Present, wishes: Wishes, least: Fraction, *, now: int
    ) -> Approval | None:
        """Return the approval that someone has signed, if its terms hold and are those wished.

        Terms that allow no further round are not. Signatures of people who may not sign it (any
        more) are left out.
        """
        try:
            found = read_approval(self._folder.approval(present.study))
            check_approval(found.terms, present, now=now)
            self._memory.standing.check_stands(found.terms)
        except PolicyError:
            return None
        terms, people, study = found.terms, examined.policy.people, examined.study
        wished = (
            terms.rho_cap >= least if wishes.rho_cap is None else terms.rho_cap == wishes.rho_cap
        )
        same = wished and wishes.expires in (None, terms.expires)
        valid = tuple(each for each in found.endorsements if may_endorse(each, people, study))
        return replace(found, endorsements=valid) if same and valid else None


def last_second(study: Study) -> int:
    """Return the end of a study's last day, UTC, in seconds since 1970."""
    return int(datetime.combine(study.expires, time(23, 59, 59), UTC).timestamp())


def _rho_cap(wishes: Wishes, least: Fraction) -> Fraction:
    """Return the cap on all rounds of the study: at least those that were, and one more."""
    if wishes.rho_cap is None:
        return least
    if wishes.rho_cap < least:
        raise UsageError(
            "rho-cap-below-cost",
            f"Expected a cap of at least what is spent and one round, {float(least):.6g}, found "
            f"{float(wishes.rho_cap):.6g}.",
            "Leave --rho-cap out to allow exactly one round more.",
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
