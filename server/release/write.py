"""Writing a release: from a finished round to a folder that anyone can check.

Nothing is published that does not follow from the transcript: the round is replayed first, and
what is written is what a verifier will make again.
"""

from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.errors import UsageError
from protocol.secagg.roster import Roster
from protocol.signing import public_key
from server.causal.model import Model
from server.release.answers import Answer
from server.release.basis import Basis, establish
from server.release.contents import (
    Imprint,
    fit_basis,
    installed_software,
    make_privacy,
    make_report,
)
from server.release.folder import FollowedFile, ReleaseFile, building, file_digest
from server.release.manifest import (
    Estimation,
    FileRecord,
    Manifest,
    encode_manifest,
    release_id,
    sign_manifest,
)
from server.release.settings import fit_settings
from server.release.summary import ReleaseSummary, summarise
from server.release.synthetic import data_sets, tally_all, write_synthetic
from server.rounds.papers import Papers


def write_release(
    folder: Path,
    papers: Papers,
    *,
    followed: Papers | None = None,
    signing_key: Ed25519PrivateKey,
    now: datetime,
) -> ReleaseSummary:
    """Fit, sample, report and sign; the folder appears whole, or not at all.

    The round's id settles the seed of the fit's intervals, the study that of the synthetic rows.
    `followed` is the round of the study that this one follows. Both sums are combined if they are
    over the same sites; if not, this one is used alone and the report says so.

    Raises:
        UsageError: the folder exists, the study is not well formed, `followed` is missing or not
            what the study follows, or the key is not the coordinator's.
        PeerError, PolicyError, CohortError: the transcript does not hold, or is of another round.
        StorageError: the disk did not take it.
    """
    _check_signer(signing_key, papers.roster)
    basis = establish(papers, followed)
    settings = fit_settings(basis.session)
    imprint = _imprint(basis, settings, now)
    model = fit_basis(basis, settings)
    with building(folder) as draft:
        _write_papers(draft, ReleaseFile, papers)
        if followed is not None:
            _write_papers(draft, FollowedFile, followed)
        (draft / ReleaseFile.PRIVACY).write_bytes(make_privacy(basis, imprint))
        answers = _write_results(draft, basis, imprint, model)
        manifest = _manifest(draft, basis, imprint, settings)
        signed = encode_manifest(sign_manifest(manifest, signing_key))
        (draft / ReleaseFile.MANIFEST).write_bytes(signed)
    return summarise(folder, imprint.release, basis, answers)


def _write_papers(
    draft: Path, names: type[ReleaseFile] | type[FollowedFile], papers: Papers
) -> None:
    (draft / names.STUDY).write_bytes(papers.study_text.encode())
    (draft / names.TRANSCRIPT).write_bytes(papers.transcript)
    (draft / names.ROSTER).write_bytes(papers.roster.canonical)


def _write_results(draft: Path, basis: Basis, imprint: Imprint, model: Model) -> tuple[Answer, ...]:
    (draft / ReleaseFile.MODEL).write_bytes(model.to_json().encode())
    digest = file_digest(draft / ReleaseFile.MODEL)
    for name, copy in data_sets(basis.study, model).items():
        write_synthetic(draft / name, basis.study, model, digest, copy)
    tallies = tally_all(draft, basis.study)
    report, answers = make_report(basis, imprint, model, tallies, _records(draft))
    (draft / ReleaseFile.REPORT).write_bytes(report)
    return answers


def _manifest(draft: Path, basis: Basis, imprint: Imprint, settings: Estimation) -> Manifest:
    return Manifest(
        release=imprint.release,
        created=imprint.created,
        coordinator=basis.roster.coordinator.hex(),
        session=basis.session.hex(),
        study_hash=basis.study.hash.hex(),
        plan_hash=basis.plan.hash.hex(),
        roster_hash=basis.roster.hash.hex(),
        estimation=settings,
        software=imprint.software,
        files=_records(draft),
    )


def _records(draft: Path) -> dict[str, FileRecord]:
    """Return size and digest of the files that are there already."""
    return {
        path.name: FileRecord(sha256=file_digest(path).hex(), size=path.stat().st_size)
        for path in draft.iterdir()
    }


def _imprint(basis: Basis, settings: Estimation, now: datetime) -> Imprint:
    if now.tzinfo is None:
        raise UsageError(
            "naive-time", "Expected a time with its zone, found one without.", "Give it in UTC."
        )
    return Imprint(
        release=release_id(basis.study.name, basis.session, settings),
        created=now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        software=installed_software(),
    )


def _check_signer(key: Ed25519PrivateKey, roster: Roster) -> None:
    if public_key(key) != roster.coordinator:
        raise UsageError(
            "not-the-coordinator",
            "Expected the key of the roster's coordinator, found another.",
            "Sign with the key whose public half is in the roster.",
        )
