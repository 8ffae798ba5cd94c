"""The privacy statement of a release: what is promised, by which means, under which trust.

Ordered after the layers of the differential privacy pyramid in NIST SP 800-226 (2025):
guarantee, mechanism, trust, exposure, and then what the promise does not cover. Integers,
digits and 'p/q' text are exact; decimal text is rounded so that no loss looks smaller and no
noise larger than it is. No number in it depends on records.
"""

import json
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from typing import TypeAlias

from protocol.canonical import fraction_text
from protocol.privacy.plan import Block, StatisticsPlan
from protocol.privacy.statistics import BlockKind
from protocol.study.study import Study
from server.release.basis import Basis
from server.release.limits import limits_of
from server.release.trust import left_the_sites, trust_in_words

FORMAT = "concause-privacy/1"
_DIGITS = 6
_STATISTICS: Mapping[BlockKind, str] = {
    "residual": "integer residual tables of every family (Xiao et al. 2023)",
    "histogram": "counts of numbers in parts of their bins",
    "moments": "integer moments of numbers with bounds",
}
Statement: TypeAlias = dict[str, object]


def privacy_statement(basis: Basis, opendp_version: str) -> Statement:
    """Return the statement; a pure function of the round and the library that converted."""
    return {
        "format": FORMAT,
        "structure": "NIST SP 800-226",
        "guarantee": _guarantee(basis, opendp_version),
        "mechanism": _mechanism(basis),
        "trust": _trust(basis),
        "cohort": _cohort(basis),
        "exposure": _exposure(basis),
        "limits": [limit._asdict() for limit in limits_of(basis)],
        **_rounds(basis),
        "study_hash": basis.study.hash.hex(),
        "plan_hash": basis.plan.hash.hex(),
        "session": basis.session.hex(),
    }


def encode_statement(statement: Mapping[str, object]) -> bytes:
    """Return the bytes of privacy.json: UTF-8, indented, keys in the order of the statement."""
    return (json.dumps(statement, indent=2, ensure_ascii=False) + "\n").encode()


def rounded_up(value: Fraction | float, digits: int = _DIGITS) -> str:
    """Return the smallest decimal of `digits` significant digits that is not below `value`."""
    return _rounded(Fraction(value), Context(prec=digits, rounding=ROUND_CEILING))


def small(value: Fraction) -> str:
    """Return `value` for people in a short form, such as 1e-6."""
    return f"{float(value):.3g}".replace("e-0", "e-")


def counted(count: int, noun: str) -> str:
    """Return the number with its noun, in the plural where due."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def row_bound(study: Study) -> str:
    """Return how many rows a unit may have at a site, in words."""
    if study.time is None:
        return counted(study.unit.max_rows_per_unit, "row")
    return f"1 row at each of {study.time.visits} visits"


def _rounds(basis: Basis) -> Statement:
    """Return what each of two rounds cost; a release of one says it in its guarantee alone."""
    if basis.followed is None:
        return {}
    return {
        "rounds": [_round(basis.followed), _round(basis)],
        "rounds_combined": bool(basis.earlier),
        "rounds_composition": "rho adds up over the rounds; epsilon is that of the sum at delta",
    }


def _round(basis: Basis) -> Statement:
    plan = basis.plan
    return {
        "study": basis.study.name,
        "study_hash": basis.study.hash.hex(),
        "plan_hash": plan.hash.hex(),
        "session": basis.session.hex(),
        "rho": _exact(plan.rho),
        "epsilon": rounded_up(plan.epsilon),
        "delta": _exact(plan.delta),
        "contributed": list(basis.contributed),
    }


def _guarantee(basis: Basis, opendp_version: str) -> Statement:
    unit, plan = basis.study.unit, basis.plan
    return {
        "unit": unit.name,
        "max_rows_per_unit": unit.max_rows_per_unit,
        "neighbouring": (
            f"Two datasets are neighbours if one has all the rows of one {unit.name} more: "
            f"at most {row_bound(basis.study)}, added or removed at one site."
        ),
        "rho": _exact(basis.rho),
        "epsilon": rounded_up(basis.epsilon),
        "delta": _exact(plan.delta),
        "variant": "zero-concentrated differential privacy (Bun and Steinke 2016)",
        "conversion": {
            "to": "approximate differential privacy",
            "library": f"opendp {opendp_version}",
            "rounding": "epsilon is rounded up",
        },
    }


def _mechanism(basis: Basis) -> Statement:
    plan, cohort = basis.plan, basis.study.cohort
    return {
        "name": "distributed discrete Gaussian",
        "source": "Kairouz, Liu, Steinke 2021, Proposition 14",
        "statistics": "; ".join(_STATISTICS[kind] for kind in _kinds(plan)),
        "noise_shares": plan.noise_shares,
        "noise_shares_rule": (
            f"n_min - c = {cohort.n_min} - {cohort.tolerated_colluders}: the shares that are "
            "there in the worst case that is counted on"
        ),
        "contributors": len(basis.cohort),
        "noise_shares_in_the_sum": basis.noisy.contributors,
        "composition": "rho adds up over the blocks",
        "blocks": [_block_row(block, plan) for block in plan.blocks],
    }


def _kinds(plan: StatisticsPlan) -> tuple[BlockKind, ...]:
    return tuple(dict.fromkeys(block.kind for block in plan.blocks))


def _block_row(block: Block, plan: StatisticsPlan) -> Statement:
    return {
        "kind": block.kind,
        "population": block.population,
        "clique": list(block.clique),
        "cells": block.size,
        "squared_sensitivity": str(block.squared_sensitivity),
        "site_scale": _noise(block.site_scale),
        "rho": _exact(block.rho),
        "share_of_rho": f"{float(block.rho / plan.rho):.4f}",
    }


def _trust(basis: Basis) -> Statement:
    cohort = basis.study.cohort
    return {
        "model": trust_in_words(basis),
        "aggregation": basis.study.trust.aggregation,
        "tolerated_colluders": cohort.tolerated_colluders,
        "threshold": basis.descriptor.threshold,
        "smallest_cohort": basis.descriptor.smallest_cohort,
        **_aggregators(basis),
    }


def _aggregators(basis: Basis) -> Statement:
    """Return who added up, and the noise that they added for missing sites, if anybody did."""
    if not basis.roster.aggregators:
        return {}
    added = basis.noisy.contributors - len(basis.cohort)
    named = [{"name": one.name, "key": one.key.hex()} for one in basis.roster.aggregators]
    return {"aggregators": named, "noise_shares_added": added}


def _cohort(basis: Basis) -> Statement:
    return {
        "sites": len(basis.roster.sites),
        "contributors": len(basis.cohort),
        "contributed": list(basis.contributed),
        "dropped": list(basis.dropped),
    }


def _exposure(basis: Basis) -> Statement:
    return {
        "left_the_sites": left_the_sites(basis),
        "published": "what follows from the noisy sum of all contributors, by computation alone",
        "never_published": "a record, a count of one site, a count without noise",
    }


def _exact(value: Fraction) -> Statement:
    return {"exact": fraction_text(value), "decimal": rounded_up(value)}


def _noise(scale: Fraction) -> Statement:
    rounded = _rounded(scale, Context(prec=_DIGITS, rounding=ROUND_FLOOR))
    return {"exact": fraction_text(scale), "decimal": rounded}


def _rounded(value: Fraction, context: Context) -> str:
    return format(context.divide(Decimal(value.numerator), Decimal(value.denominator)), "f")
