"""`concause aggregator` and what a coordinator does for aggregators, as people type it."""

import json
import stat
from pathlib import Path

import pytest

from concause import cli
from protocol.errors import ExitCode
from protocol.secagg.roster import parse_roster

KEYS = ("public_key", "sealing_key")


def run(*words: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = cli.run([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def coordinator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return the settings of a coordinator with one site in its roster."""
    home = tmp_path / "coordinator"
    run("coordinator", "init", "testers", "--folder", home, "--insecure", capsys=capsys)
    config = home / "coordinator.toml"
    run("coordinator", "enrol", "north", "ab" * 32, "--config", config, capsys=capsys)
    return config


def made(home: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    code, out, _ = run("aggregator", "init", home.name, "--folder", home, "--json", capsys=capsys)
    assert code == ExitCode.OK
    document: dict[str, str] = json.loads(out)
    return document


def test_an_aggregator_is_made_with_keys_that_only_its_owner_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = made(tmp_path / "university", capsys)
    assert {len(bytes.fromhex(document[key])) for key in KEYS} == {32}
    for key in (tmp_path / "university" / "keys").iterdir():
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    code, _, said = run(
        "aggregator", "init", "other", "--folder", tmp_path / "university", capsys=capsys
    )
    assert code == ExitCode.USAGE
    assert "aggregator-exists" in said


def test_a_first_aggregator_waits_for_a_second_and_a_third_may_come(
    tmp_path: Path, coordinator: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    roster = coordinator.parent / "roster.json"
    before = roster.read_bytes()
    for place, name in enumerate(("university", "registry", "court")):
        document = made(tmp_path / name, capsys)
        keys = [document[key] for key in KEYS]
        code, out, said = run(
            *("coordinator", "enrol-aggregator", name, *keys, "--config", coordinator),
            capsys=capsys,
        )
        assert code == ExitCode.OK, said
        if place == 0:
            assert roster.read_bytes() == before
            assert "waits for a second" in out
        else:
            assert len(parse_roster(roster.read_bytes()).aggregators) == place + 1
    fourth = made(tmp_path / "fourth", capsys)
    code, _, said = run(
        *("coordinator", "enrol-aggregator", "fourth", *(fourth[key] for key in KEYS)),
        *("--config", coordinator),
        capsys=capsys,
    )
    assert code == ExitCode.USAGE
    assert "roster-aggregators" in said
    assert len(parse_roster(roster.read_bytes()).aggregators) == 3


def test_an_aggregator_of_another_roster_does_not_go_to_work(
    tmp_path: Path, coordinator: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "university"
    made(home, capsys)
    config = home / "aggregator.toml"
    code, _, said = run("aggregator", "run", "--config", config, capsys=capsys)
    assert code == ExitCode.USAGE
    assert "certificate-not-found" in said
    tls = home / "tls"
    tls.mkdir()
    for name in ("root.pem", "aggregator.pem", "aggregator.key"):
        (tls / name).write_bytes(b"")
    code, _, said = run("aggregator", "run", "--config", config, capsys=capsys)
    assert code == ExitCode.USAGE
    assert "file-not-found" in said
    (home / "roster.json").write_bytes((coordinator.parent / "roster.json").read_bytes())
    code, _, said = run("aggregator", "run", "--config", config, capsys=capsys)
    assert code == ExitCode.USAGE
    assert "not-in-roster" in said


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("[meeting]", "[meeting", "not-toml"),
        ("timeout_s = 60", "timeout_s = 0", "aggregator-settings"),
        ('name = "university"', 'nam = "university"', "aggregator-settings"),
        ('interface = "wg0"', 'interface = "an interface with a long name"', "aggregator-settings"),
    ],
)
def test_settings_that_cannot_be_used_are_named(
    old: str, new: str, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "university"
    made(home, capsys)
    config = home / "aggregator.toml"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    status, _, said = run("aggregator", "run", "--config", config, capsys=capsys)
    assert status == ExitCode.USAGE
    assert code in said


def test_without_settings_or_without_a_relay_it_is_said_what_to_do(
    tmp_path: Path, coordinator: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = run("aggregator", "run", "--config", tmp_path / "none.toml", capsys=capsys)
    assert code == ExitCode.USAGE
    assert "concause aggregator init" in said
    code, _, said = run("coordinator", "relay", "--config", coordinator, capsys=capsys)
    assert code == ExitCode.USAGE
    assert "no-relay" in said
