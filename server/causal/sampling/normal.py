"""The normal quantile in additions, multiplications, divisions and roots: one result everywhere.

Wichura's AS 241 (PPND16, 1988), accurate to about 1 part in 10^16, with the logarithm of FreeBSD's
msun (`e_log.c`, Sun Microsystems 1993), which stays below one unit in the last place. Libraries'
own logarithms end in other digits on other processors; these operations do not (IEEE 754).
`kernels.py` has the same steps in the same order for one number at a time.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Reals: TypeAlias = NDArray[Any]  # float64, shape (rows,)
Polynomial: TypeAlias = tuple[float, ...]  # the constant first

HALF_STEP = 2.0**-54  # half of what `noise.fractions` resolves
CENTRAL, NEAR = 0.425, 5.0  # where the approximations meet: of |u - 1/2|, of sqrt(-log tail)
CENTRE, SHIFT = 0.180625, 1.6

CENTRAL_ABOVE: Polynomial = (
    3.3871328727963666080e0,
    1.3314166789178437745e2,
    1.9715909503065514427e3,
    1.3731693765509461125e4,
    4.5921953931549871457e4,
    6.7265770927008700853e4,
    3.3430575583588128105e4,
    2.5090809287301226727e3,
)
CENTRAL_BELOW: Polynomial = (
    1.0,
    4.2313330701600911252e1,
    6.8718700749205790830e2,
    5.3941960214247511077e3,
    2.1213794301586595867e4,
    3.9307895800092710610e4,
    2.8729085735721942674e4,
    5.2264952788528545610e3,
)
NEAR_ABOVE: Polynomial = (
    1.42343711074968357734e0,
    4.63033784615654529590e0,
    5.76949722146069140550e0,
    3.64784832476320460504e0,
    1.27045825245236838258e0,
    2.41780725177450611770e-1,
    2.27238449892691845833e-2,
    7.74545014278341407640e-4,
)
NEAR_BELOW: Polynomial = (
    1.0,
    2.05319162663775882187e0,
    1.67638483018380384940e0,
    6.89767334985100004550e-1,
    1.48103976427480074590e-1,
    1.51986665636164571966e-2,
    5.47593808499534494600e-4,
    1.05075007164441684324e-9,
)
FAR_ABOVE: Polynomial = (
    6.65790464350110377720e0,
    5.46378491116411436990e0,
    1.78482653991729133580e0,
    2.96560571828504891230e-1,
    2.65321895265761230930e-2,
    1.24266094738807843860e-3,
    2.71155556874348757815e-5,
    2.01033439929228813265e-7,
)
FAR_BELOW: Polynomial = (
    1.0,
    5.99832206555887937690e-1,
    1.36929880922735805310e-1,
    1.48753612908506148525e-2,
    7.86869131145613259100e-4,
    1.84631831751005468180e-5,
    1.42151175831644588870e-7,
    2.04426310338993978564e-15,
)
ROOT_HALF = 0.7071067811865476
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
LOG_ODD: Polynomial = (
    6.666666666666735130e-01,
    2.857142874366239149e-01,
    1.818357216161805012e-01,
    1.479819860511658591e-01,
)
LOG_EVEN: Polynomial = (
    3.999999999940941908e-01,
    2.222219843214978396e-01,
    1.531383769920937332e-01,
)


def normal_quantile(uniform: Reals) -> Reals:
    """Return the normal quantile at `uniform` + 2^-54, for multiples of 2^-53 in [0, 1).

    The middle of a step, taken exactly, so that no quantile is infinite.
    """
    centred = (uniform - 0.5) + HALF_STEP
    tail = 0.5 - np.abs(centred)
    found = _central(centred)
    (outside,) = np.nonzero(tail < 0.5 - CENTRAL)
    found[outside] = np.copysign(_outer(tail[outside]), centred[outside])
    return found


def logarithm(numbers: Reals) -> Reals:
    """Return the natural logarithm of positive normal numbers."""
    fraction, exponent = np.frexp(numbers)
    small = fraction < ROOT_HALF
    fraction = np.where(small, fraction * 2.0, fraction) - 1.0
    exponent = (exponent - small).astype(np.float64)
    ratio = fraction / (2.0 + fraction)
    square = ratio * ratio
    fourth = square * square
    series = square * _polynomial(LOG_ODD, fourth) + fourth * _polynomial(LOG_EVEN, fourth)
    half = 0.5 * fraction * fraction
    low = ratio * (half + series) + exponent * LN2_LOW
    return np.asarray(exponent * LN2_HIGH - ((half - low) - fraction))


def _central(centred: Reals) -> Reals:
    square = CENTRE - centred * centred
    above, below = _polynomial(CENTRAL_ABOVE, square), _polynomial(CENTRAL_BELOW, square)
    return np.asarray(centred * above / below)


def _outer(tail: Reals) -> Reals:
    depth = np.sqrt(-logarithm(tail))
    near, far = depth - SHIFT, depth - NEAR
    return np.where(
        depth <= NEAR,
        _polynomial(NEAR_ABOVE, near) / _polynomial(NEAR_BELOW, near),
        _polynomial(FAR_ABOVE, far) / _polynomial(FAR_BELOW, far),
    )


def _polynomial(coefficients: Polynomial, at: Reals) -> Reals:
    """Return the value by Horner's rule."""
    found = np.full_like(at, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        found = found * at + coefficient
    return found
