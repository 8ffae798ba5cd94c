"""The second half of a verification: everything in a release is made again, and compared.

From the transcript to the sum, the plan, the privacy statement, the model, the rows and the
report. Runs after every byte was found to be what the coordinator signed: what fails here was
wrong already when it was published.
"""

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import TypeAlias

from protocol.errors import PeerError
from protocol.identifiers import Digest
from protocol.secagg.roster import parse_roster
from protocol.study.document import parse_study
from protocol.study.study import Study
from server.causal.mechanisms.alikeness import alike, alike_placements
from server.causal.model import Model
from server.causal.synthetic.copies import Copy
from server.estimation.combination import check_follows
from server.release.basis import Basis, check_is_first, establish, establish_followed
from server.release.checks import Check, checked
from server.release.contents import (
    Imprint,
    fit_basis,
    installed_software,
    make_privacy,
    make_report,
)
from server.release.folder import FollowedFile, ReleaseFile, content_of
from server.release.manifest import Manifest, release_id
from server.release.self_contained import breaches
from server.release.settings import fit_settings
from server.release.statement import counted
from server.release.synthetic import check_synthetic, data_sets, tally_all
from server.rounds.papers import Papers


def remake(folder: Path, manifest: Manifest) -> Iterator[Check]:
    """Yield one check per step from the study to the report; the first that fails is the last."""
    release = _Release(folder, manifest)
    for name, file, step in _steps(release):
        check = checked(name, file, partial(step, release))
        yield check
        if not check.passed:
            return


