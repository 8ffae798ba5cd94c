"""The site's policy: what any round may ask for at most. Deny unless allowed; unset means no.

The file is read anew for every round, so that a stricter rule holds from the next message on.
"""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from client.gate.ledger import Caps
from client.gate.people import Hex, Person, repeated
from client.gate.settings import Section, read_settings
from protocol import canonical
from protocol.errors import PolicyError, SiteOnlyError
from protocol.identifiers import Digest
from protocol.privacy.conversion import rho_of
from protocol.privacy.plan import StatisticsPlan
from protocol.secagg.roster import Roster
from protocol.study.study import Study

LONGEST_ROUND_S = 86_400


class Cap(Section):
    """A cap on privacy loss: rho of zCDP, or epsilon at a delta."""

    rho: Decimal | None = Field(default=None, gt=0)
    epsilon: Decimal | None = Field(default=None, gt=0)
    delta: Decimal | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _one_form(self) -> "Cap":
        given = {name for name, value in self if value is not None}
        if given not in ({"rho"}, {"epsilon", "delta"}):
            raise ValueError("give rho, or epsilon and delta")
        return self

    @property
    def as_rho(self) -> Fraction:
        """Return the cap as zCDP rho."""
        if self.rho is not None:
            return Fraction(self.rho)
        return rho_of(Fraction(self.epsilon or 0), Fraction(self.delta or 0))


class BudgetPolicy(Section):
    """The most that may be spent on this site's data: ever, in any 365 days, and by one study.

    Without `year` the lifetime's cap alone holds.
    """

    lifetime: Cap | None = None
    year: Cap | None = None
    study: Cap | None = None


class CohortPolicy(Section):
    """The smallest cohort to take part in, and the fewest honest noise shares to hide behind."""

    n_min: int | None = Field(default=None, ge=2)
    noise_shares: int | None = Field(default=None, ge=1)


class Policy(Section):
    """What the site allows; every field that is not set allows nothing.

    `authors`, `variables` and `least_units` are the exceptions: unset, they do not restrict what
    people may approve.
    """

    format: Literal["concause-policy/1"]
    roster: Hex | None = None
    people: tuple[Person, ...] = ()
    aggregation: tuple[Literal["masking", "aggregators"], ...] = ()
    authors: tuple[str, ...] | None = None
    variables: tuple[str, ...] | None = None
    least_units: int | None = Field(default=None, ge=1)
    longest_round_s: int = Field(default=LONGEST_ROUND_S, gt=0)
    cohort: CohortPolicy = CohortPolicy()
    budget: BudgetPolicy = BudgetPolicy()

    @property
    def caps(self) -> Caps:
        """Return the caps on spending.

        Raises:
            PolicyError: one is not set.
        """
        lifetime, study = self.budget.lifetime, self.budget.study
        if lifetime is None or study is None:
            missing = "budget.lifetime" if lifetime is None else "budget.study"
            raise _unset("policy-budget-unset", missing)
        year = self.budget.year
        return Caps(lifetime.as_rho, study.as_rho, year.as_rho if year else None)

    @property
    def digest(self) -> Digest:
        """Return the hash of all rules; people come and go, and their signatures with them."""
        return canonical.digest(self.model_dump(mode="json", exclude={"people"}))

    @property
    def digest_with_people(self) -> Digest:
        """Return the hash of everything in the policy, for the audit log."""
        return canonical.digest(self.model_dump(mode="json"))

    @model_validator(mode="after")
    def _one_person_one_role(self) -> "Policy":
        if (twice := repeated(self.people)) is not None:
            raise ValueError(f"two people must not share the name or key {twice!r}")
        return self


def read_policy(path: Path) -> Policy:
    """Return the policy in a TOML file.

    Raises:
        UsageError: the file is missing, not TOML, or a field is wrong.
    """
    return read_settings(path, Policy)


