"""The budget of two rounds: what they cost together, and what a first one leaves of a total."""

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from protocol.canonical import fraction_text
from protocol.errors import UsageError
from protocol.privacy.conversion import epsilon_of, rho_of
from protocol.privacy.plan import StatisticsPlan, compile_plan
from protocol.study.sections import SMALLEST_RHO
from protocol.study.study import Study
from server.estimation.combination import check_follows
from server.release.basis import check_is_first

if TYPE_CHECKING:
    from server.causal.model import Model

_LEAST_SHARE = Fraction(1, 1000)  # of the first round's rho; a second one with less is noise alone
_FLOORED = Context(prec=9, rounding=ROUND_FLOOR)


@dataclass(frozen=True, slots=True)
class Together:
    """What two rounds cost a unit together: rho adds up, epsilon is read off at delta."""

    rho: Fraction
    delta: Fraction

    @property
    def epsilon(self) -> float:
        """The epsilon that `rho` is worth, for display."""
        return epsilon_of(self.rho, self.delta)

    def to_json(self) -> dict[str, Any]:
        """Return the cost as plain values."""
        return {
            "rho": fraction_text(self.rho),
            "epsilon": self.epsilon,
            "delta": fraction_text(self.delta),
        }

    @property
    def line(self) -> str:
        """The cost in a line, for people."""
        return (
            f"both rounds together: epsilon {self.epsilon:.4f} at delta {float(self.delta):.1e} "
            f"(rho {float(self.rho):.6f})"
        )


def together(first: Study, plan: StatisticsPlan) -> Together:
    """Return what a round of `plan` costs together with one of the study that it follows."""
    return Together(compile_plan(first).rho + plan.rho, plan.delta)


def followed_model(study: Study, model: "Model | None") -> "Model | None":
    """Return the model if it is of the study that `study` follows; None if there is nothing known.

    Raises:
        UsageError: `study` follows another study than the model's, or a third.
    """
    if study.plan.follows is None or model is None:
        return None
    check_follows(study, model.study)
    check_is_first(model.study)
    return model


def rho_left(total_epsilon: float, delta: Decimal, first: Study) -> Decimal:
    """Return the rho of a second round that costs `total_epsilon` together with the first.

    Rounded down to nine digits.

    Raises:
        UsageError: the first round has spent the total, or nearly.
    """
    spent = compile_plan(first).rho
    left = rho_of(Fraction(str(total_epsilon)), Fraction(delta)) - spent
    found = _FLOORED.divide(Decimal(left.numerator), Decimal(left.denominator))
    if found < SMALLEST_RHO or left < _LEAST_SHARE * spent:
        cost = epsilon_of(spent, Fraction(delta))
        raise UsageError(
            "nothing-left",
            f"Expected a total above the epsilon {cost:.4g} that the round of {first.name!r} cost, "
            f"found {total_epsilon:g}.",
            "Give a larger --total-epsilon, or publish what the first round brought.",
        )
    return found
