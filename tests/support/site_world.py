"""A consortium of sites on a disk, with real gates over pretended data and pretended noise.

Everything follows from fixed seeds, except the entropy of the rounds. The gates are the real
ones, with all their files; only records and noise are played by the test.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from client.gate.approvals import PURPOSE, Approval, ApprovalFolder, ApprovalTerms
from client.gate.chain import Event
from client.gate.consent import Consents
from client.gate.decisions import Decisions, Signer
from client.gate.endorsement import endorse
from client.gate.envelope import Envelope
from client.gate.gate import Gate, Member
from client.gate.keys import write_private
from client.gate.ledger import Entry, Kind
from client.gate.means import Means, Point
from client.gate.memory import Memory, open_gate_memory, open_log, open_memory
from client.gate.people import Person, Role
from client.gate.policy import read_policy
from client.gate.site_config import SiteConfig, read_site_config
from client.gate.standing import SIGNED
from client.source.count_source import Counts
from protocol.identifiers import Digest, SiteId
from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.secagg import coordinator
from protocol.secagg.coordinator import Complete, CoordinatorState, StepClosed, open_round
from protocol.secagg.descriptor import Descriptor, SignedDescriptor, sign_descriptor
from protocol.secagg.messages import decode_answer, encode_message
from protocol.secagg.ring import Integers
from protocol.secagg.roster import Roster, RosterSite
from protocol.signing import public_key
from protocol.study.document import parse_study
from protocol.study.families import Family, Population
from protocol.study.graph import Clique
from protocol.study.study import Study

NOW = 1_800_000_000
DEADLINE = NOW + 600
NEXT_WEEK = NOW + 7 * 86_400
SNAPSHOT = Digest(b"f" * 32)

STUDY = """
format = "concause-study/1"
name = "tiny"
title = "A tiny study"
author = "The testers"
expires = 2099-12-31

[budget]
rho = 0.05

[cohort]
n_min = 3
tolerated_colluders = 0
threshold = 3

[trust]
aggregation = "masking"

[variables.a]
kind = "boolean"

[variables.b]
kind = "boolean"

[graph]
edges = ["a -> b"]

[[questions]]
name = "a-on-b"
kind = "average"
treatment = "a"
treated = 1
reference = 0
outcome = "b"
"""

POLICY = """
format = "concause-policy/1"
roster = "{roster}"
aggregation = ["masking"]

[cohort]
n_min = 3
noise_shares = 3

[budget.lifetime]
rho = 0.1

[budget.study]
rho = 0.1

[[people]]
name = "Ada Steward"
role = "steward"
key = "{steward}"

[[people]]
name = "Ben Officer"
role = "privacy-officer"
key = "{officer}"

[[people]]
name = "Cleo Admin"
role = "administrator"
key = "{administrator}"

[[people]]
name = "Dan Auditor"
role = "auditor"
key = "{auditor}"
"""
ROLES = {
    "steward": ("Ada Steward", Role.STEWARD),
    "officer": ("Ben Officer", Role.OFFICER),
    "administrator": ("Cleo Admin", Role.ADMINISTRATOR),
    "auditor": ("Dan Auditor", Role.AUDITOR),
}

SITE = """
[site]
name = "{name}"
roster = "roster.json"
policy = "policy.toml"
folder = "memory"
signing_key = "site.key"
bound_key = "bound.key"

[data]
path = "records.parquet"
one_row_per_unit = true

