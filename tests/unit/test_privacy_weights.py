"""Directed weights: a study may say how much each block matters."""

from collections.abc import Sequence
from fractions import Fraction

import pytest

from protocol.errors import UsageError
from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.privacy.statistics import statistics_of
from protocol.study.document import parse_study, study_from_canonical
from tests.support.studies import MIXED_TEXT, STUDY_TEXT, VISITS_TEXT, edited


def test_weights_that_say_what_the_plan_would_say_change_nothing() -> None:
    for text in (STUDY_TEXT, MIXED_TEXT, VISITS_TEXT):
        plan = compile_plan(parse_study(text))
        weighted = compile_plan(parse_study(text + _weights(_lines(text))))
        assert _scales(weighted) == pytest.approx(_scales(plan), rel=1e-4)


def test_a_larger_weight_takes_noise_from_its_block_and_gives_it_to_the_others() -> None:
    lines = _lines(STUDY_TEXT)
    place = next(at for at, line in enumerate(lines) if '["sex"]' in line)
    lines[place] = _line(("sex",), "residual", "units", Fraction(50))
    plain, directed = (
        compile_plan(parse_study(text)) for text in (STUDY_TEXT, STUDY_TEXT + _weights(lines))
    )
    assert directed.block(("sex",)).site_scale < plain.block(("sex",)).site_scale
    assert directed.block(("age",)).site_scale > plain.block(("age",)).site_scale
    assert plain.rho * Fraction(9999, 10_000) < directed.rho <= plain.rho * Fraction(10_001, 10_000)


def test_blocks_that_no_weight_names_keep_their_share_of_the_budget() -> None:
    private = edited("rho = 0.5", "rho = 0.01", MIXED_TEXT)  # so that no scale is held at 3
    tables = [line for line in _lines(private) if 'kind = "residual"' in line]
    tables[1] = tables[1].replace("weight = ", "weight = 900")
    plain, directed = (
        compile_plan(parse_study(text)) for text in (private, private + _weights(tables))
    )
    for kind in ("histogram", "moments"):
        shares = [
            float(sum(block.rho for block in plan.blocks if block.kind == kind) / plan.rho)
            for plan in (plain, directed)
        ]
        assert shares[0] == pytest.approx(shares[1], rel=1e-3)


def test_the_order_of_weights_does_not_change_the_hash() -> None:
    lines = _lines(VISITS_TEXT)
    one, other = (
        parse_study(VISITS_TEXT + _weights(order)) for order in (lines, list(reversed(lines)))
    )
    assert one.hash == other.hash
    assert study_from_canonical(one.canonical).canonical == one.canonical


def test_an_earlier_study_that_this_one_follows_is_in_the_hash() -> None:
    plain = parse_study(STUDY_TEXT)
    following = parse_study(f'{STUDY_TEXT}\n[plan]\nfollows = "{plain.hash.hex()}"\n')
    assert following.plan.follows == plain.hash.hex()
    assert following.hash != plain.hash
    assert study_from_canonical(following.canonical).plan == following.plan


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda lines: lines[1:], "the row count (residual, units)"),
        (lambda lines: [*lines, lines[0]], "the row count (residual, units)"),
        (lambda lines: [*lines, _line(("sex", "cd4[0]"), "residual", "units")], "sex x cd4[0]"),
        (lambda lines: [*lines, _line(("cd4[0]", "sex"), "residual", "units")], "cd4[0] x sex"),
        (lambda lines: [*lines, _line(("unknown",), "residual", "units")], "unknown"),
        (lambda lines: [*lines, _line(("sex",), "histogram", "units")], "sex (histogram, units)"),
        (
            lambda lines: [line for line in lines if "transitions" not in line],
            "(residual, transitions)",
        ),
    ],
)
def test_weights_of_other_blocks_than_the_plans_are_refused(change: object, named: str) -> None:
    assert callable(change)
    study = parse_study(VISITS_TEXT + _weights(change(_lines(VISITS_TEXT))))
    with pytest.raises(UsageError) as refusal:
        compile_plan(study)
    assert refusal.value.code == "weights-not-the-plan"
    assert named in refusal.value.cause


def _lines(text: str) -> list[str]:
    """Return an entry per block of the study's plan, with the weight that it has anyway."""
    return [
        _line(one.clique, one.kind, one.population, one.coefficient)
        for one in statistics_of(parse_study(text))
    ]


def _line(clique: Sequence[str], kind: str, population: str, weight: Fraction = Fraction(1)) -> str:
    names = ", ".join(f'"{name}"' for name in clique)
    return (
        f'[[plan.weights]]\nclique = [{names}]\nkind = "{kind}"\npopulation = "{population}"\n'
        f"weight = {float(weight):.12f}"
    )


def _weights(lines: Sequence[str]) -> str:
    return "\n" + "\n".join(lines) + "\n"


def _scales(plan: StatisticsPlan) -> list[float]:
    return [float(block.site_scale) for block in plan.blocks]
