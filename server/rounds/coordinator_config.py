"""The coordinator's own settings: `coordinator.toml`.

Paths are relative to the file. Secrets are named by path, never written here.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from protocol.errors import UsageError
from server.rounds.clock import Timings
from server.rounds.tls import TlsFiles

_Settings = TypeVar("_Settings", bound=BaseModel)
_LOOPBACK = frozenset({"127.0.0.1", "localhost"})


def _host_and_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise ValueError("expected HOST:PORT, for example 127.0.0.1:8000")
    return text


def _beside(path: Path, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {})["folder"]
    return (folder / path.expanduser()).absolute()


HostAndPort = Annotated[str, AfterValidator(_host_and_port)]
Beside = Annotated[Path, AfterValidator(_beside)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CoordinatorSection(_Section):
    """Who issues the rounds, and where they are kept.

    Attributes:
        signing_key: Ed25519 private key, PEM, unencrypted, readable by the owner only.
        roster: the consortium's roster.json.
        folder: rounds, counter and Flower's files live here.
    """

    name: str = Field(min_length=1, max_length=64)
    signing_key: Beside
    roster: Beside
    folder: Beside


class FlowerSection(_Section):
    """How to reach the coordinator's SuperLink, and how to start it.

    Attributes:
        superlink: where it listens: loopback, behind a proxy that shows the sites
            `/v1/fleet/` and nothing else.
        executor_secret: 32 random bytes or more that SuperLink and executor share.
        root_certificates: PEM of the authority that signed the SuperLink's certificate.
        certificate, certificate_key: PEM of that certificate; 127.0.0.1 is among its names.
        insecure: no TLS; for loopback only.
    """

    superlink: HostAndPort = "127.0.0.1:8000"
    executor_secret: Beside
    root_certificates: Beside | None = None
    certificate: Beside | None = None
    certificate_key: Beside | None = None
    insecure: bool = False

    @model_validator(mode="after")
    def _tls_or_not(self) -> Self:
        given = [self.root_certificates, self.certificate, self.certificate_key]
        if self.insecure and any(given):
            raise ValueError("insecure = true excludes the three certificate fields")
        if not self.insecure and not all(given):
            raise ValueError(
                "expected root_certificates, certificate and certificate_key, "
                "or insecure = true on loopback"
            )
        if self.insecure and self.host not in _LOOPBACK:
            raise ValueError("insecure = true is for a SuperLink on 127.0.0.1 only")
        return self

    @property
    def host(self) -> str:
        """Return the SuperLink's host."""
        return self.superlink.rpartition(":")[0]

    @property
    def port(self) -> int:
        """Return the SuperLink's port."""
        return int(self.superlink.rpartition(":")[2])


class RelaySection(_Section):
    """Where aggregators fetch sealed shares; only for studies that use them. All files PEM."""

    listen: HostAndPort
    root_certificates: Beside
    certificate: Beside
    certificate_key: Beside

    @property
    def tls(self) -> TlsFiles:
        """Return the three files."""
        return TlsFiles(self.root_certificates, self.certificate, self.certificate_key)


class RoundSection(_Section):
    """How long the coordinator waits, in seconds.

    Attributes:
        step_timeout_s: for the slowest site, in each of the five steps.
        start_timeout_s: for sites to connect, before the first step.
        deadline_s: from issue to the moment after which no site answers.
    """

    step_timeout_s: float = Field(default=120.0, gt=0)
    start_timeout_s: float = Field(default=60.0, gt=0)
    poll_interval_s: float = Field(default=0.25, gt=0, le=10)
    deadline_s: int = Field(default=3600, gt=0)

    @property
    def timings(self) -> Timings:
        """Return what the driver needs of it."""
        return Timings(self.step_timeout_s, self.start_timeout_s, self.poll_interval_s)


class CoordinatorConfig(_Section):
    """All of `coordinator.toml`, with absolute paths."""

    coordinator: CoordinatorSection
    flower: FlowerSection
    relay: RelaySection | None = None
    round: RoundSection = RoundSection()

    @property
    def rounds(self) -> Path:
        """Return the folder of round folders."""
        return self.coordinator.folder / "rounds"

    @property
    def counter(self) -> Path:
        """Return the file that holds the last counter used."""
        return self.coordinator.folder / "counter"

    @property
    def flower_folder(self) -> Path:
        """Return the folder of Flower's files."""
        return self.coordinator.folder / "flower"


def load_coordinator_config(path: Path) -> CoordinatorConfig:
    """Return the settings in a file; raises as `load_settings`."""
    return load_settings(path, CoordinatorConfig, "coordinator")


def load_settings(path: Path, model: type[_Settings], role: str) -> _Settings:
    """Return the settings of a role in a TOML file; its paths are relative to the file.

    Raises:
        UsageError: no such file, not TOML, or fields are wrong; names every such field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            "file-not-found",
            f"Expected the {role}'s settings at {path}, found no file that can be read.",
            f"Run `concause {role} init`, or give the path with --config.",
        ) from error
    except ValueError as error:
        raise UsageError("not-toml", f"{path} is not text: {error}.", "Write UTF-8.") from error
    return parse_settings(text, path, model, role)


def parse_settings(text: str, path: Path, model: type[_Settings], role: str) -> _Settings:
    """Return the settings of a role in TOML text that is, or will be, at `path`.

    Raises:
        UsageError: not TOML, or fields are wrong; names every such field.
    """
    example = f"Compare it with the file that `concause {role} init` writes."
    try:
        document = tomllib.loads(text)
    except ValueError as error:
        raise UsageError("not-toml", f"{path} is not TOML: {error}.", example) from error
    try:
        return model.model_validate(document, context={"folder": path.absolute().parent})
    except ValidationError as error:
        raise UsageError(f"{role}-settings", _problems(path, error), example) from error


def _problems(path: Path, error: ValidationError) -> str:
    lines = [
        f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
        for problem in error.errors(include_url=False)
    ]
    return f"{path} cannot be used. " + "; ".join(lines) + "."
