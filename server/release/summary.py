"""The summary of a release: what a command prints at the end."""

from dataclasses import asdict, dataclass
from pathlib import Path

from protocol.canonical import fraction_text
from server.release.answers import LEVEL, Answer
from server.release.basis import Basis
from server.release.folder import ReleaseFile
from server.release.marginals import noisy_rows


@dataclass(frozen=True, slots=True)
class EarlierSummary:
    """The round that a release's own follows: of which study, and whether both are combined."""

    study: str
    combined: bool


@dataclass(frozen=True, slots=True)
class ReleaseSummary:
    """Where a release is and what it says, in a few values; the budget is that of all rounds."""

    folder: Path
    release: str
    contributed: tuple[str, ...]
    dropped: tuple[str, ...]
    noisy_rows: int
    epsilon: float
    delta: float
    rho: str  # exact, 'p/q'
    answers: tuple[Answer, ...]
    copies: int  # synthetic data sets
    earlier: "EarlierSummary | None" = None

    @property
    def report(self) -> Path:
        """The page to read first."""
        return self.folder / ReleaseFile.REPORT

    @property
    def synthetic(self) -> Path:
        """The synthetic rows: a file, or the pattern of the files of several data sets."""
        plain = self.folder / ReleaseFile.SYNTHETIC
        return plain if self.copies == 1 else plain.with_stem(f"{plain.stem}-*")

    def to_json(self) -> dict[str, object]:
        """Return the summary as plain values."""
        return {
            "folder": str(self.folder),
            "release": self.release,
            "report": str(self.report),
            "synthetic": str(self.synthetic),
            "copies": self.copies,
            "cohort": {"contributed": list(self.contributed), "dropped": list(self.dropped)},
            "noisy_rows": self.noisy_rows,
            "budget": {"epsilon": self.epsilon, "delta": self.delta, "rho": self.rho},
            "earlier": self.earlier and asdict(self.earlier),
            "effects": [_effect_document(answer) for answer in self.answers],
        }


def summarise(
    folder: Path, release: str, basis: Basis, answers: tuple[Answer, ...]
) -> ReleaseSummary:
    """Return the summary of a release of `basis`."""
    rows, _ = noisy_rows(basis.evidence)
    followed = basis.followed
    return ReleaseSummary(
        folder=folder,
        release=release,
        contributed=basis.contributed,
        dropped=basis.dropped,
        noisy_rows=rows,
        epsilon=basis.epsilon,
        delta=float(basis.plan.delta),
        rho=fraction_text(basis.rho),
        answers=answers,
        copies=basis.study.synthetic.copies,
        earlier=EarlierSummary(followed.study.name, bool(basis.earlier)) if followed else None,
    )


def _effect_document(answer: Answer) -> dict[str, object]:
    question, published = answer.question, answer.question.published
    return {
        "question": question.name,
        "treatment": question.treatment,
        "treated": str(question.treated),
        "reference": str(question.reference),
        "outcome": question.outcome,
        "measure": question.measure,
        "estimate": answer.estimate,
        "low": answer.low,
        "high": answer.high,
        "level": LEVEL,
        "unit": answer.unit,
        "method": answer.method,
        "monte_carlo_error": answer.monte_carlo_error,
        "published": published
        and {
            "low": float(published.low),
            "high": float(published.high),
            "source": published.source,
        },
        "agreement": answer.agreement and answer.agreement.name.lower(),
    }
