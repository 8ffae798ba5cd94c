"""What an aggregator checks before it opens anything, its share, and the noise that it adds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.errors import ConcauseError, PolicyError, UsageError
from protocol.identifiers import Digest
from protocol.privacy.plan import compile_plan
from protocol.secagg.keys import public_half
from protocol.secagg.ring import from_ring, unpack
from protocol.secagg.rounds import open_round
from protocol.study.document import parse_study
from protocol.terms import terms_of
from server.aggregator.cohort import Cohort, opened_sum, own_share, read_cohort
from server.aggregator.spent import SpentRounds
from server.aggregator.work import Operator, find_operator, generator_keys
from tests.support.secagg_network import Consortium, signing_key
from tests.support.split_world import SplitRound, expected, sealing_key, study_consortium

NOW = 1_900_000_000
TEXT = """
format = "concause-study/1"
name = "added-up"
title = "Added up"
author = "A"
expires = 2030-12-31
budget = { rho = 0.05 }
cohort = { n_min = 4, tolerated_colluders = 0, threshold = 3 }
trust = { aggregation = "aggregators" }
unit = { max_rows_per_site = 1000 }

[variables.a]
kind = "ordinal"
levels = ["1", "2", "3"]

[variables.b]
kind = "ordinal"
levels = ["1", "2", "3", "4"]

