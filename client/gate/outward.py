"""What may leave a site when something went wrong: a class, a code, fixed words and an id.

What the coordinator has to mend (policy, approval, budget, protocol) travels with its text,
which holds no data by rule (protocol/errors.py). What only the site can mend leaves as one
fixed answer: its files, settings, disk and the state of its records are not the coordinator's
to know, and which of them failed may depend on a single record. Anything else, whatever its
message holds, leaves as the same fixed words. Code and trace stay in the site's log under the id.
"""

from dataclasses import asdict, dataclass

from protocol import canonical
from protocol.errors import ConcauseError, SiteOnlyError, StorageError, UsageError

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
    if concerns_site_alone(error):
        return Refusal(
            "infrastructure",
            "site-not-ready",
            "The site cannot answer for a reason that concerns it alone.",
            f"Ask the site's administrator to run `concause site explain {incident}`, "
            "`concause site status` and `concause site check`.",
            incident,
        )
    if isinstance(error, ConcauseError):
        cause, remedy = error.cause[:MAX_TEXT], error.remedy[:MAX_TEXT]
        return Refusal(error.category, error.code, cause, remedy, incident)
    return Refusal(
        "bug",
        "internal",
        "Something failed inside the site that should not have.",
        f"Ask the site's administrator to run `concause site explain {incident}`.",
        incident,
    )


def concerns_site_alone(error: BaseException) -> bool:
    """Return whether only the site can mend an error, and nobody else may learn more of it."""
    return isinstance(error, UsageError | StorageError | SiteOnlyError)
