import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.demo.certificates import make_certificates
from server.membership.authority import Authority

NAMES = ("superlink",)
NOW = datetime.now(UTC)  # OpenSSL looks at the clock itself


def shaken(trusted: Path, shown: Authority, name: str) -> None:
    """Let a client and a server shake hands in memory.

    Raises:
        ssl.SSLCertVerificationError: the client does not believe the server.
    """
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*shown.of("superlink"))
    calling = ssl.create_default_context(cafile=str(trusted))
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = calling.wrap_bio(back, there, server_hostname=name)
    server = serving.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for party in (client, server):
            try:
                party.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_client_that_trusts_the_root_believes_the_superlink(tmp_path: Path, name: str) -> None:
    made = make_certificates(tmp_path, NAMES, now=NOW)
    shaken(made.root, made, name)


def test_the_superlink_is_not_believed_under_another_name(tmp_path: Path) -> None:
    made = make_certificates(tmp_path, NAMES, now=NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(made.root, made, "example.org")


def test_the_superlink_of_another_authority_is_not_believed(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "ours", NAMES, now=NOW)
    other = make_certificates(tmp_path / "theirs", NAMES, now=NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(other.root, made, "127.0.0.1")


def test_an_old_certificate_is_not_believed(tmp_path: Path) -> None:
    made = make_certificates(tmp_path, NAMES, now=NOW - timedelta(days=3))
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(made.root, made, "127.0.0.1")


def test_only_the_superlinks_key_is_kept_and_it_is_its_owners_alone(tmp_path: Path) -> None:
    made = make_certificates(tmp_path, NAMES, now=NOW)
    assert {path.name for path in tmp_path.iterdir()} == {
        "root.pem",
        "superlink.pem",
        "superlink.key",
    }
    assert stat.S_IMODE(made.of("superlink")[1].stat().st_mode) == 0o600
    assert b"PRIVATE" not in made.root.read_bytes()
