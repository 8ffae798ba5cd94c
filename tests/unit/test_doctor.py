"""Doctor: every problem has a consequence and a remedy; exit codes 0, 1 and 2."""

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomlkit
from typer.testing import CliRunner

from client.__main__ import app as site_app
from client.gate.probe import probe
from concause import cli
from protocol.checkup import Finding, Health, certificate_findings, looked, worst
from protocol.errors import UsageError
from server.commands.coordinator import app as coordinator_app
from server.membership.authority import Authority
from tests.support.joining_place import Place, place
from tests.support.loopback_servers import Proxy, Server, serving

FIXTURES = (place,)  # found by its name
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def over_tls(authority: Authority, name: str, date: datetime | None = None) -> Server:
    """Return a server with a certificate, which answers with a Date."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, authority.of(name)))
    stamp = (date or datetime.now(UTC)).strftime("%a, %d %b %Y %H:%M:%S GMT")

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(4096)
            secured.sendall(f"HTTP/1.1 404 Not Found\r\nDate: {stamp}\r\n\r\n".encode())

    return answer


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    found = Authority(tmp_path / "tls")
    found.create("testers", now=NOW - timedelta(days=3000))
    return found


def certified(authority: Authority, **given: Any) -> Server:
    hosts = given.pop("hosts", ["127.0.0.1", "localhost"])
    date = given.pop("date", None)
    authority.certify("server", hosts, **{"now": NOW, **given})
    return over_tls(authority, "server", date)


def probed(server: Server, authority: Authority, host: str = "127.0.0.1") -> list[Finding]:
    with serving(server) as port:
        return probe(
            f"{host}:{port}", authority.root, insecure=False, now=int(time()), environment={}
        )


def test_good_connection_says_so(authority: Authority) -> None:
    found = probed(certified(authority), authority)
    assert worst(found) is Health.GOOD
    assert [one.check for one in found] == ["coordinator", "coordinator's certificate", "clock"]


PROBLEMS: dict[str, tuple[dict[str, Any], str, str]] = {
    "expired": (
        {"now": NOW - timedelta(days=9), "lifetime": timedelta(days=2)},
        "expired",
        "clock",
    ),
    "early": ({"now": NOW + timedelta(days=2)}, "not yet valid", "clock"),
    "address": ({"hosts": ["127.0.0.2"]}, "another address", "superlink"),
    "name": ({"hosts": ["example.org"]}, "another", "superlink"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_certificate_that_does_not_fit_is_explained(authority: Authority, name: str) -> None:
    given, words, remedy = PROBLEMS[name]
    (found,) = probed(certified(authority, **given), authority)
    assert found.health is Health.ERROR
    assert words in found.found
    assert remedy in found.remedy
    assert found.consequence


def test_name_that_does_not_fit_is_explained(authority: Authority) -> None:
    (found,) = probed(certified(authority, hosts=["example.org"]), authority, "localhost")
    assert "another name" in found.found


def test_authority_that_is_not_trusted_is_explained(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    other.create("a proxy", now=NOW)
    (found,) = probed(certified(other), authority)
    assert "authority that this site does not trust" in found.found
    assert "proxy" in found.remedy


def test_service_without_tls_is_explained(authority: Authority) -> None:
    (found,) = probed(lambda connection: connection.sendall(b"SSH-2.0\r\n"), authority)
    assert "not in TLS" in found.found


@pytest.mark.parametrize(("minutes", "side"), [(-10, "ahead of"), (10, "behind")])
def test_clock_that_is_off_is_a_warning(authority: Authority, minutes: int, side: str) -> None:
    date = datetime.now(UTC) + timedelta(minutes=minutes)
    found = probed(certified(authority, date=date), authority)[-1]
    assert (found.check, found.health) == ("clock", Health.WARNING)
    assert side in found.found


def test_address_that_nobody_answers_is_explained(authority: Authority) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    (found,) = probe(f"127.0.0.1:{port}", authority.root, insecure=False, now=0, environment={})
    assert "cannot be reached" in found.found
    assert "HTTPS_PROXY" in found.remedy


def refusing(connection: socket.socket) -> None:
    assert connection.recv(4096).startswith(b"CONNECT coordinator.example.org:443 ")
    connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")


def test_proxy_is_used_and_its_refusal_explained(authority: Authority) -> None:
    address = "coordinator.example.org:443"
    server = certified(authority, hosts=["coordinator.example.org"])
    with serving(server) as target, serving(Proxy({address: target})) as port:
        found = probe(
            address,
            authority.root,
            insecure=False,
            now=int(time()),
            environment={"HTTPS_PROXY": f"http://127.0.0.1:{port}", "NO_PROXY": "example.com"},
        )
    assert worst(found) is Health.GOOD
    with serving(refusing) as port:
        environment = {"https_proxy": f"http://127.0.0.1:{port}"}
        (refused,) = probe(address, authority.root, insecure=False, now=0, environment=environment)
    assert "407" in refused.found
    assert "CONNECT" in refused.remedy


def test_a_proxy_that_speaks_no_http_is_explained(authority: Authority) -> None:
    def mumbling(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"220 mail.example.org\r\n\r\n")

    with serving(mumbling) as port:
        environment = {"HTTPS_PROXY": f"http://127.0.0.1:{port}"}
        (found,) = probe(
            "example.org:443", authority.root, insecure=False, now=0, environment=environment
        )
    assert "nothing that is HTTP" in found.found


def test_this_machine_is_reached_past_the_proxy_as_by_the_supernode(authority: Authority) -> None:
    environment = {"HTTPS_PROXY": "http://127.0.0.1:1"}
    with serving(certified(authority)) as port:
        address = f"127.0.0.1:{port}"
        found = probe(
            address, authority.root, insecure=False, now=int(time()), environment=environment
        )
    assert worst(found) is Health.GOOD


@pytest.mark.parametrize("hosts", ["example.org", ".example.org", "x, coordinator.example.org"])
def test_no_proxy_is_heeded(authority: Authority, hosts: str) -> None:
    environment = {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": hosts}
    (found,) = probe(
        "coordinator.example.org:1", authority.root, insecure=False, now=0, environment=environment
    )
    assert "proxy" not in found.found


@pytest.mark.parametrize(
    ("days", "health"),
    [
        (31, Health.GOOD),
        (30, Health.WARNING),
        (8, Health.WARNING),
        (7, Health.ERROR),
        (-1, Health.ERROR),
    ],
)
def test_end_of_a_certificate_is_told_30_and_7_days_ahead(
    authority: Authority, days: int, health: Health
) -> None:
    made = authority.certify("server", ["a"], now=NOW, lifetime=timedelta(days=100))
    now = int((made.not_valid_after_utc - timedelta(days=days)).timestamp())
    pem = authority.of("server")[0].read_bytes()
    (found,) = certificate_findings("a certificate", pem, now=now)
    assert found.health is health
    assert bool(found.remedy) is (health is not Health.GOOD)


def test_file_without_a_certificate_is_an_error() -> None:
    (found,) = certificate_findings("a certificate", b"nothing", now=0)
    assert found.health is Health.ERROR


def test_error_of_ours_is_a_finding() -> None:
    def look() -> list[Finding]:
        raise UsageError("a-code", "A cause.", "A remedy.")

    (found,) = looked("a check", look, "A consequence.")
    assert found.found == "A cause."
    assert (found.consequence, found.remedy) == ("A consequence.", "A remedy.")


def doctor(app: Any, config: Path) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, ["doctor", "--config", str(config), "--json"])
    return done.exit_code, json.loads(done.stdout)


def problems(document: dict[str, Any]) -> set[str]:
    return {one["check"] for one in document["findings"] if one["health"] != "good"}


@pytest.fixture
def ready(place: Place) -> Iterator[Path]:
    """Return the settings of a site that lacks nothing, its coordinator at work."""
    tls = Authority(place.folder / "coordinator" / "tls")
    with serving(over_tls(tls, "superlink", datetime.now(UTC))) as port:
        path, read_out = place.approve("north", "--superlink", f"127.0.0.1:{port}")
        place.site("north", "install", path, "--fingerprint", read_out)
        home = place.home("north")
        for name, role in (("Ada", "steward"), ("Ben", "privacy-officer")):
            place.site("north", "person", name, "--role", role, "--key", home / f"{role}.key")
        pq.write_table(pa.table({"person": [1]}), home / "records.parquet")
        policy = tomlkit.parse((home / "policy.toml").read_text())
        policy["aggregation"] = ["masking"]
        policy["cohort"] = {"n_min": 3, "noise_shares": 3}
        policy["budget"] = {"lifetime": {"rho": 0.1}, "study": {"rho": 0.1}}
        (home / "policy.toml").write_text(tomlkit.dumps(policy))
        yield home / "site.toml"


def test_site_that_lacks_nothing_ends_with_0(ready: Path) -> None:
    code, document = doctor(site_app, ready)
    assert problems(document) == set()
    assert (code, document["health"]) == (0, "good")


def pause(home: Path) -> None:
    argv = ["pause", "--config", str(home / "site.toml")]
    assert CliRunner().invoke(site_app, argv).exit_code == 0


def truncate(home: Path) -> None:
    (home / "audit" / "audit.jsonl").write_bytes(b"")


def dismiss(home: Path) -> None:
    policy = tomlkit.parse((home / "policy.toml").read_text())
    policy.pop("people")
    (home / "policy.toml").write_text(tomlkit.dumps(policy))


def let_in(name: str, mode: int) -> Callable[[Path], None]:
    return lambda home: (home / name).chmod(mode)


def write_records(content: bytes) -> Callable[[Path], object]:
    return lambda home: (home / "records.parquet").write_bytes(content)


def name_column(name: str) -> Callable[[Path], object]:
    def named(home: Path) -> None:
        settings = tomlkit.parse((home / "site.toml").read_text())
        settings["mapping"] = {"x": {"column": name}}
        (home / "site.toml").write_text(tomlkit.dumps(settings))

    return named


BROKEN: dict[str, tuple[Callable[[Path], object], str, int]] = {
    "a key that others may read": (let_in("keys/site.key", 0o644), "keys", 2),
    "an open folder": (let_in("memory", 0o755), "folders", 2),
    "a policy that others may write": (let_in("policy.toml", 0o666), "folders", 2),
    "no roster": (lambda home: (home / "roster.json").unlink(), "roster", 2),
    "records that are none": (write_records(b"nonsense"), "records", 2),
    "records of nobody": (write_records(b""), "records", 2),
    "a column that is not there": (name_column("nobody"), "records", 2),
    "no records": (lambda home: (home / "records.parquet").unlink(), "records", 2),
    "an audit log cut off": (truncate, "memory", 2),
    "nobody who may approve": (dismiss, "people", 2),
    "a pause": (pause, "memory", 1),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found_with_what_to_do(ready: Path, name: str) -> None:
    damage, check, expected = BROKEN[name]
    damage(ready.parent)
    code, document = doctor(site_app, ready)
    assert code == expected
    assert check in problems(document)
    for one in document["findings"]:
        assert one["health"] == "good" or (one["consequence"] and one["remedy"])


@pytest.mark.parametrize("app", [site_app, coordinator_app])
def test_settings_that_are_not_there_are_an_error(app: Any, tmp_path: Path) -> None:
    code, document = doctor(app, tmp_path / "none.toml")
    assert (code, problems(document)) == (2, {"settings"})


def test_one_command_looks_at_either(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.join("north")
    monkeypatch.chdir(place.folder / "coordinator")
    assert cli.run(["doctor", "--json"]) == 1  # coordinator.toml is here
    assert {"superlink"} == problems(json.loads(capsys.readouterr().out))
    settings = place.home("north") / "site.toml"
    assert cli.run(["doctor", "--config", str(settings), "--json"]) == 2
    assert "people" in problems(json.loads(capsys.readouterr().out))


def test_coordinator_is_looked_at_too(place: Place) -> None:
    place.join("north")
    folder = place.folder / "coordinator"
    config = folder / "coordinator.toml"
    code, document = doctor(coordinator_app, config)
    assert (code, problems(document)) == (1, {"superlink"})  # it was not started
    (folder / "tls" / "superlink.key").chmod(0o644)
    (folder / "tls" / "root.pem").unlink()
    (folder / "roster.json").unlink()
    code, document = doctor(coordinator_app, config)
    assert (code, problems(document)) == (2, {"superlink", "key", "authority", "roster"})
