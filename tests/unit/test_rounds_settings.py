import os
import stat
import sysconfig
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from protocol.errors import StorageError, UsageError
from server.rounds.clock import Timings
from server.rounds.coordinator_config import CoordinatorConfig, load_coordinator_config
from server.rounds.counter import LARGEST, next_counter
from server.rounds.flower import (
    APP_ROOT,
    environment,
    list_argv,
    prepare_homes,
    run_argv,
    stage_app,
    stop_argv,
    superexec_argv,
    superlink_argv,
)
from server.rounds.run_settings import RunSettings
from server.rounds.signing_key import (
    create_executor_secret,
    create_signing_key,
    load_signing_key,
)

TLS = """
root_certificates = "tls/root.pem"
certificate = "tls/superlink.pem"
certificate_key = "tls/superlink.key"
"""
DOCUMENT = """
[coordinator]
name = "consortium"
signing_key = "coordinator.key"
roster = "roster.json"
folder = "."

[flower]
superlink = "127.0.0.1:8123"
executor_secret = "executor.secret"
"""


def config(folder: Path, document: str = DOCUMENT + TLS) -> CoordinatorConfig:
    path = folder / "coordinator.toml"
    path.write_text(document)
    return load_coordinator_config(path)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    found = config(tmp_path)
    assert found.coordinator.signing_key == tmp_path / "coordinator.key"
    assert found.flower.root_certificates == tmp_path / "tls" / "root.pem"
    assert found.rounds == tmp_path / "rounds"
    assert found.counter == tmp_path / "counter"


