"""Releases of studies with every kind of mechanism, and with visits: written, verified, read."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from protocol.errors import PeerError
from server.causal.model import Model, load
from server.release.basis import Basis
from server.release.folder import file_digest
from server.release.marginals import compare_marginals
from server.release.summary import ReleaseSummary
from server.release.support import find_support
from server.release.synthetic import check_synthetic, data_sets, tally, tally_all
from server.release.verify import verify_release
from tests.support.causal_models import mixed_model, site_vector, visits_model
from tests.support.release_folders import write
from tests.support.release_rounds import basis_of, play_round
from tests.support.studies import MIXED_TEXT, VISITS_TEXT

QUESTIONS = """
[[questions]]
name = "ratio"
kind = "average"
measure = "hazard-ratio"
treatment = "treated"
treated = 1
reference = 0
outcome = "stay"

[[questions]]
name = "pressure"
kind = "average"
treatment = "treated"
treated = 1
reference = 0
outcome = "pressure"
"""


def with_rows(text: str) -> str:
    return text.replace("[variables]", "synthetic = { rows = 300, seed = 7 }\n\n[variables]", 1)


Released = tuple[Path, ReleaseSummary, Basis]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Released:
    return released(tmp_path_factory, with_rows(MIXED_TEXT) + QUESTIONS, mixed_model(0.0))


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Released:
    return released(tmp_path_factory, with_rows(VISITS_TEXT), visits_model(0.0))


def released(factory: pytest.TempPathFactory, text: str, truth: Model) -> Released:
    played = play_round(text, rows_per_site=120, vector=site_vector(truth))
    folder = factory.mktemp("releases") / "release"
    return folder, write(folder, played), basis_of(played)


def test_release_of_every_kind_verifies(mixed: Released) -> None:
    assert verify_release(mixed[0]).failures == ()


def test_release_of_visits_verifies(visits: Released) -> None:
    assert verify_release(visits[0]).failures == ()


def test_answers_carry_their_measure_and_how_they_were_computed(mixed: Released) -> None:
    effects = mixed[1].to_json()["effects"]
    assert isinstance(effects, list)
    assert [(one["measure"], one["method"]) for one in effects] == [
        ("risk", "exact"),
        ("hazard-ratio", "exact"),
        ("mean", "simulation"),
    ]
    assert effects[1]["estimate"] > 0
    assert effects[2]["monte_carlo_error"] > 0


def test_report_names_quantities_and_shows_cautions(mixed: Released) -> None:
    page = (mixed[0] / "report.html").read_text()
    for words in ("hazard ratio of stay", "difference in the risk of stay", "by simulation"):
        assert words in page
    for caution in load(mixed[0]).cautions:
        assert f"Reason to doubt the mechanism of {caution.node}" in page


def test_privacy_statement_says_what_kind_each_block_is(mixed: Released) -> None:
    statement = json.loads((mixed[0] / "privacy.json").read_text())["mechanism"]
    assert {block["kind"] for block in statement["blocks"]} == {"residual", "histogram", "moments"}
    assert "integer moments" in statement["statistics"]


def test_noisy_marginals_are_of_what_is_measured_in_tables(mixed: Released) -> None:
    folder, _, basis = mixed
    found = compare_marginals(basis.study, basis.noisy, tally_all(folder, basis.study))
    nodes = {marginal.node for marginal in found}
    assert {"sex", "age", "stay", "visits", "crp", "crp_missing"} <= nodes
    assert "pressure" not in nodes
    (stay,) = [marginal for marginal in found if marginal.node == "stay"]
    assert stay.labels[0] == "event [0, 30)"
    assert sum(stay.synthetic) == pytest.approx(1.0)
    assert sum(stay.released) == pytest.approx(1.0)


def test_synthetic_shares_are_near_the_released_ones(visits: Released) -> None:
    folder, _, basis = visits
    found = compare_marginals(basis.study, basis.noisy, tally_all(folder, basis.study))
    assert {"cd4[0]", "cd4[t]", "dead[t]", "sex"} <= {marginal.node for marginal in found}
    for marginal in found:
        pairs = zip(marginal.synthetic, marginal.released, marginal.deviation, strict=True)
        for made, noisy, deviation in pairs:
            assert abs(made - noisy) < 6 * deviation + 0.15


def test_support_is_of_the_families_in_tables(visits: Released, mixed: Released) -> None:
    found = [it.node for it in find_support(load(visits[0]), visits[2].noisy)]
    assert {"cd4[0]", "drug[0]", "cd4[t]", "drug[t]", "dead[t]"} <= set(found)
    assert not {"load[0]", "load[t]", "low[t]"} & set(found)
    assert "pressure" not in [it.node for it in find_support(load(mixed[0]), mixed[2].noisy)]


def test_tallies_of_exits_count_events_and_ends_of_observation(mixed: Released) -> None:
    folder, _, basis = mixed
    rows = pd.read_parquet(folder / "synthetic.parquet")
    counts = tally(folder / "synthetic.parquet", basis.study)["stay"]
    early, event = rows["stay"] < 30, rows["stay_event"] == 1
    expected = [early & event, ~early & event, early & ~event, ~early & ~event]
    assert counts.tolist() == [int(each.sum()) for each in expected]


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [("stay_event", 2, "value-outside-domain"), ("stay", None, "value-outside-domain")],
)
def test_exits_outside_the_domain_are_refused(
    mixed: Released, tmp_path: Path, column: str, value: int | None, code: str
) -> None:
    table = pq.read_table(mixed[0] / "synthetic.parquet")
    position = table.column_names.index(column)
    values = [value, *table.column(position).to_pylist()[1:]]
    field = table.schema.field(position)
    changed = table.set_column(position, field.name, pa.array(values, field.type))
    pq.write_table(changed, tmp_path / "altered.parquet")
    with pytest.raises(PeerError) as refusal:
        tally(tmp_path / "altered.parquet", mixed[2].study)
    assert refusal.value.code == code


@pytest.mark.parametrize(("by", "passes"), [(1e-12, True), (1e-7, False)])
def test_numbers_may_differ_by_rounding_and_no_more(
    mixed: Released, tmp_path: Path, by: float, passes: bool
) -> None:
    folder, _, basis = mixed
    path, model = tmp_path / "altered.parquet", load(folder)
    (copy,) = data_sets(basis.study, model).values()
    digest = file_digest(folder / "model.json")
    table = pq.read_table(folder / "synthetic.parquet")
    position = table.column_names.index("pressure")
    values = [value * (1 + by) for value in table.column(position).to_pylist()]
    field = table.schema.field(position)
    pq.write_table(table.set_column(position, field, pa.array(values, field.type)), path)
    if passes:
        check_synthetic(path, basis.study, model, digest, copy)
    else:
        with pytest.raises(PeerError) as refusal:
            check_synthetic(path, basis.study, model, digest, copy)
        assert refusal.value.code == "other-rows"


def test_rows_without_the_column_of_events_are_refused(mixed: Released, tmp_path: Path) -> None:
    table = pq.read_table(mixed[0] / "synthetic.parquet").drop_columns(["stay_event"])
    pq.write_table(table, tmp_path / "altered.parquet")
    with pytest.raises(PeerError) as refusal:
        tally(tmp_path / "altered.parquet", mixed[2].study)
    assert refusal.value.code == "other-columns"


def test_statement_bounds_the_rows_of_every_visit(visits: Released) -> None:
    guarantee = json.loads((visits[0] / "privacy.json").read_text())["guarantee"]
    assert "at most 1 row at each of 3 visits, added or removed" in guarantee["neighbouring"]
    page = (visits[0] / "report.html").read_text()
    assert "with at most 1 row at each of 3 visits, at a site" in page
    assert "persons at the first visit, a noisy count" in page


def test_limits_say_what_the_mechanisms_assume(mixed: Released, visits: Released) -> None:
    texts = {}
    for folder in (mixed[0], visits[0]):
        limits = json.loads((folder / "privacy.json").read_text())["limits"]
        texts[folder] = {limit["title"]: limit["text"] for limit in limits}
    assumed = texts[mixed[0]]["What the mechanisms assume"]
    assert "the form that the study declares: treated, pressure, visits." in assumed
    assert "observation ends early" in assumed
    assert (
        "visits that are not there tell nothing" in texts[visits[0]]["What the mechanisms assume"]
    )


def test_report_names_what_is_not_measured_by_levels(mixed: Released) -> None:
    page = (mixed[0] / "report.html").read_text()
    (sentence,) = [line for line in page.splitlines() if "Not measured by levels" in line]
    assert "pressure" in sentence.partition("Not measured by levels")[2]
