"""site.toml and key files: what is read, and what is refused before anything is used."""

import stat
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from client.gate.flower import supernode_argv, supernode_environment
from client.gate.keys import (
    create_key,
    load_key,
    load_secret,
    write_private,
)
from client.gate.site_config import read_roster, read_site_config
from protocol.errors import PolicyError, StorageError, UsageError
from protocol.signing import parse_public_key, public_key
from tests.support.site_world import World, key


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path)) as world:
        yield world


def edited(world: World, old: str, new: str) -> Path:
    path = world.home(0) / "site.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_paths_are_relative_to_the_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world.folder)
    config = read_site_config(Path("site-0/site.toml"))
    assert config.site.roster == world.home(0) / "roster.json"
    assert config.data.path == str(world.home(0) / "records.parquet")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "site-0"', 'name = "Site 0"', "site.name"),
        ('superlink = "127.0.0.1:8000"', 'superlink = "https://x/"', "flower.superlink"),
        ("insecure = true", 'insecure = true\nroot_certificates = "x"', "excludes"),
        ("insecure = true", "runtime_port = 0", "flower.runtime_port"),
        ('policy = "policy.toml"', "", "site.policy is missing"),
        ("[data]", "[data]\npassword = 1", "data.password is not a setting"),
        ("[data]", "[database]", "database is not a setting"),
    ],
)
def test_mistake_in_the_file_is_named_by_its_field(
    world: World, old: str, new: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        read_site_config(edited(world, old, new))
    assert refused.value.code == "settings-not-valid"


def test_mapping_enters_the_mapping_digest_and_the_path_does_not(world: World) -> None:
    before = world.config(0).mapping_digest
    moved = read_site_config(edited(world, "records.parquet", "moved.parquet"))
    assert moved.mapping_digest == before
    path = edited(world, "[flower]", '[mapping.a]\ncolumn = "x"\n[flower]')
    assert read_site_config(path).mapping_digest != before


def test_row_bound_enters_the_mapping_digest(world: World) -> None:
    before = world.config(0).mapping_digest
    path = edited(world, "one_row_per_unit = true", 'unit_column = "person"')
    assert read_site_config(path).mapping_digest != before


def test_roster_that_is_missing_is_refused(world: World) -> None:
    with pytest.raises(UsageError) as refused:
        read_roster(world.folder / "none.json")
    assert refused.value.code == "roster-not-found"


def test_new_key_is_private_and_reads_back(tmp_path: Path) -> None:
    made = create_key(tmp_path / "a.key")
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    assert public_key(load_key(tmp_path / "a.key")) == public_key(made)


def test_key_is_never_overwritten(tmp_path: Path) -> None:
    create_key(tmp_path / "a.key")
    with pytest.raises(StorageError) as refused:
        create_key(tmp_path / "a.key")
    assert refused.value.code == "file-exists"


def test_key_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as refused:
        create_key(tmp_path / "none" / "a.key")
    assert refused.value.code == "file-not-writable"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o666])
def test_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.key"
    create_key(path)
    path.chmod(mode)
    with pytest.raises(PolicyError) as refused:
        load_key(path)
    assert refused.value.code == "key-readable-by-others"
    assert "chmod 600" in refused.value.remedy


def test_missing_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        load_key(tmp_path / "none.key")
    assert refused.value.code == "file-not-readable"


def test_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = generate_private_key(SECP256R1())
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for name, content in (("curve", pem), ("noise", b"not a key")):
        write_private(tmp_path / name, content)
        with pytest.raises(UsageError) as refused:
            load_key(tmp_path / name)
        assert refused.value.code == "not-a-signing-key"


def test_short_secret_is_refused(tmp_path: Path) -> None:
    write_private(tmp_path / "secret", b"x" * 31)
    with pytest.raises(UsageError) as refused:
        load_secret(tmp_path / "secret")
    assert refused.value.code == "secret-too-short"


@pytest.mark.parametrize("text", ["", "xy", "00", "00" * 33])
def test_text_that_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_public_key(text)
    assert refused.value.code == "not-a-public-key"


def test_public_key_reads_back_from_its_hex_digits() -> None:
    assert parse_public_key(public_key(key("x")).hex()) == public_key(key("x"))


def test_supernode_is_isolated_with_a_secret_and_meets_the_gate_on_loopback(world: World) -> None:
    argv = supernode_argv(world.config(0))
    pairs = dict(pairwise(argv))
    assert pairs["--isolation"] == "process"
    assert pairs["--superexec-auth-secret-file"] == str(world.home(0) / "executor.secret")
    assert (pairs["--host"], pairs["--port"]) == ("127.0.0.1", "9094")
    assert "--insecure" in argv


def test_supernode_with_certificates_is_told_of_them_and_of_its_key(world: World) -> None:
    new = 'root_certificates = "ca.pem"\nnode_key = "node.key"'
    argv = supernode_argv(read_site_config(edited(world, "insecure = true", new)))
    pairs = dict(pairwise(argv))
    assert pairs["--root-certificates"] == str(world.home(0) / "ca.pem")
    assert pairs["--auth-supernode-private-key"] == str(world.home(0) / "node.key")
    assert "--insecure" not in argv


def test_supernode_with_a_public_authority_uses_the_systems_certificates(world: World) -> None:
    argv = supernode_argv(read_site_config(edited(world, "insecure = true", "")))
    assert not {"--insecure", "--root-certificates"} & set(argv)


def test_supernode_inherits_no_credentials_and_calls_nobody(world: World) -> None:
    inherited = {"PATH": "/bin", "DB_PASSWORD": "s3cret", "HTTPS_PROXY": "proxy:1", "NO_PROXY": "x"}
    environment = supernode_environment(world.config(0), inherited)
    assert "DB_PASSWORD" not in environment
    assert environment["HTTPS_PROXY"] == "proxy:1"
    assert environment["NO_PROXY"] == "x,127.0.0.1,localhost"
    assert environment["FLWR_TELEMETRY_ENABLED"] == "0"
    assert environment["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert environment["FLWR_HOME"] == str(world.config(0).site.folder / "flower")
