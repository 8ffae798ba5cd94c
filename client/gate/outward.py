"""What may leave a site when something went wrong: a class, a code, fixed words and an id.

Our own errors hold no data by rule (protocol/errors.py) and travel with their text. Anything
else, whatever its message holds, leaves as the same fixed words; its trace stays in the
site's log under the same id.
"""

from dataclasses import asdict, dataclass

from protocol import canonical
from protocol.errors import ConcauseError

MAX_TEXT = 1000  # characters; the coordinator takes no more


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the site did not answer, in words that may be shown to anyone."""

    category: str
    code: str
    cause: str
    remedy: str
    id: str

    def encode(self) -> bytes:
        """Return the canonical JSON that travels."""
        return canonical.encode(asdict(self))


def refusal_of(error: BaseException, incident: str) -> Refusal:
    """Return what may be said of `error` outside the site, under the id `incident`."""
    if isinstance(error, ConcauseError):
        cause, remedy = error.cause[:MAX_TEXT], error.remedy[:MAX_TEXT]
        return Refusal(error.category, error.code, cause, remedy, incident)
    return Refusal(
        "bug",
        "internal",
        "Something failed inside the site that should not have.",
        f"Ask the site's administrator to look for {incident} in the gate's log.",
        incident,
    )
