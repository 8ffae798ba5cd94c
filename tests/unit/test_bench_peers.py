"""What surrounds OpenDP's MST and AIM in the utility benchmark: jobs, limits, kept runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from bench.utility.marginal_based import (
    Limits,
    MarginalBased,
    Run,
    fingerprint,
    limit_reached,
    notes,
    read_run,
    write_run,
)
from bench.utility.synthesis import Request, column_names, cuts, read_job, write_job
from bench.utility.world import Contrast, Effects, Marginal, Records, Sites
from protocol.study.study import Study
from tests.support.networks import asia

REQUEST = Request("aim", 0.02, 4, 7, (2, 3), ((0,), (0, 1)), 40.0)
CODES = np.array([[0, 2], [1, 0], [1, 1], [0, 2]], dtype=np.int64)
ROWS = CODES.astype(np.uint8)
LIMITS = Limits(60.0, 500.0)


@dataclass(frozen=True)
class Asia:
    """A world with one contrast, without a truth."""

    name: str = "asia"
    contrasts: tuple[Contrast, ...] = (Contrast("smoke", "lung", 1, 0, (0.0, 1.0)),)
    marginals: Sequence[Marginal] = ()

    @property
    def truth(self) -> Effects:
        return np.full(1, np.nan)

    def study(self, epsilon: float, sites: Sites) -> Study:  # noqa: ARG002 - a World's signature
        return asia().study

    def records(self, rows: int, seed: int) -> Records:
        return Records(asia().records(rows, np.random.default_rng(seed)))


def test_bins_between_the_cuts_are_the_codes() -> None:
    found = cuts((2, 4))
    assert found == {"v0000": [0], "v0001": [0, 1, 2]}
    for (_, limits), size in zip(sorted(found.items()), (2, 4), strict=True):
        codes = np.arange(size)  # open on the left: a code belongs to the bin that ends at it
        assert np.searchsorted(limits, codes, side="left").tolist() == codes.tolist()


def test_column_of_one_level_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 levels"):
        cuts((2, 1))


def test_column_names_sort_in_their_order() -> None:
    names = column_names(1200)
    assert sorted(names) == names
    assert "len" not in names


def test_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_job(tmp_path / "job.npz", CODES, REQUEST)
    codes, request = read_job(tmp_path / "job.npz")
    assert request == REQUEST
    assert codes.tolist() == CODES.tolist()


def test_fingerprint_depends_on_records_and_on_every_part_of_the_request() -> None:
    others = [
        fingerprint(CODES[::-1], REQUEST),
        fingerprint(CODES, replace(REQUEST, rho=0.03)),
        fingerprint(CODES, replace(REQUEST, seed=8)),
        fingerprint(CODES, replace(REQUEST, workload=())),
        fingerprint(CODES, replace(REQUEST, max_size_mb=80.0)),
    ]
    assert fingerprint(CODES, REQUEST) == fingerprint(CODES.copy(), replace(REQUEST))
    assert len({fingerprint(CODES, REQUEST), *others}) == 6


def test_run_is_kept_for_the_same_fingerprint_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "run.npz"
    assert read_run(path, "a", LIMITS) is None
    write_run(path, Run(ROWS, 12.5, 300.0), "a", LIMITS)
    kept = read_run(path, "a", LIMITS)
    assert kept is not None
    assert kept.rows is not None
    assert kept.rows.tolist() == ROWS.tolist()
    assert (kept.cpu_seconds, kept.megabytes, kept.stopped) == (12.5, 300.0, "")
    assert read_run(path, "b", LIMITS) is None


@pytest.mark.parametrize(
    ("limits", "counts"),
    [
        (LIMITS, True),
        (Limits(30.0, 500.0), True),
        (Limits(61.0, 500.0), False),
        (Limits(60.0, 501.0), False),
    ],
)
def test_stopped_run_counts_until_it_would_be_allowed_more(
    tmp_path: Path, limits: Limits, counts: bool
) -> None:
    path = tmp_path / "run.npz"
    write_run(path, Run(None, 60.0, 300.0, "stopped"), "a", LIMITS)
    kept = read_run(path, "a", limits)
    assert (kept is not None) == counts
    assert kept is None or (kept.rows is None and kept.stopped == "stopped")


def test_notes_name_stopped_runs_and_no_others(tmp_path: Path) -> None:
    write_run(tmp_path / "mst-asia.npz", Run(ROWS, 1.0, 1.0), "a", LIMITS)
    write_run(tmp_path / "aim-alarm.npz", Run(None, 60.0, 1.0, "stopped at last"), "a", LIMITS)
    assert notes(tmp_path) == ["aim-alarm: stopped at last"]


@pytest.mark.parametrize(
    ("seconds", "megabytes", "reason"),
    [
        (59.0, 499.0, ""),
        (61.0, 499.0, "stopped after 1 minutes of CPU time, the limit"),
        (6.0, 1501.0, "stopped after 0 minutes of CPU time at 1,501 MB, above the limit of memory"),
    ],
)
def test_run_stops_at_its_limits(seconds: float, megabytes: float, reason: str) -> None:
    assert limit_reached(seconds, megabytes, LIMITS) == reason


def _kept(arm: MarginalBased, records: Records, run: Run) -> None:
    request = arm._request(asia().study, len(records.codes), 1.0, 3)
    digest = fingerprint(records.codes, request)
    path = arm.folder / f"{arm.name}-asia-{len(records.codes)}-1-3.npz"
    write_run(path, run, digest, arm.limits)


def test_arm_answers_from_kept_rows_without_running_anything(tmp_path: Path) -> None:
    arm, world = MarginalBased("mst", folder=tmp_path), Asia()
    records = world.records(500, 1)
    _kept(arm, records, Run(records.codes.astype(np.uint8), 9.0, 300.0))
    answer = arm.fit(world, records, 1.0, 3)
    smokes, lung = (records.codes[:, asia().nodes.index(name)] for name in ("smoke", "lung"))
    plain = lung[smokes == 1].mean() - lung[smokes == 0].mean()
    assert answer.effects == pytest.approx([plain], abs=0.005)  # up to the pull of one person
    assert np.isnan(answer.low).all()
    assert answer.seconds == 9.0


def test_stopped_run_answers_nan_for_everything(tmp_path: Path) -> None:
    arm, world = MarginalBased("aim", families=True, folder=tmp_path), Asia()
    records = world.records(50, 1)
    _kept(arm, records, Run(None, 60.0, 300.0, "stopped"))
    answer = arm.fit(world, records, 1.0, 3)
    assert np.isnan(answer.effects).all()
    assert [table.shape for table in answer.marginals] == [
        asia().study.sizes(family) for family in asia().study.causal_graph.families()
    ]
    assert all(np.isnan(table).all() for table in answer.marginals)


def test_aim_that_knows_the_graph_is_asked_for_its_families() -> None:
    study = asia().study
    told = MarginalBased("aim", families=True)._request(study, 10, 1.0, 0)
    assert MarginalBased("aim")._request(study, 10, 1.0, 0).workload == ()
    assert [tuple(asia().nodes[at] for at in clique) for clique in told.workload] == list(
        study.causal_graph.families()
    )
    assert told.rho == pytest.approx(0.024356, abs=1e-6)
