"""What one opening asks of the process that runs CrypTen: `job.json`, with a share beside it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

JOB, SHARE, RESULT = "job.json", "share.npy", "result.npy"
AGREED, COMMIT = "agreed", "open"  # said by the process; answered by who started it
DISAGREED = 4  # exit status: the others came with other shares


class Job(BaseModel):
    """Who meets whom, and about what.

    Attributes:
        place: this aggregator's, in the roster; the first hosts the meeting.
        subject: hex of the hash that all have to come with, or nothing is opened.
        keys: hex keys of CrypTen's generators, derived from the aggregators' own keys.
        host, port: where the first aggregator's store listens.
        interface: the one network interface that gloo may use.
        choose: open only where the largest element is, and not the sum.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    place: int = Field(ge=0)
    parties: int = Field(ge=2)
    subject: str
    keys: dict[str, str] = Field(repr=False)
    host: str
    port: int
    interface: str
    timeout_s: float = Field(gt=0)
    choose: bool = False

    def write(self, folder: Path) -> None:
        """Write it into a folder that only its owner can read."""
        (folder / JOB).write_text(self.model_dump_json(), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Job":
        """Return the job of a folder."""
        return cls.model_validate_json((folder / JOB).read_text(encoding="utf-8"))