def check_roster(policy: Policy, roster: Roster) -> None:
    """Check that the pinned roster is the one that the policy allows.

    Raises:
        PolicyError: it is not, or the policy allows none.
    """
    if policy.roster is None:
        raise PolicyError(
            "policy-roster-unset",
            "The site's policy allows no roster.",
            f'Check the members of the roster; then write roster = "{roster.hash.hex()}" in '
            "policy.toml.",
        )
    if policy.roster != roster.hash.hex():
        raise PolicyError(
            "policy-other-roster",
            "The roster on this site's disk is not the one that its policy allows.",
            "Compare the roster file with the one that the consortium agreed on.",
        )


def check_people(policy: Policy, roster: Roster) -> None:
    """Check that no party of the rounds is among the site's people.

    Raises:
        PolicyError: the policy gives a person the key of the coordinator or of a gate.
    """
    parties = {roster.coordinator.hex(), *(site.key.hex() for site in roster.sites)}
    if any(person.key in parties for person in policy.people):
        raise SiteOnlyError(
            "policy-approver-is-a-party",
            "The site's policy gives one of its people a key of the roster.",
            "Write each person's own key under [[people]] in policy.toml.",
        )


def check_study(policy: Policy, study: Study, plan: StatisticsPlan) -> None:
    """Check a study against every rule but the budget.

    Raises:
        PolicyError: with one code for each rule.
    """
    _check_cohort(policy, study, plan)
    if study.trust.aggregation not in policy.aggregation:
        raise PolicyError(
            "policy-aggregation",
            f"The site's policy does not allow aggregation by {study.trust.aggregation!r}.",
            "Have it added to aggregation in policy.toml, if the site agrees.",
        )
    if policy.authors is not None and study.author not in policy.authors:
        raise PolicyError(
            "policy-author",
            "The study's author is not among those that the site's policy allows.",
            "Have the author added to authors in policy.toml, if the site agrees.",
        )
    allowed = policy.variables
    if allowed is not None and (refused := sorted(set(study.variables) - set(allowed))):
        raise PolicyError(
            "policy-variable",
            f"The site's policy does not allow the study's variable {refused[0]!r}.",
            "Have it added to variables in policy.toml, if the site agrees.",
        )


def check_units(policy: Policy, count_units: Callable[[], int]) -> None:
    """Check that enough units have records that count in a study.

    For people who are asked to sign, never during a round: there, a refusal would tell the
    coordinator something of the number.

    Raises:
        PolicyError: there are fewer than the policy's `least_units`.
    """
    least = policy.least_units
    if least is not None and count_units() < least:
        raise PolicyError(
            "policy-least-units",
            f"The site's policy asks for at least {least} units with records that count in a "
            "study; there are fewer.",
            "`concause site check` says which records do not count. A study on few people may be "
            "one not to take part in; else lower least_units in policy.toml.",
        )


def _check_cohort(policy: Policy, study: Study, plan: StatisticsPlan) -> None:
    rules = policy.cohort
    if rules.n_min is None or rules.noise_shares is None:
        missing = "cohort.n_min" if rules.n_min is None else "cohort.noise_shares"
        raise _unset("policy-cohort-unset", missing)
    if study.cohort.n_min < rules.n_min:
        raise PolicyError(
            "policy-cohort",
            f"The site's policy asks for at least {rules.n_min} sites in a sum; the study "
            f"allows {study.cohort.n_min}.",
            "Raise cohort.n_min in the study.",
        )
    if plan.noise_shares < rules.noise_shares:
        raise PolicyError(
            "policy-noise-shares",
            f"The site's policy asks for noise from at least {rules.noise_shares} honest sites; "
            f"the study counts on {plan.noise_shares}.",
            "Raise cohort.n_min or lower cohort.tolerated_colluders in the study.",
        )


def _unset(code: str, field: str) -> PolicyError:
    return PolicyError(
        code,
        f"The site's policy does not set {field}; unset means no.",
        f"Have the site's data steward set {field} in policy.toml.",
    )
