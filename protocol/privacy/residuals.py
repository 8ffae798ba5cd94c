"""Residual tables of contingency tables: the integer form of an analysis of variance.

Xiao, He, Zhang, Kifer 2023 ("An Optimal and Scalable Matrix Mechanism for Noisy Marginals under
Convex Loss Functions"). With C = I - J / m the centring of an axis of size m and I = C + J / m,
every marginal is the sum of one component per subset of its variables; a residual table is a
component times the product of the sizes, so that it is made of integers.

Kernels on arrays, shared by sites and coordinator. Axes follow the clique.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import prod

import numpy as np
from numpy.typing import NDArray

from protocol.study.graph import Clique

Counts = NDArray[np.int64]  # shape (m_1, .., m_k); () is the number of rows
Reals = NDArray[np.float64]


def residual_table(marginal: Counts) -> Counts:
    """Return t = kron_i (m_i I - 1 1^T) marginal, of the same shape; for k = 0 the count itself.

    Adding a row to the data changes t by a vector of squared norm prod_i m_i (m_i - 1).
    Precondition: (number of rows) prod_i (m_i - 1) < 2^62, which `compile_plan` checks; then no
    product on the way leaves int64, since m_i <= 2 (m_i - 1).
    """
    table = marginal.astype(np.int64)
    for axis, size in enumerate(marginal.shape):
        table = size * table - table.sum(axis=axis, keepdims=True)
    return table


def components(residual: Reals) -> Reals:
    """Return the component, in counts, that a (noisy) residual table estimates; same shape.

    Projects on the centred subspace, which removes noise that no table could have caused, and
    divides by prod_i m_i. Without noise: kron_i (I - J / m_i) marginal.
    """
    centred = residual.astype(np.float64)
    for axis in range(residual.ndim):
        centred = centred - centred.mean(axis=axis, keepdims=True)
    return centred / prod(residual.shape)


def rebuild(parts: Mapping[Clique, Reals], family: Clique, sizes: Sequence[int]) -> Reals:
    """Return the marginal of `family`, shape `sizes`, from the components of all its subsets.

    Each component is spread evenly over the axes that it lacks. Unbiased: a linear map that
    returns the marginal itself when the components carry no noise.
    """
    table = np.zeros(tuple(sizes))
    for clique in subsets(family):
        shape = [size if name in clique else 1 for name, size in zip(family, sizes, strict=True)]
        spread = prod(size for name, size in zip(family, sizes, strict=True) if name not in clique)
        table += parts[clique].reshape(shape) / spread
    return table


def subsets(family: Clique) -> tuple[Clique, ...]:
    """Return all subsets of `family`, in its order, the smaller ones first."""
    return tuple(
        clique for count in range(len(family) + 1) for clique in combinations(family, count)
    )
