"""Arrays with axes that have names: brought into one order, so that they can be multiplied."""

from collections.abc import Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


def aligned(array: Array, axes: Sequence[Hashable], wanted: Sequence[Hashable]) -> Array:
    """Return an array with the axes `wanted`, after its first one: of length 1 where it has none.

    The first axis, that of parameter draws, has no name. Precondition: `axes` are all wanted.
    """
    order = [0, *(1 + list(axes).index(axis) for axis in wanted if axis in axes)]
    moved = array.transpose(order)
    sizes = iter(moved.shape[1:])
    shape = [moved.shape[0], *(next(sizes) if axis in axes else 1 for axis in wanted)]
    return np.reshape(moved, shape)