class _Release:
    """A release whose bytes are in order, read and made again as its checks ask for it."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.imprint = Imprint(manifest.release, manifest.created, manifest.software)

    @cached_property
    def study(self) -> Study:
        return parse_study(self.text(ReleaseFile.STUDY))

    @cached_property
    def followed(self) -> Papers | None:
        if self.study.plan.follows is None:
            return None
        return self.papers(FollowedFile)

    @cached_property
    def basis(self) -> Basis:
        return establish(self.papers(ReleaseFile), self.followed)

    @cached_property
    def model(self) -> Model:
        return Model.from_json(self.read(ReleaseFile.MODEL).decode(errors="replace"))

    @property
    def model_digest(self) -> Digest:
        return Digest(bytes.fromhex(self.manifest.files[ReleaseFile.MODEL].sha256))

    def papers(self, names: type[ReleaseFile] | type[FollowedFile]) -> Papers:
        return Papers(
            self.text(names.STUDY),
            self.read(names.TRANSCRIPT),
            parse_roster(self.read(names.ROSTER)),
        )

    def read(self, name: ReleaseFile | FollowedFile) -> bytes:
        return (self.folder / name).read_bytes()

    def text(self, name: ReleaseFile | FollowedFile) -> str:
        try:
            return self.read(name).decode()
        except UnicodeDecodeError as error:
            raise PeerError("not-text", "Expected UTF-8 text, found something else.") from error


def _check_study(release: _Release) -> str:
    study = release.study
    _same("hash of the study", study.hash.hex(), release.manifest.study_hash)
    return f"hash {study.hash.hex()[:16]}…"


def _check_followed_study(release: _Release) -> str:
    first = parse_study(release.text(FollowedFile.STUDY))
    check_follows(release.study, first)
    check_is_first(first)
    return f"hash {first.hash.hex()[:16]}…"


def _check_followed_round(release: _Release) -> str:
    found = establish_followed(release.study, release.followed)
    if found is None:
        return "none"
    return f"{len(found.cohort)} of {len(found.roster.sites)} sites in its sum"


def _check_round(release: _Release) -> str:
    basis, manifest = release.basis, release.manifest
    _same("session of the round", basis.session.hex(), manifest.session)
    _same("hash of the roster", basis.roster.hash.hex(), manifest.roster_hash)
    return f"{len(basis.cohort)} of {len(basis.roster.sites)} sites in the sum"


def _check_settings(release: _Release) -> str:
    basis, manifest = release.basis, release.manifest
    settings = fit_settings(basis.session)
    if manifest.estimation != settings:  # SPEC 10.1: a seed that nobody chooses
        raise PeerError("other-settings", "Expected the draws and the seed that the round settles.")
    name = release_id(basis.study.name, basis.session, settings)
    _same("id of the release", name, manifest.release)
    return f"{settings.draws} draws, seed {settings.seed}"


def _check_plan(release: _Release) -> str:
    plan = release.basis.plan
    _same("hash of the plan", plan.hash.hex(), release.manifest.plan_hash)
    return f"{len(plan.blocks)} blocks, {plan.length:,} cells"


def _check_privacy(release: _Release) -> str:
    made = make_privacy(release.basis, release.imprint)
    _same("privacy statement", made, release.read(ReleaseFile.PRIVACY))
    return f"epsilon {release.basis.epsilon:.4g}"


def _check_model(release: _Release) -> str:
    basis, published = release.basis, release.model
    made = fit_basis(basis, fit_settings(basis.session))
    _same("study of the model", published.study.hash, basis.study.hash)
    _same("provenance of the model", published.provenance, made.provenance)
    for node in basis.study.causal_graph.nodes:
        if not alike(published.mechanisms[node], made.mechanisms[node]):
            raise PeerError("other-model", f"The sum gives another mechanism for {node!r}.")
    if not alike_placements(published.placements, made.placements):
        raise PeerError("other-model", "The sum places values elsewhere inside their bins.")
    _same("cautions of the model", published.cautions, made.cautions)
    return f"fitted again from {'both sums' if basis.earlier else 'the sum'}"


def _check_content(release: _Release) -> str:
    copies, follows = release.study.synthetic.copies, release.study.plan.follows is not None
    expected = counted(copies, "synthetic data set")
    if follows:
        expected += " and the papers of the earlier round"
    if set(release.manifest.files) != set(content_of(copies, follows=follows)):
        raise PeerError("other-files", f"Expected {expected}, found other files.")
    return expected


def _check_rows(name: str, copy: Copy, release: _Release) -> str:
    path, study = release.folder / name, release.basis.study
    return check_synthetic(path, study, release.model, release.model_digest, copy)


def _check_report(release: _Release) -> str:
    published = release.read(ReleaseFile.REPORT)
    found = breaches(published.decode(errors="replace"))
    if found:
        raise PeerError("not-self-contained", f"The page reaches beyond itself, line {found[0]}.")
    tallies = tally_all(release.folder, release.basis.study)
    files = release.manifest.files
    made, _ = make_report(release.basis, release.imprint, release.model, tallies, files)
    if made != published:
        cause = "The report is not the one that follows."
        raise PeerError("does-not-follow", cause, _remedy(release.imprint))
    return "loads nothing; drawn again"


def _remedy(imprint: Imprint) -> str:
    """Return what to try with another page: never to trust it, since its signer names versions."""
    if imprint.software == installed_software():
        return ""
    return (
        "The manifest names other versions of the software than these here, which may draw "
        "another page: verify with the versions that it names."
    )


_Step: TypeAlias = tuple[str, str, Callable[[_Release], str]]

_OF_THE_STUDY: tuple[_Step, ...] = (
    ("study is the one named", ReleaseFile.STUDY, _check_study),
    ("files are those that the study asks for", ReleaseFile.MANIFEST, _check_content),
)
_OF_THE_FOLLOWED: tuple[_Step, ...] = (
    ("study is followed by this one", FollowedFile.STUDY, _check_followed_study),
    ("earlier round replays to its sum", FollowedFile.TRANSCRIPT, _check_followed_round),
)
_UP_TO_THE_MODEL: tuple[_Step, ...] = (
    ("round replays to the sum", ReleaseFile.TRANSCRIPT, _check_round),
    ("draws and seed follow from the round", ReleaseFile.MANIFEST, _check_settings),
    ("plan compiles again", ReleaseFile.STUDY, _check_plan),
    ("privacy follows from the plan", ReleaseFile.PRIVACY, _check_privacy),
    ("model follows from the sum", ReleaseFile.MODEL, _check_model),
)


def _steps(release: _Release) -> Iterator[_Step]:
    """Yield the steps; what a step says about later ones is asked once it has passed."""
    yield from _OF_THE_STUDY
    if release.study.plan.follows is not None:
        yield from _OF_THE_FOLLOWED
    yield from _UP_TO_THE_MODEL
    for name, copy in data_sets(release.basis.study, release.model).items():
        yield "rows follow from the model", name, partial(_check_rows, name, copy)
    yield "report follows from all", ReleaseFile.REPORT, _check_report


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise PeerError("does-not-follow", f"The {what} is not the one that follows.")
