"""What a release says, made from its basis and model: shared by writing and verifying.

Every function here is pure, so that a verifier makes the same bytes again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from server.causal.model import Model
from server.release.alerts import find_alerts
from server.release.answers import Answer, answer_questions
from server.release.basis import Basis
from server.release.marginals import Tallies, compare_marginals
from server.release.report import Findings, render_report
from server.release.statement import encode_statement, privacy_statement

SOFTWARE = ("concause", "numpy", "opendp", "pandas", "pyarrow")  # versions are recorded


@dataclass(frozen=True, slots=True)
class Imprint:
    """Which release this is: its name, when and with what it was made."""

    release: str
    created: str  # ISO 8601, UTC, to the second
    software: Mapping[str, str]  # distribution: version


def make_privacy(basis: Basis, imprint: Imprint) -> bytes:
    """Return the bytes of privacy.json."""
    return encode_statement(privacy_statement(basis, imprint.software["opendp"]))


def make_report(
    basis: Basis,
    imprint: Imprint,
    model: Model,
    tallies: Mapping[str, Tallies],
    digests: Mapping[str, str],
) -> tuple[bytes, tuple[Answer, ...]]:
    """Return the bytes of report.html and the answers in it.

    `tallies[node]` counts the synthetic rows per level; `digests` are the SHA-256 of the other
    files, in hexadecimal.
    """
    answers = answer_questions(basis.study, model)
    marginals = compare_marginals(basis.study, basis.noisy, tallies)
    findings = Findings(
        basis=basis,
        statement=privacy_statement(basis, imprint.software["opendp"]),
        answers=answers,
        alerts=find_alerts(basis, answers, marginals),
        marginals=marginals,
        release=imprint.release,
        created=imprint.created,
        provenance=_provenance(basis, imprint, digests),
    )
    return render_report(findings).encode(), answers


def _provenance(basis: Basis, imprint: Imprint, digests: Mapping[str, str]) -> Mapping[str, str]:
    versions = ", ".join(f"{name} {version}" for name, version in imprint.software.items())
    return {
        "Release": imprint.release,
        "Created": imprint.created,
        "Session of the round": basis.session.hex(),
        "Study": basis.study.hash.hex(),
        "Plan": basis.plan.hash.hex(),
        "Roster": basis.roster.hash.hex(),
        **digests,
        "Software": versions,
    }
