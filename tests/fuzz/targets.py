"""Everything that reads bytes or texts from outside, as functions that a fuzzer may call.

A target refuses with one of our errors, or reads. Anything else that it raises is a fault; so is a
message whose encoding is not the bytes that it was read from.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from protocol import canonical
from protocol.errors import ConcauseError
from protocol.secagg.descriptor import SignedDescriptor
from protocol.secagg.messages import decode_message, encode_message
from protocol.secagg.roster import parse_roster
from protocol.secagg.transcript import decode as decode_transcript
from protocol.study.dagitty import parse_dagitty
from protocol.study.document import parse_study, study_from_canonical
from protocol.study.expression_reader import parse_rule
from protocol.study.problems import StudyProblems
from server.causal.exchange.bif_reader import read_bif
from server.causal.exchange.node_link import read_node_link
from server.causal.files.model_file import decode as decode_model

Target: TypeAlias = Callable[[bytes], None]
REFUSALS = (ConcauseError, StudyProblems)


def message(data: bytes) -> None:
    """Read a message of secure aggregation."""
    assert encode_message(decode_message(data)) == data


def descriptor(data: bytes) -> None:
    """Read a signed descriptor."""
    assert SignedDescriptor.decode(data).encode() == data


def canonical_json(data: bytes) -> None:
    """Read canonical JSON."""
    assert canonical.encode(canonical.decode(data)) == data


def roster(data: bytes) -> None:
    """Read a roster."""
    parse_roster(data)


def transcript(data: bytes) -> None:
    """Read a transcript, a torn one too."""
    decode_transcript(data, allow_truncated_tail=True)


def study(data: bytes) -> None:
    """Read a study as its author writes it."""
    parse_study(_text(data))


def canonical_study(data: bytes) -> None:
    """Read a study as a site keeps it."""
    assert study_from_canonical(data).canonical == data


def rule(data: bytes) -> None:
    """Read a rule of a study, or a policy."""
    parse_rule(_text(data))


def dagitty(data: bytes) -> None:
    """Read a graph in dagitty's notation."""
    parse_dagitty(_text(data))


def bif(data: bytes) -> None:
    """Read a network of tables."""
    read_bif(_text(data))


def node_link(data: bytes) -> None:
    """Read a graph in node-link JSON."""
    read_node_link(_text(data))


def model(data: bytes) -> None:
    """Read a model file."""
    decode_model(_text(data))


TARGETS: Mapping[str, Target] = {
    one.__name__: one
    for one in (
        *(message, descriptor, canonical_json, roster, transcript, study, canonical_study),
        *(rule, dagitty, bif, node_link, model),
    )
}


def tried(target: Target, data: bytes) -> bool:
    """Return whether a target reads the bytes; False where it refuses them."""
    try:
        target(data)
    except REFUSALS:
        return False
    return True


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
