"""Issues a round: makes its folder, then has Flower run the driver on it and looks on."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from protocol.errors import ConcauseError, StorageError, UsageError
from protocol.privacy.plan import compile_plan
from protocol.secagg.descriptor import Descriptor, RoundTerms, sign_descriptor
from protocol.secagg.roster import Roster, parse_roster
from protocol.secagg.rounds import open_round
from protocol.secagg.transcript import Header
from protocol.signing import public_key
from protocol.study.document import parse_study
from protocol.study.study import Study
from protocol.terms import check_selectors, terms_of
from server.rounds.board import fresh_status
from server.rounds.clock import Clock
from server.rounds.coordinator_config import CoordinatorConfig
from server.rounds.counter import next_counter
from server.rounds.flower import prepare_homes, stage_app
from server.rounds.flower_cli import FlowerCli, FlowerRun
from server.rounds.folder import RoundFolder, create_round_folder
from server.rounds.papers import FollowedRound, check_followed
from server.rounds.run_settings import RunSettings
from server.rounds.signing_key import load_signing_key
from server.rounds.status import RoundStatus

RUN_CONFIG = "run.toml"
_LOOK_S = 0.25  # between two looks at the status file, which is cheap
_ASK_FLOWER_S = 20.0  # between two questions to Flower, which cost a process each
_MARGIN_S = 60.0  # for a driver past its deadline to end by itself


def prepare_round(
    config: CoordinatorConfig,
    study_text: str,
    *,
    now: datetime,
    followed: FollowedRound | None = None,
) -> RoundFolder:
    """Return the folder of a new round of a study, with its signed descriptor.

    `followed` is the round of the study that this one follows. Everything is checked before a
    counter is used up.

    Raises:
        UsageError: the study is not well formed, has expired or does not fit the roster,
            the key is not the roster's coordinator's, or `followed` is missing or not called for.
    """
    study, roster = parse_study(study_text), read_roster(config.coordinator.roster)
    _check_current(study, now)
    check_followed(study, given=followed is not None)
    study.cohort.check_roster_size(len(roster.sites))
    if study.candidates:
        check_selectors(roster)
    terms = terms_of(study, compile_plan(study), roster)
    key = load_signing_key(config.coordinator.signing_key)
    if public_key(key) != roster.coordinator:
        raise UsageError(
            "not-the-coordinator",
            f"Expected the key of the coordinator in roster {roster.name!r}, found another.",
            "Check signing_key and roster in coordinator.toml.",
        )
    deadline = int(now.timestamp()) + config.round.deadline_s
    descriptor = _descriptor(terms, next_counter(config.counter), deadline)
    header = Header(roster, sign_descriptor(descriptor, key))
    open_round(header.signed, header.roster)  # what sites will check, checked here first
    name = f"{descriptor.counter:06d}-{descriptor.session.hex()[:12]}"
    return create_round_folder(config.rounds / name, header, study_text, followed)


def issue(
    config: CoordinatorConfig,
    folder: RoundFolder,
    clock: Clock,
    flower: FlowerCli,
    watch: Callable[[RoundStatus], None] = lambda _: None,
) -> RoundStatus:
    """Run the round in `folder`, or take it up again, and return how it ended.

    `watch` is called with every change of status. If this is interrupted, so is the round.

    Raises:
        UsageError: the round is over already.
        StorageError: Flower did not take the round.
    """
    watched = _Watched(folder, clock, watch)
    watched.begin()
    prepare_homes(config)
    run_config = folder.path / RUN_CONFIG
    settings = RunSettings(folder.path.absolute(), config.round.timings)
    run_config.write_text(settings.as_toml(), encoding="utf-8")
    try:
        run_id = flower.run(stage_app(config), run_config)
    except ConcauseError as error:
        watched.fail(str(error))
        raise
    try:
        return watched.until_over(flower, run_id, config)
    except KeyboardInterrupt:
        with suppress(StorageError):
            flower.stop(run_id)
        watched.fail("Stopped by the coordinator.")
        raise


@dataclass(frozen=True, slots=True)
class _Watched:
    """A round that another process drives, seen through its status file."""

    folder: RoundFolder
    clock: Clock
    watch: Callable[[RoundStatus], None]

    def begin(self) -> None:
        """Say that the round runs, unless it is over for good."""
        status = self.folder.read_status()
        if status is not None and status.outcome in {"complete", "refused"}:
            raise UsageError(
                "round-over",
                f"Expected a round that is not over, found one that is {status.outcome}.",
                "Issue a new round.",
            )
        status = status or fresh_status(self.folder.read_header(), self.clock.now())
        self._write(status, outcome="running", reason="")

    def until_over(self, flower: FlowerCli, run_id: str, config: CoordinatorConfig) -> RoundStatus:
        """Look at the status until it is final; ask Flower now and then if anybody is at work."""
        began = asked = self.clock.monotonic()
        seen = self._status()
        while not seen.over:
            self.clock.sleep(_LOOK_S)
            now = self.clock.monotonic()
            if now - asked >= _ASK_FLOWER_S:
                asked = now
                self._check_alive(flower, _seen_by(flower, run_id), now - began, config)
            before, seen = seen, self._status()
            if seen != before:
                self.watch(seen)
        return seen

    def _check_alive(
        self, flower: FlowerCli, run: FlowerRun, age_s: float, config: CoordinatorConfig
    ) -> None:
        """Write the end of the round into its status if its driver cannot."""
        if self._status().over:
            return
        if run.finished:
            self.fail(f"The round's driver ended without a result ({run.status}). {run.details}")
        elif run.waiting and age_s > config.round.start_timeout_s:
            flower.stop(run.run_id)
            self.fail("No executor took the round. Start flower-superexec, then go on with it.")
        elif age_s > config.round.deadline_s + _MARGIN_S:
            flower.stop(run.run_id)
            self.fail("The round's driver did not end at the deadline.")

    def fail(self, reason: str) -> None:
        """Write that the round has failed."""
        self._write(self._status(), outcome="failed", reason=reason)

    def _status(self) -> RoundStatus:
        status = self.folder.read_status()
        if status is None:
            raise StorageError(
                "status-lost",
                f"Expected {self.folder.status}, found no such file.",
                "Give the round folder back its files, then take the round up again.",
            )
        return status

    def _write(self, status: RoundStatus, **changes: object) -> None:
        updated = {**changes, "updated": self.clock.now()}
        self.folder.write_status(status.model_copy(update=updated))


def _seen_by(flower: FlowerCli, run_id: str) -> FlowerRun:
    """Return how the run stands; a SuperLink that restarts meanwhile loses no run."""
    try:
        return flower.look(run_id)
    except StorageError:
        return FlowerRun(run_id, "unknown")


def read_roster(path: Path) -> Roster:
    """Return the coordinator's roster.

    Raises:
        UsageError: there is none at `path`, or it is malformed.
    """
    try:
        return parse_roster(path.read_bytes())
    except OSError as error:
        raise UsageError(
            "file-not-found",
            f"Expected the roster at {path}, found no file that can be read.",
            "Check roster in coordinator.toml.",
        ) from error


def _check_current(study: Study, now: datetime) -> None:
    if study.expires < now.date():
        raise UsageError(
            "study-expired",
            f"Expected a study that is current, found one that expired on {study.expires}.",
            "Give the study a later date; every site then has to approve it again.",
        )


def _descriptor(terms: RoundTerms, counter: int, deadline: int) -> Descriptor:
    return Descriptor(
        counter=counter,
        roster_hash=terms.roster_hash,
        study_hash=terms.study_hash,
        plan_hash=terms.plan_hash,
        length=terms.layout.length,
        narrow=terms.layout.narrow,
        threshold=terms.threshold,
        n_min=terms.n_min,
        colluders=terms.colluders,
        aggregation=terms.aggregation,
        deadline=deadline,
    )
