"""What `doctor` finds: for each check a problem, its consequence and how to fix it."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from enum import IntEnum
from importlib.metadata import version

from cryptography import x509

from protocol.canonical import Json
from protocol.errors import ConcauseError

WARN_DAYS, ALARM_DAYS = 30, 7
DAY_S = 86_400
FLOWER = "1.41.0"


class Health(IntEnum):
    """How a check ended; the worst one is doctor's exit code."""

    GOOD = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at and how it is."""

    check: str
    health: Health
    found: str
    consequence: str = ""
    remedy: str = ""

    def to_json(self) -> dict[str, Json]:
        """Return the value for `--json`."""
        return {**asdict(self), "health": self.health.name.lower()}


def worst(findings: Iterable[Finding]) -> Health:
    """Return the worst health of any finding."""
    return max((finding.health for finding in findings), default=Health.GOOD)


def good(check: str, found: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(check, Health.GOOD, found)


def looked(check: str, look: Callable[[], Iterable[Finding]], consequence: str) -> list[Finding]:
    """Return what a check found; an error of ours, with its remedy, is a finding too."""
    found: list[Finding] = []
    try:
        found.extend(look())
    except ConcauseError as error:
        found.append(Finding(check, Health.ERROR, error.cause, consequence, error.remedy))
    return found


def flower_finding() -> Finding:
    """Return whether Flower is the one version that this was made for."""
    found = version("flwr")
    if found == FLOWER:
        return good("flower", f"version {found}")
    return Finding(
        "flower",
        Health.ERROR,
        f"expected version {FLOWER}, found {found}",
        "Its messages and flags may be others.",
        f"pip install flwr=={FLOWER}",
    )


def certificate_findings(check: str, pem: bytes, *, now: int) -> list[Finding]:
    """Return how long each certificate in a PEM file still holds; `now` in seconds since 1970."""
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return [
            Finding(
                check,
                Health.ERROR,
                "the file holds no certificate in PEM",
                "No connection can be made.",
                "Put the right file there.",
            )
        ]
    return [_lifetime(check, certificate, now) for certificate in certificates]


def _lifetime(check: str, certificate: x509.Certificate, now: int) -> Finding:
    name = certificate.subject.rfc4514_string()
    begins = int(certificate.not_valid_before_utc.timestamp())
    ends = int(certificate.not_valid_after_utc.timestamp())
    until = f"{name} holds until {certificate.not_valid_after_utc:%Y-%m-%d}"
    left = (ends - now) // DAY_S
    if now < begins:
        return Finding(
            check,
            Health.ERROR,
            f"{name} begins to hold only on {certificate.not_valid_before_utc:%Y-%m-%d}",
            "Connections are refused until then.",
            "Check this machine's clock first; it may be behind.",
        )
    if now > ends:
        return Finding(
            check,
            Health.ERROR,
            f"{name} has expired, on {certificate.not_valid_after_utc:%Y-%m-%d}",
            "Connections are refused.",
            "Have it renewed: `concause coordinator certify`; check the clock, too.",
        )
    if left <= WARN_DAYS:
        urgent = left <= ALARM_DAYS
        return Finding(
            check,
            Health.ERROR if urgent else Health.WARNING,
            f"{until}, {left} more days",
            "Afterwards no site can connect.",
            "Renew it now: `concause coordinator certify`." if urgent else "Plan its renewal.",
        )
    return good(check, f"{until}, {left} more days")