[flower]
superlink = "127.0.0.1:8000"
executor_secret = "executor.secret"
insecure = true
"""


class Killed(BaseException):
    """The process is gone; nothing of its memory is left."""


@dataclass
class PretendedRecords:
    """Records of which only the snapshot is ever looked at."""

    state: Digest = SNAPSHOT
    units_that_count: int = 0

    def counts(self, cliques: Sequence[Clique], _: Population = "units") -> dict[Clique, Counts]:
        return {clique: np.zeros((), np.int64) for clique in cliques}

    def histograms(self, columns: Sequence[str]) -> dict[str, Counts]:
        return {column: np.zeros((), np.int64) for column in columns}

    def moments(self, _: Family) -> Counts:
        return np.zeros((), np.int64)

    def snapshot(self) -> Digest:
        return self.state

    def units(self) -> int:
        return self.units_that_count


def key(purpose: str) -> Ed25519PrivateKey:
    """Return a signing key that follows from its purpose."""
    return Ed25519PrivateKey.from_private_bytes(sha256(purpose.encode()).digest())


def pem(signing_key: Ed25519PrivateKey) -> bytes:
    """Return the key as a file holds it."""
    return signing_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def statistics(plan: StatisticsPlan, site: int) -> Integers:
    """Return what site number `site` measures, shape (plan.length,)."""
    return np.arange(plan.length, dtype=np.int64) * (site + 1) - 5


@dataclass
class World:
    """Keys, roster, study and folders of `sites` sites."""

    folder: Path
    sites: int = 3
    study: Study = field(default_factory=lambda: parse_study(STUDY))
    coordinator_key: Ed25519PrivateKey = field(default_factory=lambda: key("coordinator"))
    people: dict[str, Ed25519PrivateKey] = field(
        default_factory=lambda: {name: key(name) for name in ROLES}
    )
    fresh: bool = True  # whether its folders have to be made

    def __post_init__(self) -> None:
        self._opened: dict[int, Gate] = {}
        self.plan = compile_plan(self.study)
        self.keys = [key(f"site-{site}") for site in range(self.sites)]
        members = [RosterSite(f"site-{i}", public_key(k)) for i, k in enumerate(self.keys)]
        self.roster = Roster("testers", public_key(self.coordinator_key), tuple(members))
        if self.fresh:
            for site in range(self.sites):
                self._make(site)
                self.approve(site)

    @classmethod
    def reopened(cls, folder: Path) -> "World":
        """Return the world of a folder that another process made, with the usual study."""
        return cls(folder, fresh=False)

    def home(self, site: int) -> Path:
        """Return the folder with a site's settings."""
        return self.folder / f"site-{site}"

    def config(self, site: int) -> SiteConfig:
        """Return a site's settings as they are on the disk."""
        return read_site_config(self.home(site) / "site.toml")

    def set_policy(self, site: int, old: str = "", new: str = "") -> None:
        """Write a site's policy, with one text in it replaced."""
        keys = {name: public_key(key(name)).hex() for name in ROLES}
        text = POLICY.format(roster=self.roster.hash.hex(), **keys)
        assert old in text
        (self.home(site) / "policy.toml").write_text(text.replace(old, new) if old else text)

    def terms(self, study: Study | None = None) -> ApprovalTerms:
        """Return what a steward would approve now."""
        study = study or self.study
        return ApprovalTerms(
            study=study.hash,
            plan=compile_plan(study).hash,
            roster=self.roster.hash,
            mapping=self.config(0).mapping_digest,
            snapshot=SNAPSHOT,
            policy=read_policy(self.config(0).site.policy).digest,
            rho_cap=Fraction(1),
            approved=NOW,
            expires=NEXT_WEEK,
        )

    def signer(self, name: str) -> Signer:
        """Return one of the people of every site, with the key that they use."""
        title, role = ROLES[name]
        signing_key = self.people[name]
        person = Person(name=title, role=role, key=public_key(signing_key).hex())
        return Signer(
            person, signing_key, read_policy(self.config(0).site.policy).digest_with_people
        )

    def approval(
        self, terms: ApprovalTerms, by: Sequence[str] = ("steward", "officer")
    ) -> Approval:
        """Return an approval with the signatures of some of the people."""
        approval = Approval(terms)
        for name in by:
            who = self.signer(name)
            approval = approval.signed_by(
                endorse(terms.document(), PURPOSE, who.person, who.key, at=NOW)
            )
        return approval

    def approve(
        self,
        site: int,
        study: Study | None = None,
        by: Sequence[str] = ("steward", "officer"),
        **changes: Any,
    ) -> Path:
        """Write an approval, with some of its terms changed."""
        study = study or self.study
        terms = replace(self.terms(study), **changes)
        event = Event(event=SIGNED, study=study.hash.hex(), hash=terms.hash.hex())
        with closing(self.memory(site)) as memory:
            memory.note(event, now=NOW)
        store = ApprovalFolder(self.config(site).site.folder)
        return store.write(study, self.approval(terms, by).encode())

    def envelope(self, **changes: Any) -> Envelope:
        """Return an envelope for the study, with some of its terms changed."""
        terms = self.terms()
        made = Envelope(
            policy=terms.policy,
            mapping=terms.mapping,
            roster=terms.roster,
            authors=("The testers",),
            variables=("a", "b", "c"),
            rho_study=Fraction(1),
            rho_total=Fraction(1),
            expires=NEXT_WEEK,
        )
        return replace(made, **changes)

    def memory(self, site: int) -> Memory:
        """Open a site's memory as a command does, beside its gate."""
        config = self.config(site)
        return open_memory(config.site.folder, config.site.audit)

    @contextmanager
    def decisions(self, site: int) -> Iterator[Decisions]:
        """Open what people of a site decide with."""
        with closing(self.memory(site)) as memory:
            yield Decisions(memory, ApprovalFolder(self.config(site).site.folder))

    def open(
        self,
        site: int,
        *,
        reached: Callable[[Point], None] = lambda _: None,
        records: PretendedRecords | None = None,
        **means: Any,
    ) -> Gate:
        """Start a site's gate from what is on its disk; one that runs is stopped first."""
        if site in self._opened:
            self._opened[site].close()
        config = self.config(site)

        @contextmanager
        def open_source(_: Study) -> Iterator[PretendedRecords]:
            yield records or PretendedRecords()

        given: dict[str, Any] = {
            "open_source": open_source,
            "measure": lambda plan, _study, _source: statistics(plan, site),
            "add_noise": lambda _plan, values: values,
            "entropy": np.random.default_rng(site).bytes,
        }
        memory = open_gate_memory(config.site.folder, config.site.audit)
        gate = Gate(
            Member(config.site.name, self.keys[site]),
            Consents(config, memory.standing),
            memory,
            open_log(config.site.folder),
            Means(**(given | means), reached=reached),
        )
        try:
            gate.forget_lost_rounds(now=NOW)
        except BaseException:
            gate.close()
            raise
        self._opened[site] = gate
        return gate

    def close(self) -> None:
        """Stop every gate that was started."""
        for gate in self._opened.values():
            gate.close()

    def issue(
        self, counter: int = 1, signer: Ed25519PrivateKey | None = None, **changes: Any
    ) -> SignedDescriptor:
        """Return a round of the study, with some of its terms changed."""
        cohort = self.study.cohort
        descriptor = Descriptor(
            counter=counter,
            roster_hash=self.roster.hash,
            study_hash=self.study.hash,
            plan_hash=self.plan.hash,
            length=self.plan.length,
            narrow=self.plan.layout.narrow,
            threshold=cohort.threshold,
            n_min=cohort.n_min,
            colluders=cohort.tolerated_colluders,
            deadline=DEADLINE,
        )
        return sign_descriptor(replace(descriptor, **changes), signer or self.coordinator_key)

    def _make(self, site: int) -> None:
        home = self.home(site)
        home.mkdir(parents=True)
        (home / "site.toml").write_text(SITE.format(name=f"site-{site}"))
        (home / "roster.json").write_bytes(self.roster.canonical)
        write_private(home / "site.key", pem(self.keys[site]))
        write_private(home / "bound.key", b"b" * 32)
        write_private(home / "executor.secret", b"e" * 32)
        self.set_policy(site)


