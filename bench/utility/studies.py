"""Study documents of worlds: one body of variables and graph, under any budget and cohort."""

from collections.abc import Iterable
from functools import lru_cache

from bench.utility.world import CENTRAL, DELTA, Sites
from protocol.study.document import parse_study
from protocol.study.study import Study


@lru_cache(maxsize=64)
def study_of(name: str, body: str, epsilon: float = 1.0, sites: Sites = CENTRAL) -> Study:
    """Return the study with this budget and cohort; `body` is TOML from `graph` on."""
    return study_within(name, body, f"epsilon = {epsilon}", sites)


def study_within(name: str, body: str, budget: str, sites: Sites) -> Study:
    """Return the study with a budget in TOML, without delta: `epsilon = 1` or `rho = 0.01`."""
    return parse_study(
        f'format = "concause-study/1"\nname = "{name}"\ntitle = "{name}"\nauthor = "Bench"\n'
        f"expires = 2099-12-31\nbudget = {{ {budget}, delta = {DELTA} }}\n"
        f'cohort = {sites.cohort}\ntrust = {{ aggregation = "masking" }}\n{body}'
    )


def texts(values: Iterable[str]) -> str:
    """Return a TOML array of strings; levels of the networks need no escapes."""
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"
