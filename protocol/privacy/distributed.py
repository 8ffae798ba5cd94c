"""The distributed discrete Gaussian: what a sum of sites' noise shares costs in zCDP.

Kairouz, Liu, Steinke 2021 ("The Distributed Discrete Gaussian Mechanism for Federated Learning
with Secure Aggregation"), proposition 14. The sum of n discrete Gaussians is not one, but close:

    tau = 10 sum_{k=1..n-1} exp(-2 pi^2 s^2 k / (k + 1)),  l_p = D_p / (sqrt(n) s)
    rho = min { l_2^2 / 2 + tau d,  (l_2^2 + 2 tau l_1 + tau^2 d) / 2,  (l_2 + tau sqrt(d))^2 / 2 }

All is evaluated in fractions, rounded up. From s = 3 on, tau is below 2^-120.
"""

from fractions import Fraction

from protocol.errors import UsageError
from protocol.privacy.roots import root_above

SMALLEST_SITE_SCALE = 3
RHO_BITS = 96  # costs are multiples of 2^-96, so that a ledger adds them exactly

_PI_BELOW = Fraction(333, 106)
_LOG2_E_BELOW = Fraction(14426, 10_000)
_SMALLEST_EXPONENT = 160  # exp(-x) is never bounded below 2^-160: enough, and cheap


def sum_rho(
    squared_sensitivity: int, dimension: int, site_scale: Fraction, noise_shares: int
) -> Fraction:
    """Return an upper bound on the zCDP of integers plus `noise_shares` discrete Gaussians.

    Args:
        squared_sensitivity: D^2, largest squared L2 distance of neighbouring integer vectors.
        dimension: length d of the vector.
        site_scale: s, the scale parameter of every share.
        noise_shares: how many honest shares are counted on.

    Raises:
        UsageError: s < 3, where the shares' sum is not yet as good as one discrete Gaussian.
    """
    if site_scale < SMALLEST_SITE_SCALE:
        raise UsageError(
            "noise-scale-too-small",
            f"Expected a noise scale of at least {SMALLEST_SITE_SCALE} per site, "
            f"found {float(site_scale):.3f}.",
            "Use a smaller epsilon or rho, or let fewer sites share the noise (a smaller n_min).",
        )
    return divergence_bound(squared_sensitivity, dimension, site_scale, noise_shares)


def divergence_bound(
    squared_sensitivity: int, dimension: int, site_scale: Fraction, noise_shares: int
) -> Fraction:
    """Return the bound of proposition 14, valid for s >= 1/2, as a multiple of 2^-96.

    The L1 sensitivity is bounded by D_1 <= sqrt(d) D_2, and by D_1 <= D_2^2 for integers.
    """
    tau = tau_above(site_scale, noise_shares)
    sum_variance = noise_shares * site_scale**2
    l2_squared = squared_sensitivity / sum_variance
    l1_squared = squared_sensitivity * min(dimension, squared_sensitivity) / sum_variance
    forms = (
        l2_squared / 2 + tau * dimension,
        (l2_squared + 2 * tau * root_above(l1_squared) + tau**2 * dimension) / 2,
        (root_above(l2_squared) + tau * root_above(Fraction(dimension))) ** 2 / 2,
    )
    return _up(min(forms))


def tau_above(site_scale: Fraction, noise_shares: int) -> Fraction:
    """Return an upper bound on tau, at most twice the real one as long as that is above 2^-160."""
    return 10 * sum(
        (_exp_above(site_scale**2 * Fraction(k, k + 1)) for k in range(1, noise_shares)),
        start=Fraction(0),
    )


def _exp_above(exponent: Fraction) -> Fraction:
    """Return an upper bound on exp(-2 pi^2 exponent): a power of two."""
    bits = 2 * _PI_BELOW**2 * exponent * _LOG2_E_BELOW
    return Fraction(1, 1 << min(int(bits), _SMALLEST_EXPONENT))


def _up(rho: Fraction) -> Fraction:
    return Fraction(-((-rho.numerator << RHO_BITS) // rho.denominator), 1 << RHO_BITS)
