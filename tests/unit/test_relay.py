"""The relay: who may connect, what it hands out, and what it takes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.demo.certificates import make_certificates
from protocol.errors import PeerError, StorageError, UsageError
from protocol.secagg.transcript import Header
from server.api.relay import running_relay
from server.api.relay_client import RelayClient, relay_client
from server.membership.authority import Authority
from server.rounds.board import fresh_status
from server.rounds.folder import RoundFolder, create_round_folder
from server.rounds.tls import TlsFiles
from tests.support.split_world import SplitRound, split_consortium

NOW = datetime.now(UTC)
WORLD = split_consortium(3, length=100_000, narrow=0)
TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Served:
    folder: RoundFolder
    address: str
    certificates: Authority
    played: SplitRound


def tls_of(certificates: Authority, name: str) -> TlsFiles:
    return TlsFiles(certificates.root, *certificates.of(name))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("tls")
    return make_certificates(folder, ("relay", "operator"), now=NOW)


@pytest.fixture
def served(tmp_path: Path, certificates: Authority) -> Iterator[Served]:
    """A round that waits for openings, behind a relay."""
    played = SplitRound(WORLD)
    played.collect()
    header = Header(WORLD.roster, WORLD.signed)
    folder = create_round_folder(tmp_path / "rounds" / "000001", header, "the study")
    folder.transcript.write_bytes(played.transcript)
    status = fresh_status(header, NOW).model_copy(update={"step": "open"})
    folder.write_status(status)
    with running_relay(tmp_path / "rounds", "127.0.0.1:0", tls_of(certificates, "relay")) as port:
        yield Served(folder, f"127.0.0.1:{port}", certificates, played)


@pytest.fixture
def client(served: Served) -> Iterator[RelayClient]:
    tls = tls_of(served.certificates, "operator")
    with relay_client(served.address, tls, TIMEOUT_S) as connected:
        yield connected


def test_a_round_that_waits_is_handed_out_whole(served: Served, client: RelayClient) -> None:
    (session,) = client.pending()
    assert session == WORLD.descriptor.session
    study, transcript = client.fetch(session)
    assert study == "the study"
    assert transcript == served.played.transcript
    assert len(transcript) > 2 * 2**20  # in several chunks


def test_a_signed_sum_is_kept_for_the_driver(served: Served, client: RelayClient) -> None:
    opened = served.played.opened(1)
    client.hand_in(opened)
    client.hand_in(opened)
    assert set(served.folder.read_openings()) == {1}


def test_a_sum_that_does_not_verify_is_not_kept(served: Served, client: RelayClient) -> None:
    with pytest.raises(PeerError, match="bad-signature"):
        client.hand_in(replace(served.played.opened(0), aggregator=1))
    assert not served.folder.read_openings()


def test_rounds_that_do_not_wait_are_not_handed_out(served: Served, client: RelayClient) -> None:
    status = served.folder.read_status()
    assert status is not None
    for changes in ({"step": "split"}, {"outcome": "complete"}):
        served.folder.write_status(status.model_copy(update=changes))
        assert client.pending() == ()
        with pytest.raises(PeerError, match="round-unknown"):
            client.fetch(WORLD.descriptor.session)
        with pytest.raises(PeerError, match="round-unknown"):
            client.hand_in(served.played.opened(0))


def test_who_shows_no_certificate_of_the_authority_is_not_served(
    served: Served, tmp_path: Path
) -> None:
    others = make_certificates(tmp_path / "others", ("operator",), now=NOW)
    stranger = TlsFiles(served.certificates.root, *others.of("operator"))
    with relay_client(served.address, stranger, 5.0) as connected, pytest.raises(StorageError):
        connected.pending()


def test_a_relay_of_another_authority_is_not_believed(served: Served, tmp_path: Path) -> None:
    others = make_certificates(tmp_path / "others", ("operator",), now=NOW)
    tls = TlsFiles(others.root, *served.certificates.of("operator"))
    with relay_client(served.address, tls, 5.0) as connected:
        with pytest.raises(StorageError) as refused:
            connected.pending()
        assert refused.value.code == "relay-unreachable"


def test_certificates_that_are_not_there_are_named(tmp_path: Path) -> None:
    tls = TlsFiles(tmp_path / "root.pem", tmp_path / "a.pem", tmp_path / "a.key")
    with pytest.raises(UsageError, match=r"root\.pem"), running_relay(tmp_path, "127.0.0.1:0", tls):
        pass


def test_a_taken_address_is_said(served: Served, tmp_path: Path) -> None:
    tls = tls_of(served.certificates, "relay")
    with pytest.raises(UsageError) as refused, running_relay(tmp_path, "256.0.0.1:1", tls):
        pass
    assert refused.value.code == "relay-address"
