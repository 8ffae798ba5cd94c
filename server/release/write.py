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
from server.estimation.fit import fit
from server.release.answers import Answer
from server.release.basis import Basis, establish
from server.release.contents import Imprint, installed_software, make_privacy, make_report
from server.release.folder import ReleaseFile, building, file_digest
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


def write_release(
    folder: Path,
    *,
    study_text: str,
    transcript: bytes,
    roster: Roster,
    signing_key: Ed25519PrivateKey,
    now: datetime,
) -> ReleaseSummary:
    """Fit, sample, report and sign; the folder appears whole, or not at all.

    The round's id settles the seed of the fit's intervals, the study that of the synthetic rows.

    Raises:
        UsageError: the folder exists, the study is not well formed, or the key is not the
            coordinator's.
        PeerError, PolicyError, CohortError: the transcript does not hold, or is of another round.
        StorageError: the disk did not take it.
    """
    _check_signer(signing_key, roster)
    basis = establish(study_text, transcript, roster)
    settings = fit_settings(basis.session)
    imprint = _imprint(basis, settings, now)
    model = fit(basis.study, basis.plan, basis.noisy, draws=settings.draws, seed=settings.seed)
    with building(folder) as draft:
        (draft / ReleaseFile.STUDY).write_bytes(study_text.encode())
        (draft / ReleaseFile.TRANSCRIPT).write_bytes(transcript)
        (draft / ReleaseFile.ROSTER).write_bytes(roster.canonical)
        (draft / ReleaseFile.PRIVACY).write_bytes(make_privacy(basis, imprint))
        answers = _write_results(draft, basis, imprint, model)
        manifest = _manifest(draft, basis, imprint, settings)
        signed = encode_manifest(sign_manifest(manifest, signing_key))
        (draft / ReleaseFile.MANIFEST).write_bytes(signed)
    return summarise(folder, imprint.release, basis, answers)


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