def test_waiting_times_have_defaults_and_can_be_set(tmp_path: Path) -> None:
    assert config(tmp_path).round.timings == Timings(120.0, 60.0, 0.25)
    found = config(tmp_path, DOCUMENT + TLS + "[round]\nstep_timeout_s = 20\n")
    assert found.round.timings == Timings(20.0, 60.0, 0.25)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('name = "consortium"', "", "coordinator.name"),
        ('name = "consortium"', 'name = "consortium"\nnmae = "x"', "coordinator.nmae"),
        ("127.0.0.1:8123", "127.0.0.1", "flower.superlink: Value error, expected HOST:PORT"),
        ("127.0.0.1:8123", "127.0.0.1:0", "flower.superlink: Value error, expected HOST:PORT"),
        ('certificate = "tls/superlink.pem"', "", "certificate and certificate_key"),
        ("[flower]", "[flower]\ninsecure = true", "insecure = true excludes"),
        ("[flower]", "[round]\npoll_interval_s = 0\n[flower]", "round.poll_interval_s"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, before: str, after: str, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        config(tmp_path, (DOCUMENT + TLS).replace(before, after))
    assert caught.value.code == "coordinator-settings"
    assert named in caught.value.cause


def test_all_wrong_settings_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        config(tmp_path, "[coordinator]\n[flower]\nsuperlink = 5\n")
    for name in ("coordinator.name", "coordinator.roster", "flower.superlink"):
        assert name in caught.value.cause


def test_no_tls_is_for_loopback_only(tmp_path: Path) -> None:
    assert config(tmp_path, DOCUMENT + "insecure = true\n").flower.insecure
    with pytest.raises(UsageError) as caught:
        config(tmp_path, DOCUMENT.replace("127.0.0.1", "10.0.0.7") + "insecure = true\n")
    assert "127.0.0.1 only" in caught.value.cause


def test_a_missing_file_and_one_that_is_no_toml_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as missing:
        load_coordinator_config(tmp_path / "none.toml")
    with pytest.raises(UsageError) as garbled:
        config(tmp_path, "[coordinator")
    assert (missing.value.code, garbled.value.code) == ("file-not-found", "not-toml")


def pairs(argv: list[str]) -> set[tuple[str, str]]:
    return set(pairwise(argv))


def test_the_superlink_is_bound_guarded_and_never_installs_anything(tmp_path: Path) -> None:
    argv = superlink_argv(config(tmp_path))
    assert argv[0] == f"{sysconfig.get_path('scripts')}/flower-superlink"
    assert {
        ("--host", "127.0.0.1"),
        ("--port", "8123"),
        ("--isolation", "process"),
        ("--superexec-auth-secret-file", str(tmp_path / "executor.secret")),
        ("--database", str(tmp_path / "flower" / "superlink.db")),
        ("--ssl-certfile", str(tmp_path / "tls" / "superlink.pem")),
        ("--ssl-keyfile", str(tmp_path / "tls" / "superlink.key")),
        ("--ssl-ca-certfile", str(tmp_path / "tls" / "root.pem")),
    } <= pairs(argv)
    assert "--disable-runtime-dependency-installation" in argv
    assert "--insecure" not in argv


def test_the_executor_trusts_the_root_and_knows_the_secret(tmp_path: Path) -> None:
    argv = superexec_argv(config(tmp_path))
    assert {
        ("--runtime-api-address", "127.0.0.1:8123"),
        ("--root-certificates", str(tmp_path / "tls" / "root.pem")),
        ("--superexec-auth-secret-file", str(tmp_path / "executor.secret")),
    } <= pairs(argv)


def test_without_tls_every_process_is_told_so(tmp_path: Path) -> None:
    insecure = config(tmp_path, DOCUMENT + "insecure = true\n")
    for argv in (superlink_argv(insecure), superexec_argv(insecure)):
        assert argv[-1] == "--insecure"
        assert not [flag for flag in argv if "cert" in flag]
    prepare_homes(insecure)
    document = tomllib.loads((tmp_path / "flower" / "cli" / "config.toml").read_text())
    assert document["superlink"]["coordinator"] == {"address": "127.0.0.1:8123", "insecure": True}


def test_the_command_line_finds_the_superlink_by_name(tmp_path: Path) -> None:
    prepare_homes(config(tmp_path))
    document = tomllib.loads((tmp_path / "flower" / "cli" / "config.toml").read_text())
    assert document["superlink"] == {
        "default": "coordinator",
        "coordinator": {
            "address": "127.0.0.1:8123",
            "root-certificates": str(tmp_path / "tls" / "root.pem"),
        },
    }
    flwr = f"{sysconfig.get_path('scripts')}/flwr"
    app, run_config = tmp_path / "app", tmp_path / "run.toml"
    told = [flwr, "run", str(app), "coordinator", "--run-config", str(run_config)]
    assert run_argv(app, run_config) == [*told, "--format", "json"]
    assert list_argv("7") == [flwr, "list", "coordinator", "--run-id", "7", "--format", "json"]
    assert stop_argv("7") == [flwr, "stop", "7", "coordinator", "--format", "json"]


def test_each_process_is_quiet_direct_and_at_home(tmp_path: Path) -> None:
    inherited = {"HOME": "/home/c", "PATH": "/usr/bin", "HTTPS_PROXY": "http://p", "TOKEN": "s"}
    found = environment(config(tmp_path), "superexec", inherited)
    assert found["FLWR_HOME"] == str(tmp_path / "flower" / "superexec")
    assert found["FLWR_TELEMETRY_ENABLED"] == "0"
    assert found["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert found["NO_PROXY"] == found["no_proxy"] == "127.0.0.1,localhost"
    assert found["PATH"].split(os.pathsep) == [sysconfig.get_path("scripts"), "/usr/bin"]
    assert found["HOME"] == "/home/c"
    assert not {"HTTPS_PROXY", "TOKEN"} & found.keys()


def test_the_staged_app_holds_the_driver_and_nothing_of_a_sites_gate(tmp_path: Path) -> None:
    app = stage_app(config(tmp_path))
    assert app.name == "concause"
    names = {path.relative_to(app).as_posix() for path in app.rglob("*.*")}
    assert {"server/app.py", "server/rounds/driver.py", "protocol/secagg/coordinator.py"} <= names
    assert [name for name in names if name.startswith("client/gate")] == []
    for path in app.rglob("*.py"):
        assert path.read_bytes() == (APP_ROOT / path.relative_to(app)).read_bytes()


def test_the_staged_app_names_every_setting_of_a_run(tmp_path: Path) -> None:
    app = stage_app(config(tmp_path))
    document = tomllib.loads((app / "pyproject.toml").read_text())
    named = document["tool"]["flwr"]["app"]
    assert named["components"]["serverapp"] == "server.app:app"
    settings = RunSettings(Path("/round"), Timings())
    assert named["config"].keys() == settings.as_run_config().keys()


def test_staging_again_leaves_no_old_file(tmp_path: Path) -> None:
    settings = config(tmp_path)
    stray = stage_app(settings) / "server" / "stray.py"
    stray.write_text("")
    stage_app(settings)
    assert not stray.exists()


def test_run_settings_survive_the_way_through_flower(tmp_path: Path) -> None:
    settings = RunSettings(tmp_path / 'a "quoted" folder', Timings(1.5, 2.0, 0.25))
    assert RunSettings.read(tomllib.loads(settings.as_toml())) == settings


@pytest.mark.parametrize(
    "changed",
    [{"round-folder": ""}, {"round-folder": 5}, {"step-timeout-s": "x"}, {"poll-interval-s": None}],
)
def test_a_run_config_of_another_form_is_refused(changed: dict[str, object]) -> None:
    settings = RunSettings(Path("/round"), Timings()).as_run_config()
    with pytest.raises(UsageError) as caught:
        RunSettings.read({**settings, **changed})
    assert caught.value.code == "run-config"


def test_the_counter_only_ever_grows(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "counter"
    assert [next_counter(path) for _ in range(3)] == [1, 2, 3]
    path.write_text("41\n")
    assert next_counter(path) == 42
    assert path.read_text() == "42\n"


@pytest.mark.parametrize("content", ["", "x", "-1", "1.5", "²", str(LARGEST)])
def test_a_damaged_counter_is_not_started_again(tmp_path: Path, content: str) -> None:
    path = tmp_path / "counter"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        next_counter(path)
    assert caught.value.code == "damaged-counter"
    assert path.read_text() == content


def test_a_signing_key_comes_back_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = create_signing_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_signing_key(path).private_bytes_raw() == made.private_bytes_raw()


def test_a_key_or_secret_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "file"
    create_executor_secret(path)
    assert len(path.read_bytes()) == 32
    for create in (create_signing_key, create_executor_secret):
        with pytest.raises(StorageError) as caught:
            create(path)
        assert caught.value.code == "file-exists"


def test_a_signing_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    create_signing_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(UsageError) as caught:
        load_signing_key(tmp_path / "key")
    assert caught.value.code == "key-readable-by-others"


@pytest.mark.parametrize(
    ("content", "code"), [(b"x", "not-a-signing-key"), (None, "signing-key-not-found")]
)
def test_something_else_than_a_signing_key_is_refused(
    tmp_path: Path, content: bytes | None, code: str
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.touch(0o600)
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_signing_key(path)
    assert caught.value.code == code
