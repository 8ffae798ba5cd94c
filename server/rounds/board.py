"""Keeps `status.json` true while a round is driven: one write for each change."""

from datetime import datetime

from protocol.identifiers import SiteId
from protocol.secagg.transcript import Header
from server.rounds.carrier import Address
from server.rounds.clock import Clock
from server.rounds.folder import RoundFolder
from server.rounds.status import (
    Outcome,
    Refusal,
    RoundStatus,
    SiteStatus,
    Step,
    StrangerStatus,
    printable,
)

_MAX_REASON = 300  # characters


class Board:
    """The status of one round, on disk after every call."""

    def __init__(self, folder: RoundFolder, header: Header, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._status = folder.read_status() or fresh_status(header, clock.now())
        self._write(outcome="running", reason="", strangers=())

    @property
    def status(self) -> RoundStatus:
        """Return the status as it is on disk."""
        return self._status

    def enter(self, step: Step, pending: frozenset[SiteId], answered: frozenset[SiteId]) -> None:
        """Say that a step has begun, which sites it waits for and which have answered."""
        sites = list(self._status.sites)
        for site in pending:
            sites[site] = SiteStatus(name=sites[site].name)
        for site in answered:  # before a crash, perhaps
            sites[site] = SiteStatus(name=sites[site].name, state="answered")
        self._write(step=step, sites=tuple(sites))

    def answered(self, site: SiteId) -> None:
        """Say that a site's answer of this step is accepted."""
        self._set(site, SiteStatus(name=self._name(site), state="answered"))

    def out(self, site: SiteId, reason: str, refusal: Refusal | None = None) -> None:
        """Say that a site will not answer this step, and why."""
        self._set(
            site,
            SiteStatus(
                name=self._name(site),
                state="refused" if refusal else "dropped",
                reason=_short(reason),
                refusal=refusal,
            ),
        )

    def stranger(self, address: Address, reason: str, refusal: Refusal | None = None) -> None:
        """Say why a node that belongs to no known site is left out."""
        found = StrangerStatus(address=str(address), reason=_short(reason), refusal=refusal)
        self._write(strangers=(*self._status.strangers, found))

    def close(self, outcome: Outcome, reason: str = "") -> None:
        """Say how the round ended."""
        step: Step = "complete" if outcome == "complete" else self._status.step
        self._write(step=step, outcome=outcome, reason=_short(reason))

    def _name(self, site: SiteId) -> str:
        return self._status.sites[site].name

    def _set(self, site: SiteId, status: SiteStatus) -> None:
        sites = list(self._status.sites)
        sites[site] = status
        self._write(sites=tuple(sites))

    def _write(self, **changes: object) -> None:
        updated = {**changes, "updated": self._clock.now()}
        self._status = self._status.model_copy(update=updated)
        self._folder.write_status(self._status)


def fresh_status(header: Header, now: datetime) -> RoundStatus:
    """Return the status of a round of which nothing has happened yet."""
    return RoundStatus(
        round=header.signed.descriptor.session.hex(),
        counter=header.signed.descriptor.counter,
        step="connect",
        sites=tuple(SiteStatus(name=site.name) for site in header.roster.sites),
        started=now,
        updated=now,
    )


def _short(text: str) -> str:
    return printable(text[:_MAX_REASON])