[graph]
edges = ["a -> b"]
"""


def world(aggregators: int = 2) -> Consortium:
    """Return four sites and a round of a real study, with plan and widths."""
    return study_consortium(TEXT, 4, aggregators)


WORLD = world()


def cohort_of(it: Consortium, silent: tuple[int, ...] = ()) -> Cohort:
    played = SplitRound(it, silent)
    played.collect()
    return read_cohort(TEXT, played.transcript, it.roster, now=NOW)


def zeros(count: int) -> bytes:
    return bytes(count)


def fresh(seed: int) -> "np.random.Generator":
    return np.random.default_rng(seed)


@pytest.mark.parametrize("aggregators", [2, 3])
def test_the_shares_of_all_aggregators_add_up_to_the_sum(aggregators: int) -> None:
    it = world(aggregators)
    cohort = cohort_of(it)
    assert cohort.missing == 0
    total = np.zeros(it.descriptor.length, np.int64)
    for place in range(aggregators):
        total += own_share(cohort, place, sealing_key(it.seed, place), zeros)
    assert (unpack(opened_sum(cohort, total)) == expected(it)).all()


def test_every_aggregator_adds_the_noise_of_the_sites_that_are_missing() -> None:
    cohort = cohort_of(WORLD, (2,))
    assert cohort.missing == 1
    added: list[NDArray[np.int64]] = []
    for place in range(2):
        key = sealing_key(WORLD.seed, place)
        exact = own_share(replace_missing(cohort), place, key, zeros)
        noisy = own_share(cohort, place, key, fresh(place).bytes)
        added.append(noisy - exact)
    for noise in added:
        deviations = np.concatenate(
            [noise[block.span] / float(block.site_scale) for block in cohort.plan.blocks]
        )
        assert 0.5 < deviations.std() < 1.6
        assert np.abs(deviations).max() < 6
    assert (added[0] != added[1]).mean() > 0.9


def replace_missing(cohort: Cohort) -> Cohort:
    """Return the cohort of a round that counts on fewer sites, so that no noise is missing."""
    opening = cohort.state.opening
    descriptor = replace(opening.descriptor, n_min=opening.descriptor.threshold)
    signed = replace(opening.signed, descriptor=descriptor)
    state = replace(cohort.state, opening=replace(opening, signed=signed))
    return replace(cohort, state=state)


def refusal(**changes: object) -> ConcauseError:
    played = SplitRound(WORLD)
    played.collect()
    given: dict[str, object] = {
        "study_text": TEXT,
        "transcript": played.transcript,
        "roster": WORLD.roster,
        "now": NOW,
    }
    arguments = given | changes
    with pytest.raises(ConcauseError) as refused:
        read_cohort(
            arguments["study_text"],  # type: ignore[arg-type]
            arguments["transcript"],  # type: ignore[arg-type]
            arguments["roster"],  # type: ignore[arg-type]
            now=arguments["now"],  # type: ignore[arg-type]
        )
    return refused.value


def test_a_round_of_another_roster_is_not_opened() -> None:
    assert refusal(roster=replace(WORLD.roster, name="another")).code == "other-roster"


def test_a_round_after_its_deadline_is_not_opened() -> None:
    assert refusal(now=WORLD.descriptor.deadline + 1).code == "deadline-passed"


def test_a_round_that_is_not_of_the_study_shown_is_not_opened() -> None:
    other = TEXT.replace("a -> b", "b -> a")
    assert refusal(study_text=other).code == "other-study"


def test_a_round_that_does_not_wait_for_openings_is_not_opened() -> None:
    played = SplitRound(WORLD)
    assert refusal(transcript=played.transcript).code == "out-of-turn"
    whole = SplitRound(WORLD)
    whole.finish()
    assert refusal(transcript=whole.transcript).code == "out-of-turn"


def test_a_transcript_in_which_a_share_was_changed_is_not_opened() -> None:
    played = SplitRound(WORLD)
    played.collect()
    changed = bytearray(played.transcript)
    changed[-200] ^= 1
    assert refusal(transcript=bytes(changed)).code == "bad-signature"


def test_a_round_with_noise_or_cohort_below_the_studys_is_not_opened() -> None:
    for changes, code in (
        ({"threshold": 3, "n_min": 3}, "cohort-below-policy"),
        ({"plan_hash": Digest(bytes(32))}, "other-plan"),
    ):
        issued = WORLD.issue(**changes)
        played = SplitRound(issued)
        open_round(issued.signed, issued.roster)
        played.collect()
        assert refusal(transcript=played.transcript).code == code


def test_a_round_is_opened_once_ever(tmp_path: Path) -> None:
    session, cohort = WORLD.descriptor.session, Digest(bytes(32))
    spent = SpentRounds(tmp_path / "rounds")
    assert not spent.is_spent(session)
    spent.spend(session, cohort)
    for again in (spent, SpentRounds(tmp_path / "rounds")):
        assert again.is_spent(session)
        with pytest.raises(PolicyError) as refused:
            again.spend(session, Digest(bytes([1]) * 32))
        assert refused.value.code == "already-opened"


def test_what_was_signed_is_kept_to_be_handed_in_again(tmp_path: Path) -> None:
    played = SplitRound(WORLD)
    played.collect()
    spent = SpentRounds(tmp_path)
    assert spent.kept(WORLD.descriptor.session) is None
    opened = played.opened(1)
    spent.keep(opened)
    assert spent.kept(WORLD.descriptor.session) == opened


def operator(it: Consortium, place: int) -> Operator:
    keys = (signing_key(it.seed, "aggregator", place), sealing_key(it.seed, place))
    return find_operator(f"operator-{place}", it.roster, *keys)


def test_an_operator_is_found_by_its_name_and_both_keys() -> None:
    assert operator(WORLD, 1).place == 1
    for name, signer, sealer in (("operator-0", 1, 0), ("operator-0", 0, 1), ("else", 0, 0)):
        with pytest.raises(UsageError) as refused:
            find_operator(
                name,
                WORLD.roster,
                signing_key(WORLD.seed, "aggregator", signer),
                sealing_key(WORLD.seed, sealer),
            )
        assert refused.value.code == "not-in-roster"
    assert public_half(sealing_key(WORLD.seed, 0)) == WORLD.roster.aggregators[0].sealing_key


@pytest.mark.parametrize("parties", [2, 3])
def test_neighbours_derive_the_same_keys_and_nobody_else_does(parties: int) -> None:
    it = world(parties)
    cohort = cohort_of(it)
    keys = [generator_keys(operator(it, place), cohort) for place in range(parties)]
    for place in range(parties):
        assert keys[place]["next"] == keys[(place + 1) % parties]["prev"]
    assert len({key["next"] for key in keys}) == parties
    assert len({key["local"] for key in keys}) == parties
    assert len({key["global"] for key in keys}) == 1


def test_a_study_for_aggregators_says_so_in_its_terms() -> None:
    study = parse_study(TEXT.replace('"aggregators"', '"masking"'))
    masked = terms_of(study, compile_plan(study), WORLD.roster)
    assert masked.aggregation != WORLD.descriptor.aggregation
    assert from_ring(expected(WORLD)).size == WORLD.descriptor.length
