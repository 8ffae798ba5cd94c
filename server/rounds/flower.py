"""Every argument and environment variable of the coordinator's Flower processes.

Flower's flags change with each release, so they stand here and nowhere else; checked
against flwr 1.41.0. Nothing is started here.
"""

import os
import shutil
import sysconfig
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import tomlkit

from server.rounds.clock import Timings
from server.rounds.coordinator_config import CoordinatorConfig, FlowerSection
from server.rounds.run_settings import RunSettings

Role: TypeAlias = Literal["superlink", "superexec", "cli"]
APP_ROOT = Path(__file__).resolve().parents[2]  # the checkout, or concause/app of a wheel
APP_NAME = "concause"  # letters, digits, hyphens: Flower refuses any other folder name
CONNECTION = "coordinator"  # the name of the SuperLink in the CLI's config.toml
# The ServerApp and what it imports. Flower wants a ClientApp named too; no gate unpacks it.
BUNDLED = (
    *("protocol/**/*.py", "server/__init__.py", "server/app.py", "server/rounds/*.py"),
    *("client/__init__.py", "client/app.py"),
)
# Of the caller's environment, these and nothing else: no credentials pass on.
INHERITED = ("HOME", "LANG", "LC_ALL", "TMPDIR")
_DIRECT = "127.0.0.1,localhost"
_EXECUTOR_POLL_S = "0.25"


def superlink_argv(config: CoordinatorConfig) -> list[str]:
    """Return the command that starts the SuperLink: all its APIs on one port."""
    flower = config.flower
    argv = [_script("flower-superlink"), "--host", flower.host, "--port", str(flower.port)]
    argv += ["--isolation", "process", "--superexec-auth-secret-file", str(flower.executor_secret)]
    argv += ["--database", str(config.flower_folder / "superlink.db")]
    return [*argv, "--disable-runtime-dependency-installation", *_serving_tls(flower)]


def superexec_argv(config: CoordinatorConfig) -> list[str]:
    """Return the command that starts the executor of ServerApps."""
    flower = config.flower
    argv = [_script("flower-superexec"), "--runtime-api-address", flower.superlink]
    argv += ["--superexec-auth-secret-file", str(flower.executor_secret)]
    return [*argv, *_calling_tls(flower)]


def run_argv(app: Path, run_config: Path) -> list[str]:
    """Return the command that submits a staged app; it prints JSON and does not wait."""
    argv = [_script("flwr"), "run", str(app), CONNECTION]
    return [*argv, "--run-config", str(run_config), "--format", "json"]


def list_argv(run_id: str) -> list[str]:
    """Return the command that prints one run as JSON."""
    return [_script("flwr"), "list", CONNECTION, "--run-id", run_id, "--format", "json"]


def stop_argv(run_id: str) -> list[str]:
    """Return the command that stops one run."""
    return [_script("flwr"), "stop", run_id, CONNECTION, "--format", "json"]


def environment(
    config: CoordinatorConfig, role: Role, inherited: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the environment of one process: quiet, offline, with a FLWR_HOME of its own."""
    kept = {name: inherited[name] for name in INHERITED if name in inherited}
    path = os.pathsep.join([sysconfig.get_path("scripts"), inherited.get("PATH", os.defpath)])
    return {
        **kept,
        "NO_PROXY": _DIRECT,
        "no_proxy": _DIRECT,
        "PATH": path,  # the executor looks for flwr-serverapp there
        "FLWR_HOME": str(config.flower_folder / role),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": _EXECUTOR_POLL_S,
    }


def prepare_homes(config: CoordinatorConfig) -> None:
    """Make each process's FLWR_HOME, and tell the CLI there how to reach the SuperLink."""
    for role in get_args(Role):
        (config.flower_folder / role).mkdir(mode=0o700, parents=True, exist_ok=True)
    flower = config.flower
    connection: dict[str, str | bool] = {"address": flower.superlink}
    if flower.insecure:
        connection["insecure"] = True
    else:
        connection["root-certificates"] = str(flower.root_certificates)
    document = {"superlink": {"default": CONNECTION, CONNECTION: connection}}
    path = config.flower_folder / "cli" / "config.toml"
    path.write_text(tomlkit.dumps(document), encoding="utf-8")


def stage_app(config: CoordinatorConfig, root: Path = APP_ROOT) -> Path:
    """Copy what the ServerApp needs into a folder that `flwr run` accepts; return it.

    Flower builds from the folder's own pyproject.toml, and a wheel has none; nor may the
    name of a checkout be any, so both are built from here.
    """
    app = config.flower_folder / "app" / APP_NAME
    shutil.rmtree(app, ignore_errors=True)
    for pattern in BUNDLED:
        for source in sorted(root.glob(pattern)):
            target = app / source.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    (app / "pyproject.toml").write_text(_pyproject(), encoding="utf-8")
    return app


def _pyproject() -> str:
    bundle = {
        "publisher": APP_NAME,
        "fab-include": list(BUNDLED),
        "components": {"serverapp": "server.app:app", "clientapp": "client.app:app"},
        "config": RunSettings(
            Path(), Timings()
        ).as_run_config(),  # Flower lets a run set only keys named here
    }
    project = {
        "name": APP_NAME,
        "version": version("concause"),
        "description": "The round driver of concause.",
        "license": "Apache-2.0",
        "dependencies": [],
    }
    return tomlkit.dumps({"project": project, "tool": {"flwr": {"app": bundle}}})


def _serving_tls(flower: FlowerSection) -> list[str]:
    if flower.insecure:
        return ["--insecure"]
    return [
        *("--ssl-certfile", str(flower.certificate)),
        *("--ssl-keyfile", str(flower.certificate_key)),
        *("--ssl-ca-certfile", str(flower.root_certificates)),
    ]


def _calling_tls(flower: FlowerSection) -> list[str]:
    if flower.insecure:
        return ["--insecure"]
    return ["--root-certificates", str(flower.root_certificates)]


def _script(name: str) -> str:
    return str(Path(sysconfig.get_path("scripts")) / name)
