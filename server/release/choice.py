"""What a selection releases: which candidate won, at what cost, and whom to trust; nothing else."""

import json
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import PeerError, StorageError, UsageError
from protocol.secagg.roster import parse_roster
from server.release.basis import Basis, establish
from server.release.statement import rounded_up
from server.rounds.folder import replace_file
from server.rounds.papers import Papers

FORMAT = "concause-selection/1"
CHOICE, STUDY, ROSTER, TRANSCRIPT = "selection.json", "study.toml", "roster.json", "transcript.bin"
_TRUST = (
    "Trust in three operators, of whom no two work together. Each site adds its share of the noise "
    "to its scores, then splits them into three parts that mean nothing alone. Two operators "
    "compare the sums without seeing them, with the help of numbers that the third deals; they "
    "open the name of the best candidate only. If two of them did work together, they could see "
    "every site's noisy scores, though never a record."
)
_PROOF = (
    "A unit changes the score of a candidate by at most 71 for each row and each family that not "
    "all candidates share (protocol/privacy/scores.py); all scores get discrete Gaussian noise "
    "for that (Kairouz, Liu, Steinke 2021, Proposition 14). The winner follows from the noisy "
    "scores, so its loss is theirs at most."
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The outcome of a selection, as its papers prove it."""

    basis: Basis
    winner: str

    @property
    def document(self) -> dict[str, object]:
        """Return `selection.json`."""
        basis = self.basis
        return {
            "format": FORMAT,
            "winner": self.winner,
            "candidates": list(basis.study.candidates),
            "study_hash": basis.study.hash.hex(),
            "session": basis.session.hex(),
            "contributed": list(basis.contributed),
            "dropped": list(basis.dropped),
            "rho": rounded_up(basis.rho),
            "epsilon": rounded_up(basis.epsilon),
            "delta": rounded_up(basis.plan.delta),
            "proof": _PROOF,
            "trust": _TRUST,
        }


def choice_of(papers: Papers) -> Choice:
    """Return the winner of a finished selection, after replaying its round.

    Raises:
        UsageError: the study selects nothing.
        PeerError, PolicyError: as `establish`; or the aggregators signed something else.
    """
    basis = establish(papers)
    names = list(basis.study.candidates)
    if not names:
        raise UsageError(
            "no-selection",
            "Expected a study with [selection], found another.",
            "Read its release instead.",
        )
    opened = basis.noisy.values.tolist()
    if sorted(opened) != [0] * (len(names) - 1) + [1]:
        raise PeerError("no-winner", "The aggregators signed something other than one winner.")
    return Choice(basis, names[opened.index(1)])


def write_choice(folder: Path, papers: Papers) -> Choice:
    """Write the choice and the papers that prove it into a new folder.

    Raises:
        StorageError: the folder is there already.
        UsageError, PeerError, PolicyError: as `choice_of`.
    """
    choice = choice_of(papers)
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise StorageError(
            "release-exists", f"Expected to make {folder}, found it there.", "Choose another."
        ) from error
    replace_file(folder / STUDY, papers.study_text.encode())
    replace_file(folder / ROSTER, papers.roster.canonical)
    replace_file(folder / TRANSCRIPT, papers.transcript)
    text = json.dumps(choice.document, indent=2, ensure_ascii=False)
    replace_file(folder / CHOICE, f"{text}\n".encode())
    return choice


def verify_choice(folder: Path, roster: bytes) -> Choice:
    """Return the choice in a folder, made again from its papers under a pinned roster.

    Raises:
        UsageError: a file is missing.
        PeerError: it is of another roster, or says other than its papers.
    """
    try:
        files = {name: (folder / name).read_bytes() for name in (CHOICE, STUDY, ROSTER, TRANSCRIPT)}
    except OSError as error:
        raise UsageError(
            "not-a-selection",
            f"Expected the four files of a selection in {folder}, found that one is missing.",
            "Give the folder that `concause round start` wrote.",
        ) from error
    if files[ROSTER] != roster:
        raise PeerError("other-roster", "The selection is of another roster than the one given.")
    study = files[STUDY].decode(errors="replace")
    choice = choice_of(Papers(study, files[TRANSCRIPT], parse_roster(roster)))
    if json.loads(files[CHOICE]) != choice.document:
        raise PeerError("other-choice", "The selection says other than what its papers prove.")
    return choice
