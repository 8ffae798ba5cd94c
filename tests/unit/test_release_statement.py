"""The privacy statement says what the round did, and rounds against the reader's hopes."""

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.canonical import parse_fraction
from protocol.privacy.conversion import epsilon_of
from server.release.basis import Basis
from server.release.limits import LIMITS
from server.release.statement import (
    counted,
    encode_statement,
    privacy_statement,
    rounded_up,
    small,
)
from tests.support.release_rounds import basis_of, play_round


@pytest.fixture(scope="module")
def basis() -> Basis:
    return basis_of(play_round(silent=("south",)))


def statement_of(basis: Basis) -> Any:
    return json.loads(encode_statement(privacy_statement(basis, "0.16.0")))


def test_exact_figures_are_those_of_the_plan(basis: Basis) -> None:
    guarantee = statement_of(basis)["guarantee"]
    assert parse_fraction(guarantee["rho"]["exact"]) == basis.plan.rho
    assert parse_fraction(guarantee["delta"]["exact"]) == Fraction(1, 10**6)
    assert Decimal(guarantee["epsilon"]) >= Decimal(epsilon_of(basis.plan.rho, basis.plan.delta))
    assert guarantee["unit"] == "person"
    assert guarantee["max_rows_per_unit"] == 1


def test_the_costs_of_the_blocks_add_up_to_the_whole(basis: Basis) -> None:
    blocks = statement_of(basis)["mechanism"]["blocks"]
    assert sum(parse_fraction(block["rho"]["exact"]) for block in blocks) == basis.plan.rho
    assert [tuple(block["clique"]) for block in blocks] == [
        block.clique for block in basis.plan.blocks
    ]


def test_noise_is_rounded_down_so_that_it_does_not_look_larger(basis: Basis) -> None:
    for block in statement_of(basis)["mechanism"]["blocks"]:
        scale = parse_fraction(block["site_scale"]["exact"])
        assert 0 <= scale - Fraction(block["site_scale"]["decimal"]) < scale / 10**5


def test_sites_are_listed_by_name_as_contributed_or_dropped(basis: Basis) -> None:
    cohort = statement_of(basis)["cohort"]
    assert cohort == {
        "sites": 3,
        "contributors": 2,
        "contributed": ["north", "east"],
        "dropped": ["south"],
    }


def test_every_limit_that_must_be_printed_is_there(basis: Basis) -> None:
    titles = [limit["title"] for limit in statement_of(basis)["limits"]]
    assert titles == [limit.title for limit in LIMITS]
    assert len(titles) == 5


def test_the_released_integers_are_not_in_the_statement(basis: Basis) -> None:
    document = encode_statement(privacy_statement(basis, "0.16.0")).decode()
    assert str(basis.noisy.values[0]) not in document


def test_the_same_round_gives_the_same_bytes(basis: Basis) -> None:
    once, again = (encode_statement(privacy_statement(basis, "0.16.0")) for _ in range(2))
    assert once == again


@given(st.fractions(min_value=Fraction(1, 10**9), max_value=10**6), st.integers(1, 12))
def test_rounding_is_upwards_and_to_the_digit(value: Fraction, digits: int) -> None:
    shown = Fraction(rounded_up(value, digits))
    assert value <= shown <= value * (1 + Fraction(10, 10**digits))


def test_small_numbers_and_counts_read_well() -> None:
    assert small(Fraction(1, 10**6)) == "1e-6"
    assert small(Fraction(1, 1000)) == "0.001"
    assert counted(1, "row") == "1 row"
    assert counted(2000, "row") == "2,000 rows"
