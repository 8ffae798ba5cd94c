"""An aggregator's own settings: `aggregator.toml`. Paths are relative to the file."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from server.rounds.coordinator_config import Beside, HostAndPort, load_settings
from server.rounds.tls import TlsFiles


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AggregatorSection(_Section):
    """Who this operator is, and where its files are.

    Attributes:
        signing_key: Ed25519 private key, PEM, readable by the owner only.
        sealing_key: X25519 private key, PEM, readable by the owner only.
        roster: the consortium's roster.json, as agreed with the sites.
        folder: which rounds were opened; nothing is ever opened twice.
    """

    name: str = Field(min_length=1, max_length=64)
    signing_key: Beside
    sealing_key: Beside
    roster: Beside
    folder: Beside


class RelaySection(_Section):
    """The coordinator's relay, and this operator's certificate there; all PEM."""

    address: HostAndPort
    root_certificates: Beside
    certificate: Beside
    certificate_key: Beside
    timeout_s: float = Field(default=30.0, gt=0)
    poll_interval_s: float = Field(default=1.0, gt=0)

    @property
    def tls(self) -> TlsFiles:
        """Return the three files."""
        return TlsFiles(self.root_certificates, self.certificate, self.certificate_key)


class MeetingSection(_Section):
    """Where the aggregators meet: a private network or a tunnel between them.

    Attributes:
        address: HOST:PORT on which the roster's first aggregator listens.
        interface: this machine's network interface that leads there, and the only one used.
        timeout_s: after so long without the others an opening is given up.
    """

    address: HostAndPort
    interface: str = Field(min_length=1, max_length=15)
    timeout_s: float = Field(default=60.0, gt=0)


class AggregatorConfig(_Section):
    """All of `aggregator.toml`, with absolute paths."""

    aggregator: AggregatorSection
    relay: RelaySection
    meeting: MeetingSection


def load_aggregator_config(path: Path) -> AggregatorConfig:
    """Return the settings in a file; raises as `load_settings`."""
    return load_settings(path, AggregatorConfig, "aggregator")
