"""The wheel puts nothing but `concause` into site-packages, and its command works anywhere."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(ROOT)], check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


def test_wheel_holds_one_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"concause"}


def test_wheel_holds_every_module_of_the_tree(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    sources = {
        f"concause/app/{path.relative_to(ROOT).as_posix()}"
        for package in ("protocol", "client", "server")
        for path in (ROOT / package).rglob("*.py")
    }
    assert sources <= packed
    assert not {name for name in packed if "/tests/" in name or "prototype" in name}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel alone; its dependencies come from the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=False)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site_packages)
    inherited = [entry for entry in sys.path if entry.endswith("site-packages")]
    (site_packages / "inherited.pth").write_text("\n".join(inherited) + "\n")
    return folder / "bin" / "python"


def test_command_runs_from_another_folder(installed: Path, tmp_path: Path) -> None:
    study = ROOT / "deploy" / "demo" / "nhefs.toml"
    command = [str(installed), "-m", "concause", "study", "check", str(study), "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"nhefs-quit-smoking"' in done.stdout


def test_import_uses_the_bundled_packages(installed: Path, tmp_path: Path) -> None:
    program = "import concause, server; print(concause.APP_ROOT, server.__file__)"
    done = subprocess.run(
        [str(installed), "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.count(str(installed.parent.parent)) == 2
