"""The policy file: deny unless allowed, each rule with its own code."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path

import pytest

from client.gate.consent import Consents
from client.gate.policy import read_policy
from client.gate.proposal import Proposals, Wishes
from protocol.errors import PolicyError, UsageError
from protocol.privacy.conversion import epsilon_of
from protocol.signing import public_key
from protocol.study.document import parse_study
from protocol.study.study import Study
from tests.support.site_world import NOW, STUDY, Exchange, PretendedRecords, World, key


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path)) as world:
        yield world


def examined(world: World) -> None:
    with closing(world.memory(0)) as memory:
        Consents(world.config(0), memory.standing).examine(world.study, now=NOW)


def test_policy_that_allows_the_study_lets_it_pass(world: World) -> None:
    examined(world)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('aggregation = ["masking"]', "", "policy-aggregation"),
        ('aggregation = ["masking"]', 'aggregation = ["masking"]\nauthors = []', "policy-author"),
        ("[cohort]", 'variables = ["a"]\n[cohort]', "policy-variable"),
        ("[cohort]", "variables = []\n[cohort]", "policy-variable"),
        ("n_min = 3", "n_min = 4", "policy-cohort"),
        ("n_min = 3", "", "policy-cohort-unset"),
        ("noise_shares = 3", "noise_shares = 4", "policy-noise-shares"),
        ("noise_shares = 3", "", "policy-cohort-unset"),
    ],
)
def test_rule_that_is_not_met_or_not_set_refuses_by_its_name(
    world: World, old: str, new: str, code: str
) -> None:
    world.set_policy(0, old, new)
    with pytest.raises(PolicyError) as refused:
        examined(world)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "allowed", ['authors = ["The testers"]', 'variables = ["a", "b", "c"]', "longest_round_s = 60"]
)
def test_optional_limit_that_is_met_lets_the_study_pass(world: World, allowed: str) -> None:
    world.set_policy(0, "[cohort]", f"{allowed}\n[cohort]")
    examined(world)


def proposed(world: World, units: int) -> None:
    @contextmanager
    def opened(_: Study) -> Iterator[PretendedRecords]:
        yield PretendedRecords(units_that_count=units)

    with closing(world.memory(0)) as memory:
        Proposals(world.config(0), opened, memory).propose(world.study, Wishes(), now=NOW)


def test_a_study_on_fewer_units_than_the_policy_asks_for_is_not_proposed(world: World) -> None:
    world.set_policy(0, "[cohort]", "least_units = 200\n[cohort]")
    proposed(world, 200)
    with pytest.raises(PolicyError) as refused:
        proposed(world, 199)
    assert refused.value.code == "policy-least-units"
    assert "199" not in str(refused.value)


def test_units_are_not_counted_again_while_a_round_runs(world: World) -> None:
    for site in range(world.sites):
        world.set_policy(site, "[cohort]", "least_units = 200\n[cohort]")
        world.approve(site)
    few = PretendedRecords(units_that_count=1)
    gates = {site: world.open(site, records=few) for site in range(world.sites)}
    assert len(Exchange(world, world.issue()).play(gates).cohort) == world.sites


def test_policy_without_a_roster_refuses_and_says_what_to_write(world: World) -> None:
    world.set_policy(0, f'roster = "{world.roster.hash.hex()}"', "")
    with pytest.raises(PolicyError) as refused:
        examined(world)
    assert refused.value.code == "policy-roster-unset"
    assert world.roster.hash.hex() in refused.value.remedy


def test_roster_that_the_policy_does_not_name_is_refused(world: World) -> None:
    world.set_policy(0, world.roster.hash.hex(), "00" * 32)
    with pytest.raises(PolicyError) as refused:
        examined(world)
    assert refused.value.code == "policy-other-roster"


@pytest.mark.parametrize("party", ["coordinator", "site-0", "site-2"])
def test_party_of_the_roster_may_not_approve(world: World, party: str) -> None:
    world.set_policy(0, public_key(key("officer")).hex(), public_key(key(party)).hex())
    with pytest.raises(PolicyError) as refused:
        examined(world)
    assert refused.value.code == "policy-approver-is-a-party"


@pytest.mark.parametrize("table", ["lifetime", "study"])
def test_cap_that_is_not_set_allows_nothing(world: World, table: str) -> None:
    world.set_policy(0, f"[budget.{table}]\nrho = 0.1", "")
    with pytest.raises(PolicyError) as refused:
        _ = read_policy(world.config(0).site.policy).caps
    assert refused.value.code == "policy-budget-unset"
    assert f"budget.{table}" in refused.value.cause


def test_cap_in_epsilon_is_worth_no_more_than_that_epsilon(world: World) -> None:
    world.set_policy(
        0, "[budget.lifetime]\nrho = 0.1", "[budget.lifetime]\nepsilon = 3.0\ndelta = 1e-6"
    )
    lifetime = read_policy(world.config(0).site.policy).caps.lifetime
    assert 0.1 < lifetime < 1
    assert epsilon_of(lifetime, Fraction(1, 10**6)) <= 3


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rho = 0.1", "rho = -1", "greater than 0"),
        ("rho = 0.1", "epsilon = 1.0", "give rho, or epsilon and delta"),
        ("n_min = 3", "n_mim = 3", "cohort.n_mim is not a setting"),
        ("[cohort]", "least_units = 0\n[cohort]", "least_units"),
        ('format = "concause-policy/1"', "", "format is missing"),
        ('role = "auditor"', 'role = "king"', "people.3.role"),
        ("Ben Officer", "ADA  Steward", "two people must not share"),
        (public_key(key("officer")).hex(), public_key(key("steward")).hex(), "must not share"),
        ('aggregation = ["masking"]', 'aggregation = ["trust-me"]', "aggregation.0"),
    ],
)
def test_mistake_in_the_file_is_named_by_its_field(
    world: World, old: str, new: str, words: str
) -> None:
    world.set_policy(0, old, new)
    with pytest.raises(UsageError, match=words) as refused:
        examined(world)
    assert refused.value.code == "settings-not-valid"


def test_file_that_is_not_toml_is_refused(world: World) -> None:
    world.config(0).site.policy.write_text("roster = ")
    with pytest.raises(UsageError) as refused:
        examined(world)
    assert refused.value.code == "settings-not-toml"


def test_missing_file_allows_nothing(world: World) -> None:
    world.config(0).site.policy.unlink()
    with pytest.raises(UsageError) as refused:
        examined(world)
    assert refused.value.code == "settings-not-found"


def test_study_whose_last_day_is_over_is_refused(tmp_path: Path) -> None:
    expired = parse_study(STUDY.replace("2099-12-31", "2020-01-01"))
    with closing(World(tmp_path, study=expired)) as world, pytest.raises(PolicyError) as refused:
        examined(world)
    assert refused.value.code == "study-expired"


def test_roster_too_small_for_the_study_is_refused(tmp_path: Path) -> None:
    with closing(World(tmp_path, sites=2)) as world, pytest.raises(UsageError) as refused:
        examined(world)
    assert refused.value.code == "roster-too-small"
