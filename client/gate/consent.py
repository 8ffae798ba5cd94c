"""Consent: everything that must be true of a study, here and now, before the site takes part.

Policy, roster, approval, study, plan and snapshot are read anew for every round and again
before its measurement, so that a withdrawn approval or a changed file holds at once.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from client.gate.approvals import (
    Approval,
    ApprovalFolder,
    Present,
    check_approval,
    check_consented,
    read_approval,
)
from client.gate.ledger import Caps
from client.gate.policy import Policy, check_people, check_roster, check_study, read_policy
from client.gate.site_config import SiteConfig, read_roster
from client.gate.standing import Standing
from client.source.count_source import CountSource
from protocol.errors import PolicyError
from protocol.identifiers import Digest
from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.secagg.descriptor import RoundTerms
from protocol.secagg.roster import Roster
from protocol.study.study import Study
from protocol.terms import terms_of


class SnapshotSource(CountSource, Protocol):
    """Counts of a site's records, and the state of the files that they come from."""

    def snapshot(self) -> Digest:
        """Return a hash that changes whenever the records may have."""
        ...

    def units(self) -> int:
        """Return how many different units have a record that counts."""
        ...


OpenSource = Callable[[Study], AbstractContextManager[SnapshotSource]]


@dataclass(frozen=True, slots=True)
class Examined:
    """A study that the site's policy allows, with its plan and the roster it would run under."""

    policy: Policy
    roster: Roster
    study: Study
    plan: StatisticsPlan

    def present(self, mapping: Digest, snapshot: Digest) -> Present:
        """Return what an approval is held against."""
        return Present(
            study=self.study.hash,
            plan=self.plan.hash,
            roster=self.roster.hash,
            mapping=mapping,
            snapshot=snapshot,
            policy=self.policy.digest,
        )


@dataclass(frozen=True, slots=True)
class Consent:
    """An approved study whose approval stands; `source` is open as long as this is used."""

    study: Study
    plan: StatisticsPlan
    roster: Roster
    approval: Approval
    policy: Digest
    caps: Caps
    source: SnapshotSource = field(repr=False)

    @property
    def terms(self) -> RoundTerms:
        """Return what a round must say for the site to take part."""
        return terms_of(self.study, self.plan, self.roster)


class Consents:
    """Looks up what the site agreed to."""

    def __init__(self, config: SiteConfig, standing: Standing) -> None:
        self._config = config
        self._standing = standing
        self._approvals = ApprovalFolder(config.site.folder)
        self._plans: dict[Digest, StatisticsPlan] = {}

    def pinned(self) -> tuple[Policy, Roster]:
        """Return the policy, and the roster that it allows.

        Raises:
            PolicyError: it allows another roster, none, or a party of it to approve.
            UsageError: a file is missing or malformed.
        """
        policy = read_policy(self._config.site.policy)
        roster = read_roster(self._config.site.roster)
        check_roster(policy, roster)
        check_people(policy, roster)
        return policy, roster

    def examine(self, study: Study, *, now: int) -> Examined:
        """Return a study with its plan, if the policy allows it; budgets are not looked at.

        Raises:
            PolicyError: the study has expired, or a rule of the policy forbids it.
            UsageError: the study does not fit the roster, or has no plan.
        """
        policy, roster = self.pinned()
        _check_expiry(study, now)
        study.cohort.check_roster_size(len(roster.sites))
        plan = self._plans.get(study.hash) or compile_plan(study)
        self._plans[study.hash] = plan
        check_study(policy, study, plan)
        return Examined(policy, roster, study, plan)

    def approved(self, study: Digest, *, now: int) -> tuple[Examined, Approval]:
        """Return an approved study whose approval stands, if the records are as they were.

        Raises:
            PolicyError: the study is not approved, or its approval does not stand any more.
            UsageError: as `examine`.
        """
        approval = read_approval(self._approvals.approval(study))
        examined = self.examine(self._approvals.study(study), now=now)
        terms, people = approval.terms, examined.policy.people
        self._standing.check_stands(terms)
        if approval.envelope is not None:
            self._standing.check_envelope(approval.envelope.envelope.hash)
        check_consented(approval, examined.study, examined.plan, people, now=now)
        present = examined.present(self._config.mapping_digest, terms.snapshot)
        check_approval(terms, present, now=now)
        return examined, approval

    @contextmanager
    def open(self, study: Digest, open_source: OpenSource, *, now: int) -> Iterator[Consent]:
        """Yield the consent to a study, its records open for measurement.

        Raises:
            PolicyError: as `approved`; or the records are not those that were approved.
            UsageError: as `examine`; or the records do not fit the study.
        """
        examined, approval = self.approved(study, now=now)
        terms = approval.terms
        allowed = _caps(examined.policy.caps, approval)
        with open_source(examined.study) as source:
            present = examined.present(self._config.mapping_digest, source.snapshot())
            check_approval(terms, present, now=now)
            policy = examined.policy.digest_with_people
            yield Consent(
                examined.study, examined.plan, examined.roster, approval, policy, allowed, source
            )


def _caps(caps: Caps, approval: Approval) -> Caps:
    study = min(caps.study, approval.terms.rho_cap)
    inside = approval.envelope
    return replace(caps, study=study, envelope=inside.envelope.rho_total if inside else None)


def _check_expiry(study: Study, now: int) -> None:
    if datetime.fromtimestamp(now, UTC).date() > study.expires:
        raise PolicyError(
            "study-expired",
            f"The study expired on {study.expires.isoformat()}.",
            "Have the consortium agree on a study with a later date.",
        )
