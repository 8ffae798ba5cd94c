"""Two rounds over the same records for tests: the second study, and rounds played by the driver."""

from collections.abc import Callable, Collection
from hashlib import sha256
from typing import Any

from protocol.errors import ConcauseError
from protocol.privacy.plan import compile_plan
from protocol.secagg import site
from protocol.secagg.messages import decode_request, encode_message
from protocol.secagg.ring import to_ring
from protocol.secagg.site_states import AwaitingContribution, AwaitingInvitation, Contribution
from protocol.secagg.transcript import Header
from protocol.study.document import parse_study
from protocol.terms import terms_of
from server.rounds.carrier import Address
from server.rounds.driver import drive
from server.rounds.folder import RoundFolder
from server.rounds.status import RoundStatus
from tests.support.release_keys import key_of
from tests.support.release_rounds import STUDY, noisy_vector
from tests.support.rounds_world import (
    FIRST_ADDRESS,
    TIMINGS,
    FakeClock,
    LoopbackTransport,
    refusal,
)

ROWS = 700


def following(first: str = STUDY, *, epsilon: int = 2, **changes: str) -> str:
    """Return the text of a study that follows `first` with a budget of its own.

    `changes` are further keys of the text's head, as name = new line.
    """
    text = first[: first.index("[plan]")] if "[plan]" in first else first
    text = text.replace("epsilon = 4", f"epsilon = {epsilon}")
    for name, line in changes.items():
        old = next(one for one in text.splitlines() if one.startswith(f"{name} = "))
        text = text.replace(old, line)
    return f'{text}\n[plan]\nfollows = "{parse_study(first).hash.hex()}"\n'


class PlayedSite:
    """A gate without consent, budget or disk, over the records that a site's name settles."""

    def __init__(self, header: Header, study_text: str, name: str, *, silent: bool) -> None:
        study = parse_study(study_text)
        plan = compile_plan(study)
        self._vector = to_ring(noisy_vector(study, plan, name, ROWS))
        self._silent = silent
        self._state: site.SiteState = AwaitingInvitation(
            header.roster.site_id(name),
            key_of(name),
            header.roster,
            terms_of(study, plan, header.roster),
            sha256(name.encode() + header.signed.signature).digest(),
        )

    def respond(self, body: bytes) -> dict[str, bytes]:
        """Return what travels back; a silent one refuses once it would have to measure."""
        try:
            self._state, answers = site.advance(self._state, decode_request(body))
        except ConcauseError as error:
            return {"refusal": refusal(error.category, error.code, error.cause)}
        if isinstance(self._state, AwaitingContribution):
            if self._silent:
                return {"refusal": refusal("policy", "not-today", "Out of order.")}
            contribution = Contribution(self._vector)
            self._state, answers = site.advance(self._state, contribution)
        (answer,) = answers
        return {"body": encode_message(answer)}


def player(silent: Collection[str] = ()) -> Callable[..., RoundStatus]:
    """Return what stands in for `issue`: it drives the round in a folder to its end.

    Sites in `silent` drop out before they measure.
    """

    def play(_settings: Any, folder: RoundFolder, *_: Any) -> RoundStatus:
        header, text = folder.read_header(), folder.study.read_text()
        sites = {
            Address(FIRST_ADDRESS + position): PlayedSite(
                header, text, site.name, silent=site.name in silent
            )
            for position, site in enumerate(header.roster.sites)
        }
        drive(folder, LoopbackTransport(sites), FakeClock(), TIMINGS)  # type: ignore[arg-type]
        status = folder.read_status()
        assert status is not None
        return status

    return play
