"""Natural effects and their analogues, against sums over all values and formulas."""

from itertools import product

import numpy as np
import pytest

from protocol.errors import UsageError
from server.causal.answers import answering
from server.causal.mediation.effects import Kind, mediate
from server.causal.model import Model
from tests.support.causal_models import model_of, regression, study_of, visits_model
from tests.support.networks import asia, mixed

BOOLEAN = 'kind = "boolean"'
NUMBER = 'kind = "numeric", edges = [-80, 0, 80]'
ORDINAL = 'kind = "ordinal", levels = ["a", "b", "c"]'
NATURAL = ["c -> t", "c -> m", "c -> y", "t -> m", "t -> y", "m -> y"]
INDUCED = [*NATURAL, "t -> w", "w -> m", "w -> y"]


def network(edges: list[str], spread: float = 0.0) -> Model:
    names = sorted({name for edge in edges for name in edge.split(" -> ")})
    kinds = {name: ORDINAL if name == "m" else BOOLEAN for name in names}
    return model_of(study_of(kinds, edges), spread=spread)


def probability(model: Model, node: str, values: dict[str, int]) -> float:
    mechanism = model.mechanisms[node]
    row = tuple(values[parent] for parent in mechanism.parents)
    return float(mechanism.table[(*row, values[node])])  # type: ignore[union-attr]


def natural_mean(model: Model, seen: int, through: int) -> float:
    """Return E[Y(seen, M(through))] by the mediation formula (Pearl 2001)."""
    total = 0.0
    for c, m in product(range(2), range(3)):
        values = {"c": c, "m": m, "t": through}
        share = probability(model, "c", values) * probability(model, "m", values)
        total += share * probability(model, "y", {**values, "t": seen, "y": 1})
    return total


def drawn_mean(model: Model, seen: int, through: int) -> float:
    """Return E[Y(seen, G(through))], G drawn given c alone, with w of its own on either side."""
    total = 0.0
    for c, m, w, other in product(range(2), range(3), range(2), range(2)):
        there = {"c": c, "m": m, "w": other, "t": through}
        here = {"c": c, "m": m, "w": w, "t": seen, "y": 1}
        share = probability(model, "c", here) * probability(model, "w", here)
        share *= probability(model, "w", there) * probability(model, "m", there)
        total += share * probability(model, "y", here)
    return total


@pytest.mark.parametrize("exact", [True, False])
def test_natural_effects_follow_the_mediation_formula(
    monkeypatch: pytest.MonkeyPatch, *, exact: bool
) -> None:
    model = network(NATURAL, 0.1)
    if not exact:
        monkeypatch.setattr(answering, "exact_distributions", lambda *_, **__: None)
    found = mediate(model, "t", "y", "m")
    means = {pair: natural_mean(model, *pair) for pair in product((0, 1), repeat=2)}
    expected = {
        "total": means[1, 1] - means[0, 0],
        "direct": means[1, 0] - means[0, 0],
        "indirect": means[1, 1] - means[1, 0],
        "total direct": means[1, 1] - means[0, 1],
        "pure indirect": means[0, 1] - means[0, 0],
    }
    assert set(found.effects) == set(expected)
    for name, estimate in found.effects.items():
        room = 1e-12 if exact else 4 * estimate.monte_carlo_error + 1e-12
        assert abs(estimate.estimate - expected[name]) < room, name
        assert estimate.method == ("exact" if exact else "simulation")
        assert estimate.low < estimate.estimate < estimate.high
    assert found.direct.estimate + found.indirect.estimate == pytest.approx(found.total.estimate)
    assert found.rung == "counterfactual"
    assert any("cross-world" in line for line in found.rests_on)
    if exact:
        assert found.total.estimate == pytest.approx(model.effect("t", "y").estimate, abs=1e-12)


@pytest.mark.parametrize("exact", [True, False])
def test_interventional_analogues_draw_mediators_anew(
    monkeypatch: pytest.MonkeyPatch, *, exact: bool
) -> None:
    model = network(INDUCED)
    if not exact:
        monkeypatch.setattr(answering, "exact_distributions", lambda *_, **__: None)
    found = mediate(model, "t", "y", "m", kind="interventional")
    direct = drawn_mean(model, 1, 0) - drawn_mean(model, 0, 0)
    indirect = drawn_mean(model, 1, 1) - drawn_mean(model, 1, 0)
    room = 1e-12 if exact else 4 * found.direct.monte_carlo_error
    assert abs(found.direct.estimate - direct) < room
    room = 1e-12 if exact else 4 * found.indirect.monte_carlo_error
    assert abs(found.indirect.estimate - indirect) < room
    assert found.rung == "interventional"


def test_without_an_induced_confounder_analogues_are_the_natural_effects() -> None:
    model = network(NATURAL)
    kinds: tuple[Kind, Kind] = ("natural", "interventional")
    one, other = (mediate(model, "t", "y", "m", kind=kind) for kind in kinds)
    for name, effect in one.effects.items():
        assert other.effects[name].estimate == pytest.approx(effect.estimate, abs=1e-12)