@dataclass
class Exchange:
    """A coordinator that talks to gates, step by step, through the real encodings."""

    world: World
    signed: SignedDescriptor
    state: CoordinatorState = field(init=False)

    def __post_init__(self) -> None:
        self.state = open_round(self.signed, self.world.roster)

    def requests(self) -> dict[int, bytes]:
        """Return what each site is asked in this step."""
        asked = coordinator.requests(self.state)
        return {int(site): encode_message(message) for site, message in asked.items()}

    def take(self, answer: bytes) -> None:
        """Give the coordinator one answer."""
        self.state, _ = coordinator.advance(self.state, decode_answer(answer))

    def close(self) -> None:
        """End the step."""
        self.state, _ = coordinator.advance(self.state, StepClosed())

    def step(self, gates: dict[int, Gate]) -> None:
        """Play one step with the given gates, and end it."""
        for site, body in self.requests().items():
            if site in gates:
                self.take(gates[site].answer(body, now=NOW))
        self.close()

    def play(self, gates: dict[int, Gate]) -> Complete:
        """Play all steps."""
        while not isinstance(self.state, Complete):
            self.step(gates)
        return self.state


def entries(gate: Gate, kind: Kind) -> tuple[Entry, ...]:
    """Return a gate's ledger entries of one kind."""
    return tuple(entry for entry in gate._memory.ledger.entries() if entry.kind is kind)


def site_ids(*sites: int) -> tuple[SiteId, ...]:
    """Return sites as the protocol names them."""
    return tuple(SiteId(site) for site in sites)
