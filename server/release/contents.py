"""What a release says, made from its basis and model: shared by writing and verifying.

What is made here depends on its arguments alone, so that a verifier makes the same bytes again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

from server.causal.model import Model
from server.estimation.fit import fit
from server.release.alerts import find_alerts
from server.release.answers import Answer, answer_questions
from server.release.basis import Basis
from server.release.folder import ReleaseFile, content_of
from server.release.manifest import Estimation, FileRecord
from server.release.marginals import Tallies, compare_marginals
from server.release.report import Findings, render_report
from server.release.statement import encode_statement, privacy_statement
from server.release.support import find_support

_SOFTWARE = ("concause", "numpy", "opendp", "pandas", "pyarrow")


@dataclass(frozen=True, slots=True)
class Imprint:
    """Which release this is: its name, when and with what it was made."""

    release: str
    created: str  # ISO 8601, UTC, to the second
    software: Mapping[str, str]  # distribution: version


def installed_software() -> Mapping[str, str]:
    """Return the versions of what takes part in making a release."""
    return {name: version(name) for name in _SOFTWARE}


def fit_basis(basis: Basis, settings: Estimation) -> Model:
    """Return the model of a round's sum, and of the followed round's where they are combined."""
    return fit(
        basis.study,
        basis.plan,
        basis.noisy,
        earlier=basis.earlier,
        draws=settings.draws,
        seed=settings.seed,
    )


def make_privacy(basis: Basis, imprint: Imprint) -> bytes:
    """Return the bytes of privacy.json."""
    return encode_statement(
        privacy_statement(basis, imprint.software.get("opendp", "of unknown version"))
    )


def make_report(
    basis: Basis,
    imprint: Imprint,
    model: Model,
    tallies: Mapping[str, Tallies],
    files: Mapping[str, FileRecord],
) -> tuple[bytes, tuple[Answer, ...]]:
    """Return the bytes of report.html and the answers in it.

    `tallies[node]` counts the synthetic rows per measured level; `files` are the other files.
    """
    answers = answer_questions(basis.study, model)
    evidence = basis.evidence
    marginals = compare_marginals(basis.study, evidence, tallies)
    findings = Findings(
        basis=basis,
        statement=privacy_statement(basis, imprint.software.get("opendp", "of unknown version")),
        answers=answers,
        alerts=find_alerts(
            basis, answers, marginals, find_support(model, evidence), model.cautions
        ),
        marginals=marginals,
        release=imprint.release,
        created=imprint.created,
        provenance=_provenance(basis, imprint, files),
    )
    return render_report(findings).encode(), answers


def _provenance(
    basis: Basis, imprint: Imprint, files: Mapping[str, FileRecord]
) -> Mapping[str, str]:
    study, followed = basis.study, basis.followed
    content = content_of(study.synthetic.copies, follows=followed is not None)
    others = (name for name in content if name != ReleaseFile.REPORT)
    versions = ", ".join(f"{name} {version}" for name, version in imprint.software.items())
    return {
        "Release": imprint.release,
        "Created": imprint.created,
        "Session of the round": basis.session.hex(),
        "Study": study.hash.hex(),
        "Plan": basis.plan.hash.hex(),
        "Roster": basis.roster.hash.hex(),
        **_followed_provenance(followed),
        **{name: f"SHA-256 {files[name].sha256}" for name in others},
        "Software": versions,
    }


def _followed_provenance(followed: Basis | None) -> Mapping[str, str]:
    if followed is None:
        return {}
    return {
        "Session of the earlier round": followed.session.hex(),
        "Earlier study": followed.study.hash.hex(),
    }