def test_natural_effects_past_an_induced_confounder_are_refused_with_its_paths() -> None:
    with pytest.raises(UsageError) as refusal:
        mediate(network(INDUCED), "t", "y", "m")
    assert refusal.value.code == "exposure-induced-confounder"
    for path in ("t -> w", "w -> m", "w -> y"):
        assert path in refusal.value.cause
    assert "interventional" in refusal.value.remedy


def test_the_induced_confounder_may_be_a_mediator_itself() -> None:
    model = network(INDUCED)
    found = mediate(model, "t", "y", ["m", "w"])
    assert found.mediators == ("m", "w")
    assert found.total.estimate == pytest.approx(model.effect("t", "y").estimate, abs=1e-12)
    chain = network(["t -> w", "w -> m", "m -> y", "t -> y"])
    through = mediate(chain, "t", "y", "m")
    assert through.indirect.estimate == pytest.approx(
        mediate(chain, "t", "y", "w").indirect.estimate, abs=1e-12
    )


def test_linear_effects_are_products_of_slopes_and_interactions_are_told_apart() -> None:
    study = study_of(
        {"t": BOOLEAN, "m": NUMBER, "both": NUMBER, "y": NUMBER},
        ["t -> m", "t -> both", "m -> both", "m -> y", "t -> y", "both -> y"],
        {
            "m": '"gaussian"',
            "y": '"gaussian"',
            "both": '{ kind = "rule", value = "where(t, m, 0)" }',
        },
    )
    order = study.causal_graph.parents["y"]
    slopes = dict(zip(("t", "m", "both"), (1.0, 0.8, 0.4), strict=True))
    given = {
        "m": regression(study, "m", np.array([0.0, 0.5]), 1.0),
        "y": regression(study, "y", np.array([0.0, *(slopes[node] for node in order)]), 1.0),
    }
    found = mediate(model_of(study, given), "t", "y", "m")
    expected = {
        "total": 1.6,
        "direct": 1.0,
        "indirect": 0.6,
        "total direct": 1.2,
        "pure indirect": 0.4,
    }
    for name, value in expected.items():
        effect = found.effects[name]
        assert abs(effect.estimate - value) < max(4 * effect.monte_carlo_error, 1e-9), name


def test_the_share_that_is_mediated_is_told_only_of_an_effect_that_is_there() -> None:
    clear = mediate(network(NATURAL, 0.01), "t", "y", "m")
    assert clear.proportion is not None
    assert clear.proportion.estimate == pytest.approx(
        clear.indirect.estimate / clear.total.estimate
    )
    assert mediate(network(NATURAL, 2.0), "t", "y", "m").proportion is None
    ratio = mediate(network(NATURAL, 0.01), "t", "y", "m", measure="risk-ratio")
    assert ratio.proportion is None
    product_ = ratio.direct.estimate * ratio.indirect.estimate
    assert product_ == pytest.approx(ratio.total.estimate)


def test_effects_are_a_table_for_people() -> None:
    frame = mediate(network(NATURAL, 0.1), "t", "y", "m").to_frame()
    assert list(frame.index) == ["total", "direct", "indirect", "total direct", "pure indirect"]
    assert (frame["low"] <= frame["high"]).all()


def test_a_treatment_at_every_visit_is_seen_by_mediators_at_every_visit() -> None:
    model = visits_model()
    found = mediate(model, "drug", "dead[2]", "dead[1]")
    assert found.total.estimate == pytest.approx(
        model.effect("drug", "dead[2]").estimate, abs=1e-12
    )
    later = mediate(model.do({"dead[1]": 0}), "drug", "dead[2]", [])
    assert later.direct.estimate == pytest.approx(later.total.estimate, abs=1e-12)


def test_mediation_among_persons_and_of_levels() -> None:
    model = network(NATURAL)
    found = mediate(model, "t", "m", [], given={"c": 1}, event="c")
    assert found.indirect.estimate == 0
    row = {"c": 1, "m": 2}
    share = [probability(model, "m", {**row, "t": t}) for t in (0, 1)]
    assert found.direct.estimate == pytest.approx(share[1] - share[0])


@pytest.mark.parametrize(
    ("mediators", "code"),
    [
        ("xray", "not-a-mediator"),
        ("asia", "not-a-mediator"),
        ("dyspnoea", "not-a-mediator"),
        ("lun", "unknown-node"),
    ],
)
def test_what_is_no_mediator_is_refused(mediators: str, code: str) -> None:
    with pytest.raises(UsageError) as refusal:
        mediate(asia().model(), "smoke", "dyspnoea", mediators)
    assert refusal.value.code == code
    assert "'lung'" in refusal.value.remedy


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        mediate(mixed().model(), "dose", "event", [], kind="pure", treated="high", reference="low")  # type: ignore[arg-type]
    assert refusal.value.code == "unknown-kind"
