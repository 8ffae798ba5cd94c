"""OpenDP's MST and AIM on codes, in a process of its own: `python -m bench.utility.synthesis JOB`.

The job is an .npz file (`write_job`); the rows are written beside it. The domain is the declared
one: every column is cut between its codes, because declared `keys` would add a null level to each.
OpenDP draws its noise from the system; only the rounding of the model to rows is seeded here.
"""

import json
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.utility.world import Codes

Rows = npt.NDArray[np.uint8]  # shape (rows, nodes)
ALGORITHMS = ("mst", "aim")
A_HAIR = 1e-12
SCALES = (1e-2, 1e9)  # of noise


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of OpenDP.

    `workload` holds the cliques, by column, that AIM is to choose from (with their subsets); all
    sets of three columns if it is empty. `max_size_mb` bounds AIM's model. MST has neither.
    """

    algorithm: str
    rho: float
    rows: int
    seed: int
    sizes: tuple[int, ...]
    workload: tuple[tuple[int, ...], ...] = ()
    max_size_mb: float = 80.0


def write_job(path: Path, codes: Codes, request: Request) -> None:
    """Write a job: codes of shape (persons, columns) and the request."""
    np.savez_compressed(path, codes=codes.astype(np.uint8), request=json.dumps(asdict(request)))


def read_job(path: Path) -> tuple[Rows, Request]:
    """Return what `write_job` wrote."""
    with np.load(path, allow_pickle=False) as job:
        fields = json.loads(str(job["request"]))
        codes: Rows = job["codes"]
    fields["sizes"] = tuple(fields["sizes"])
    fields["workload"] = tuple(tuple(clique) for clique in fields["workload"])
    return codes, Request(**fields)


def column_names(columns: int) -> list[str]:
    """Return names that clash with nothing in OpenDP ("len" would) and sort in their order."""
    return [f"v{index:04d}" for index in range(columns)]


def cuts(sizes: tuple[int, ...]) -> dict[str, list[int]]:
    """Return cut points for which the bins of codes 0 .. size - 1 are the codes themselves.

    OpenDP's bins are open on the left: (-inf, 0], (0, 1], .. (size - 2, inf).

    Raises:
        ValueError: a column of one level, which has no cut point.
    """
    if min(sizes) < 2:
        raise ValueError(f"expected columns of at least 2 levels, found one of {min(sizes)}")
    names = column_names(len(sizes))
    return {name: list(range(size - 1)) for name, size in zip(names, sizes, strict=True)}


def synthesise(codes: Rows, request: Request) -> Rows:
    """Return `request.rows` synthetic rows, rho-zCDP for adding or removing one row of `codes`."""
    _mend()
    return _released(codes, request)


def _mend() -> None:
    """Mend two things in OpenDP 0.16 that would count against it; neither changes what is released.

    MST gives every edge an equal part of its budget, less one float, and adds the parts up again
    rounding upwards; with more than a handful of columns that is more than it had, and it refuses
    ("insufficient budget for query"). Here the parts are smaller by a hair. And it looks for noise
    scales among all floats; among those that can be, it finds the same ones ten times sooner.
    """
    mst: Any = import_module("opendp.extras.mbi._mst")
    mst.prior = lambda value: value * (1 - A_HAIR)
    mst.binary_search_chain = partial(mst.binary_search_chain, bounds=SCALES)
    table: Any = import_module("opendp.extras.mbi._table")
    table.binary_search_param = partial(table.binary_search_param, bounds=SCALES)


def _released(codes: Rows, request: Request) -> Rows:
    import opendp.prelude as dp  # noqa: PLC0415 - loads polars and jax, which nothing else needs
    import polars as pl  # noqa: PLC0415

    dp.enable_features("contrib")
    names = column_names(len(request.sizes))
    frame = pl.DataFrame({name: codes[:, at].astype(np.int32) for at, name in enumerate(names)})
    context = dp.Context.compositor(
        data=frame.lazy(),
        privacy_unit=dp.unit_of(contributions=1),
        privacy_loss=dp.loss_of(rho=request.rho),
    )
    query = context.query(rho=request.rho)
    table = query.contingency_table(cuts=cuts(request.sizes), algorithm=_algorithm(dp, request))
    np.random.seed(request.seed)  # mbi rounds by numpy's global generator
    rows: Rows = table.release().synthesize(rows=request.rows).select(names).to_numpy()
    return rows.astype(np.uint8)


def _algorithm(dp: Any, request: Request) -> Any:  # noqa: ANN401 - opendp is untyped here
    if request.algorithm == "mst":
        return dp.mbi.MST()
    names = column_names(len(request.sizes))
    cliques = [dp.mbi.Count(tuple(names[at] for at in clique)) for clique in request.workload]
    return dp.mbi.AIM(queries=cliques or 3, max_size=request.max_size_mb)


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone: a run can take an hour."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    job = Path(sys.argv[1])
    np.savez_compressed(job.with_suffix(".rows.npz"), rows=synthesise(*read_job(job)))
