"""One target under atheris: `python -m tests.fuzz.one TARGET CORPUS [libFuzzer's options]`."""

import sys

import atheris

with atheris.instrument_imports(include=["protocol", "server.causal"]):
    from tests.fuzz.targets import TARGETS, tried


def main() -> None:
    """Run until the time is up, or something else than a refusal is raised."""
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], lambda data: tried(target, data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
