"""Every argument and environment variable of a site's SuperNode.

Flower's flags change with each release, so they stand here and nowhere else; checked
against flwr 1.41.0. Nothing is started here.
"""

import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from client.gate.site_config import SiteConfig

LOOPBACK = "127.0.0.1"
# The SuperNode gets these of the gate's environment and nothing else: no credentials pass on.
INHERITED = ("HOME", "LANG", "LC_ALL", "HTTPS_PROXY", "https_proxy", "SSL_CERT_FILE", "TMPDIR")


def supernode_argv(config: SiteConfig) -> list[str]:
    """Return the command that starts the site's SuperNode.

    `--isolation process` with a secret: only the gate may claim its tasks, and it runs no app.
    """
    flower = config.flower
    argv = [str(Path(sysconfig.get_path("scripts"), "flower-supernode"))]
    argv += ["--superlink", flower.superlink, "--isolation", "process"]
    argv += ["--host", LOOPBACK, "--port", str(flower.runtime_port)]
    argv += ["--superexec-auth-secret-file", str(flower.executor_secret)]
    if flower.node_key is not None:
        argv += ["--auth-supernode-private-key", str(flower.node_key)]
    return [*argv, *_calling_tls(config)]


def supernode_environment(
    config: SiteConfig, inherited: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the SuperNode's environment: quiet, offline, with a FLWR_HOME of its own."""
    kept = {name: inherited[name] for name in INHERITED if name in inherited}
    path = os.pathsep.join([sysconfig.get_path("scripts"), inherited.get("PATH", os.defpath)])
    return {
        **kept,
        **direct_loopback(inherited),
        "PATH": path,
        "FLWR_HOME": str(config.site.folder / "flower"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
    }


def direct_loopback(inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that keep calls to this machine off the site's proxy."""
    hosts = [inherited.get("NO_PROXY") or inherited.get("no_proxy"), LOOPBACK, "localhost"]
    direct = ",".join(host for host in hosts if host)
    return {"NO_PROXY": direct, "no_proxy": direct}


def _calling_tls(config: SiteConfig) -> list[str]:
    flower = config.flower
    if flower.insecure:
        return ["--insecure"]
    if flower.root_certificates is None:
        return []
    return ["--root-certificates", str(flower.root_certificates)]
