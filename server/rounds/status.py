"""What a round's `status.json` says: for people and commands to read, never for the protocol.

The transcript decides how a round goes on; of this file the driver reads only whether the
round was refused, and it may be lost without harm.
Words from a site are bounded and printable before they are stored here.
"""

from typing import Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict

from protocol import canonical
from protocol.errors import ConcauseError, PeerError

Step: TypeAlias = Literal[
    "connect", "advertise", "share", "mask", "agree", "reveal", "split", "open", "complete"
]  # connect: before R0, while nodes are awaited; then R0 to R4 of SPEC 4.6, or 4.9
SiteState: TypeAlias = Literal["pending", "answered", "refused", "dropped"]
Outcome: TypeAlias = Literal["running", "complete", "refused", "failed"]
MAX_TEXT = 1000  # characters of one text in a refusal


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Refusal(_Frozen):
    """Why a site did not answer, in the site's own words; `id` finds the trace in its log."""

    category: str
    code: str
    cause: str
    remedy: str
    id: str


class SiteStatus(_Frozen):
    """Where one site of the roster stands; `reason` says why it is out, if it is."""

    name: str
    state: SiteState = "pending"
    reason: str = ""
    refusal: Refusal | None = None


class StrangerStatus(_Frozen):
    """A node that no verified advert has tied to a site, and why it is out."""

    address: str
    reason: str
    refusal: Refusal | None = None


class RoundStatus(_Frozen):
    """One round as it stands.

    Attributes:
        round: the session id in hex.
        sites: in the order of the roster.
        outcome: "refused" ends a round by its rules, with nothing revealed; "failed" is an
            accident of machines, and the round can be taken up again.
    """

    format: Literal["concause-round-status/1"] = "concause-round-status/1"
    round: str
    counter: int
    step: Step
    sites: tuple[SiteStatus, ...]
    strangers: tuple[StrangerStatus, ...] = ()
    started: AwareDatetime
    updated: AwareDatetime
    outcome: Outcome = "running"
    reason: str = ""

    @property
    def over(self) -> bool:
        """Return whether nothing more will happen by itself."""
        return self.outcome != "running"


def parse_refusal(document: bytes) -> Refusal:
    """Return the refusal that a site sent.

    Raises:
        PeerError: it is not canonical JSON with exactly the five texts, of bounded length.
    """
    try:
        fields = canonical.decode(document)
    except ConcauseError as error:
        raise _malformed() from error
    if not isinstance(fields, dict) or fields.keys() != Refusal.model_fields.keys():
        raise _malformed()
    texts = {name: value for name, value in fields.items() if isinstance(value, str)}
    if len(texts) != len(fields) or any(len(text) > MAX_TEXT for text in texts.values()):
        raise _malformed()
    return Refusal(**{name: printable(text) for name, text in texts.items()})


def printable(text: str) -> str:
    """Return `text` without what could move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _malformed() -> PeerError:
    return PeerError("malformed-refusal", "Expected a refusal of five texts, found something else.")
