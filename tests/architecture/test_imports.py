"""Import directions, the one home of each framework, and the size of modules and functions."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("protocol", "client", "server")
AMBIENT = {
    "socket",
    "asyncio",
    "threading",
    "time",
    "random",
    "logging",
    "secrets",
    "os",
    "pathlib",
}
NEVER = {
    "protocol": {"client", "server", "concause", *AMBIENT},
    "client": {"server", "concause", "deploy"},
    "server": {"client", "concause", "deploy"},
}
# Where each framework may be imported: a file, or a folder that ends in a slash.
HOMES = {
    "flwr": (
        "client/app.py",
        "client/gate/agent.py",
        "server/app.py",
        "server/rounds/transport.py",
    ),
    "opendp": ("client/measure/noise.py", "protocol/privacy/conversion.py"),
    "ibis": ("client/source/",),
    "duckdb": ("client/source/",),
    "pandas": ("server/causal/", "server/release/"),
    "pyarrow": ("client/source/", "server/causal/", "server/release/"),
    "sqlite3": ("client/gate/",),
    "jinja2": ("server/release/",),
    "opt_einsum": ("server/causal/",),
    "numba": ("server/causal/sampling/kernels.py",),
    "llvmlite": ("server/causal/sampling/kernels.py",),
    "adbc_driver_postgresql": ("client/source/postgres_origin.py",),
    "adbc_driver_manager": ("client/source/postgres_origin.py",),
    "prometheus_client": ("client/gate/health.py",),
    "pyodbc": ("client/source/mssql_origin.py",),
    "sqlglot": ("client/source/derived.py",),
    "pyspark": (
        "client/source/spark_origin.py",
        "server/causal/production/spark.py",
        "server/causal/production/population.py",
    ),
    "pydot": ("server/causal/exchange/",),
    "pgmpy": ("server/causal/exchange/",),
    "dowhy": ("server/causal/exchange/",),
    "typer": ("client/__main__.py", "client/commands/", "server/__main__.py", "server/commands/"),
    "rich": ("client/__main__.py", "client/commands/", "server/commands/"),
    "crypten": ("server/aggregator/",),
    "torch": ("server/aggregator/",),
    "grpc": ("server/api/", "protocol/api/"),
}
MAX_FUNCTION_LINES = 60
MAX_MODULE_LINES = 500


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def imported_roots(tree: ast.AST) -> set[str]:
    roots: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"relative import of {node.module}"
            roots.add(node.module.partition(".")[0])
    return roots


def at_home(name: str, homes: tuple[str, ...]) -> bool:
    return any(name == home or (home.endswith("/") and name.startswith(home)) for home in homes)


ALL = list(modules())


def test_there_are_modules_to_check() -> None:
    assert len(ALL) > 30


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_module_keeps_the_house_rules(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    roots = imported_roots(tree)
    assert not roots & NEVER[name.partition("/")[0]]
    strangers = {root for root in roots if root in HOMES and not at_home(name, HOMES[root])}
    assert not strangers, "a framework outside its home"
    assert len(source.splitlines()) <= MAX_MODULE_LINES
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < MAX_FUNCTION_LINES, node.name


def test_no_top_level_name_shadows_the_standard_library() -> None:
    assert not set(PACKAGES) & sys.stdlib_module_names


def test_flower_bundle_drops_no_module_by_its_name() -> None:
    dropped = [p.name for p in ALL if p.name.startswith("test_") or p.name.endswith("_test.py")]
    assert dropped == []


def test_nothing_is_pickled() -> None:
    guilty = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    for path in ALL:
        assert not imported_roots(ast.parse(path.read_text(encoding="utf-8"))) & guilty, path
