"""site.toml: where a site's files are, what its data look like, how it reaches the coordinator.

Paths are relative to the file. Secrets stand in files of their own, never in this one.
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from client.gate.settings import Section, read_settings
from client.source.site_table import Mapping, SiteData
from protocol import canonical
from protocol.errors import UsageError
from protocol.identifiers import Digest
from protocol.secagg.roster import Roster, parse_roster

_NAME = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"


def _folder(info: ValidationInfo) -> Path:
    return Path((info.context or {})["folder"])


def _beside(path: Path, info: ValidationInfo) -> Path:
    return _folder(info) / path.expanduser()


def _anchored(data: SiteData, info: ValidationInfo) -> SiteData:
    return data.anchored(_folder(info))


Beside = Annotated[Path, AfterValidator(_beside)]


class Identity(Section):
    """Who this site is, and where its files are.

    `name` is its name in the roster. `folder` holds all that the gate remembers.
    `audit` is the folder of the audit log, which a group of auditors may be let into.
    `health_port` is where /healthz, /readyz and /metrics are, on loopback; nowhere if not given.
    """

    name: str = Field(pattern=_NAME, max_length=64)
    roster: Beside
    policy: Beside
    folder: Beside
    audit: Beside = Field(default=Path("audit"), validate_default=True)
    signing_key: Beside
    bound_key: Beside
    health_port: int | None = Field(default=None, gt=0, lt=65_536)


class FlowerSettings(Section):
    """How the site's SuperNode reaches the SuperLink, and the gate its SuperNode."""

    superlink: str = Field(pattern=r"^[^\s:]+:\d+$")
    runtime_port: int = Field(default=9094, gt=0, lt=65_536)
    executor_secret: Beside
    insecure: bool = False
    root_certificates: Beside | None = None
    node_key: Beside | None = None

    @model_validator(mode="after")
    def _one_kind_of_transport(self) -> "FlowerSettings":
        if self.insecure and (self.root_certificates or self.node_key):
            raise ValueError("insecure = true excludes root_certificates and node_key")
        return self


class SiteConfig(Section):
    """All of site.toml, paths made absolute."""

    site: Identity
    data: Annotated[SiteData, AfterValidator(_anchored)]
    mapping: Mapping = Mapping()
    flower: FlowerSettings

    @property
    def mapping_digest(self) -> Digest:
        """Return the hash of how columns become variables and rows become units."""
        mapping = self.mapping.model_dump(mode="json")
        return canonical.digest({"units": self.data.meaning, "mapping": mapping})


def read_site_config(path: Path) -> SiteConfig:
    """Return the settings in a site.toml.

    Raises:
        UsageError: the file is missing, not TOML, or a field is wrong.
    """
    return read_settings(path, SiteConfig, folder=path.absolute().parent)


def read_roster(path: Path) -> Roster:
    """Return the roster that is pinned at this site.

    Raises:
        UsageError: it is missing or not a roster.
    """
    try:
        return parse_roster(path.read_bytes())
    except OSError as error:
        raise UsageError(
            "roster-not-found",
            f"Expected the consortium's roster at {path}, found no file that can be read.",
            "Put the roster that the consortium agreed on there.",
        ) from error
