"""The tutorial runs as it stands, on a release of the demonstration, and prints what it says.

Numbers may differ by 2 % or by one in the last digit shown: other machines add in another order.
"""

import re
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from concause import cli
from tests.support.nhefs_release import write_nhefs_release

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
_BLOCK = re.compile(r"```python\n(.*?)```\s*\n(?:```text\n(.*?)```)?", re.DOTALL)
_NUMBER = re.compile(r"-?\d+\.?\d*")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tutorial")
    write_nhefs_release(place / "release")
    return place


def test_the_tutorial_prints_what_it_says(folder: Path) -> None:
    blocks = _BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) >= 9
    names: dict[str, object] = {}
    with chdir(folder):
        for code, expected in blocks:
            printed = StringIO()
            with redirect_stdout(printed):
                exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102 - our own page
            assert_alike(printed.getvalue(), expected)


def assert_alike(printed: str, expected: str) -> None:
    assert _NUMBER.sub("#", _spaced(printed)) == _NUMBER.sub("#", _spaced(expected))
    pairs = zip(_NUMBER.findall(printed), _NUMBER.findall(expected), strict=True)
    for found, stated in pairs:
        digits = len(stated.partition(".")[2])
        near = pytest.approx(float(stated), rel=0.02, abs=1.01 * 10.0**-digits)
        assert float(found) == near, (printed, expected)


def _spaced(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


def test_the_commands_of_the_tutorial_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    commands = [line.removeprefix("$ concause ") for line in block.splitlines()]
    assert len(commands) == 5
    with chdir(folder):
        for command in commands:
            assert cli.run(_words(command)) == 0, command
    assert (folder / "curve.svg").exists()
    assert "fold odds" in " ".join(capsys.readouterr().out.split())


def _words(command: str) -> list[str]:
    import shlex  # noqa: PLC0415 - here alone

    return shlex.split(command)
