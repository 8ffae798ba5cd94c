"""Whole rounds in memory for the release tests: real machines, seeded data, keys and noise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeAlias

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from protocol.identifiers import SiteId
from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.privacy.residuals import residual_table
from protocol.secagg import coordinator, site
from protocol.secagg.coordinator_states import Complete, CoordinatorState, Event, StepClosed
from protocol.secagg.descriptor import (
    Descriptor,
    RoundTerms,
    SignedDescriptor,
    sign_descriptor,
)
from protocol.secagg.requests import requests
from protocol.secagg.ring import to_ring
from protocol.secagg.roster import Roster, RosterSite
from protocol.secagg.site_states import AwaitingContribution, AwaitingInvitation, Contribution
from protocol.secagg.transcript import Header, encode_event, encode_header
from protocol.signing import public_key
from protocol.study.document import parse_study
from protocol.study.study import Study
from protocol.terms import terms_of
from server.release.basis import Basis, establish
from server.rounds.papers import Papers
from tests.support.release_keys import key_of

SITES = ("north", "east", "south")
STUDY = """
format = "concause-study/1"
name = "coffee-on-sleep"
title = "Coffee and hours of sleep"
author = "Tests"
expires = 2031-01-01
budget = { epsilon = 4, delta = 1e-6 }
cohort = { n_min = 2, tolerated_colluders = 0, threshold = 2 }
trust = { aggregation = "masking" }
synthetic = { rows = 500, seed = 7 }

[variables.shift]
kind = "categorical"
levels = ["day", "night"]
label = "Working hours"

[variables.coffee]
kind = "boolean"
label = "Coffee after noon"

[variables.sleep]
kind = "numeric"
edges = [3, 5, 7, 9]
unit = "h"
label = "Sleep"

[graph]
edges = ["shift -> coffee", "shift -> sleep", "coffee -> sleep"]

[[questions]]
name = "coffee-on-sleep"
label = "Sleep had everyone coffee, less had nobody"
kind = "average"
treatment = "coffee"
treated = 1
reference = 0
outcome = "sleep"
published = { low = -0.9, high = -0.5, source = "Invented et al. 2020" }
"""

Vector: TypeAlias = Callable[[Study, StatisticsPlan, str, int], NDArray[np.int64]]


@dataclass(frozen=True)
class PlayedRound:
    """A finished round, and who holds the coordinator's key."""

    study_text: str
    roster: Roster
    coordinator_key: Ed25519PrivateKey = field(repr=False)
    transcript: bytes = field(repr=False)

    @property
    def papers(self) -> Papers:
        """What is needed to replay it."""
        return Papers(self.study_text, self.transcript, self.roster)

    @property
    def arguments(self) -> dict[str, Any]:
        """What `write_release` needs of it."""
        return {"papers": self.papers, "signing_key": self.coordinator_key}


def make_roster(sites: tuple[str, ...] = SITES, coordinator_name: str = "coordinator") -> Roster:
    """Return a roster of these sites."""
    members = tuple(RosterSite(name, public_key(key_of(name))) for name in sites)
    return Roster("test-consortium", public_key(key_of(coordinator_name)), members)


def play_round(
    study_text: str = STUDY,
    *,
    sites: tuple[str, ...] = SITES,
    silent: tuple[str, ...] = (),
    counter: int = 1,
    coordinator_name: str = "coordinator",
    rows_per_site: int = 700,
    vector: Vector | None = None,
) -> PlayedRound:
    """Run one round; sites in `silent` share their keys and then say nothing more.

    `vector` makes the statistics of a site, as `noisy_vector`, which knows tables alone.
    """
    study, roster = parse_study(study_text), make_roster(sites, coordinator_name)
    plan = compile_plan(study)
    signed = _descriptor(study, plan, roster, counter, key_of(coordinator_name))
    header, terms = Header(roster, signed), terms_of(study, plan, roster)
    players = {
        roster.site_id(name): _Player(
            header, terms, name, (vector or noisy_vector)(study, plan, name, rows_per_site)
        )
        for name in sites
    }
    for name in silent:
        players[roster.site_id(name)].silent = True
    transcript = _converse(header, players)
    return PlayedRound(study_text, roster, key_of(coordinator_name), transcript)


def noisy_vector(study: Study, plan: StatisticsPlan, name: str, rows: int) -> NDArray[np.int64]:
    """Return a site's statistics with rounded Gaussian noise of the promised variance."""
    rng = np.random.default_rng(list(name.encode()))
    codes = _made_up_rows(study, rng, rows)
    vector = np.zeros(plan.length, dtype=np.int64)
    for block in plan.blocks:
        marginal = np.zeros(block.shape, dtype=np.int64)
        np.add.at(marginal, tuple(codes[node] for node in block.clique), 1)
        counts = np.int64(rows) if not block.clique else marginal
        noise = np.rint(rng.normal(0, float(block.site_scale), block.size)).astype(np.int64)
        vector[block.span] = residual_table(np.asarray(counts)).ravel() + noise
    return vector


def _made_up_rows(
    study: Study, rng: np.random.Generator, rows: int
) -> Mapping[str, NDArray[np.int64]]:
    """Rows in which every effect leans on its causes: enough to fit something."""
    codes: dict[str, NDArray[np.int64]] = {}
    for node in study.causal_graph.nodes:
        size = study.variables[node].size
        leaning = sum(codes[parent] for parent in study.causal_graph.parents[node])
        codes[node] = (rng.integers(0, size, rows) + rng.integers(0, 2, rows) * leaning) % size
    return codes


def _descriptor(
    study: Study, plan: StatisticsPlan, roster: Roster, counter: int, key: Ed25519PrivateKey
) -> SignedDescriptor:
    descriptor = Descriptor(
        counter=counter,
        roster_hash=roster.hash,
        study_hash=study.hash,
        plan_hash=plan.hash,
        length=plan.length,
        narrow=plan.layout.narrow,
        threshold=study.cohort.threshold,
        n_min=study.cohort.n_min,
        colluders=study.cohort.tolerated_colluders,
        deadline=2_000_000_000,
    )
    return sign_descriptor(descriptor, key)


class _Player:
    """A site's machine with its data, as the gate would hold it."""

    def __init__(
        self, header: Header, terms: RoundTerms, name: str, vector: NDArray[np.int64]
    ) -> None:
        entropy = sha256(name.encode() + header.signed.signature).digest()
        self.silent = False
        self._vector = to_ring(vector)
        self._state: site.SiteState = AwaitingInvitation(
            header.roster.site_id(name), key_of(name), header.roster, terms, entropy
        )

    def answer(self, message: Any) -> tuple[Any, ...]:
        """Return what the site sends back to one message."""
        self._state, sent = site.advance(self._state, message)
        if isinstance(self._state, AwaitingContribution):
            if self.silent:
                return ()
            self._state, sent = site.advance(self._state, Contribution(self._vector))
        return sent


def _converse(header: Header, players: Mapping[SiteId, _Player]) -> bytes:
    state: CoordinatorState = coordinator.open_round(header.signed, header.roster)
    transcript = encode_header(header)
    while not isinstance(state, Complete):
        asked = requests(state)
        events: list[Event] = [
            answer for to, message in asked.items() for answer in players[to].answer(message)
        ]
        for event in [*events, StepClosed()]:
            transcript += encode_event(event)
            state, _ = coordinator.advance(state, event)
    return transcript


def basis_of(played: PlayedRound) -> Basis:
    """Return what a release of this round is made from."""
    return establish(played.papers)
