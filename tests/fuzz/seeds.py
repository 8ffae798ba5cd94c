"""The first entries of each corpus, of every kind that is read: `python -m tests.fuzz.seeds`."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from protocol.secagg import coordinator
from protocol.secagg.coordinator import StepClosed
from protocol.secagg.messages import encode_message
from protocol.study.document import parse_study
from server.causal.exchange.bif_writer import bif_text
from server.causal.exchange.graphs import write_graph
from server.causal.exchange.world_tables import network_of_world
from tests.support.causal_models import model_of, study_of
from tests.support.secagg_network import Network, consortium
from tests.support.split_world import SplitRound, split_consortium
from tests.support.studies import MIXED_TEXT, STUDY_TEXT, VISITS_TEXT

CORPUS = Path(__file__).with_name("corpus")
BOOLEAN = 'kind = "boolean"'


def seeds() -> Iterator[tuple[str, bytes]]:
    """Yield (target, bytes) of entries that are read."""
    world = consortium(3, threshold=2, n_min=2, length=2)
    network = Network(world)
    for step in range(5):
        for message in coordinator.requests(network.state).values():
            yield "message", encode_message(message)
        network.play(step)
        network.take(StepClosed())
    yield "transcript", network.transcript
    split = SplitRound(split_consortium(3, threshold=2, n_min=2, length=2))
    split.finish()
    for event in split.events:
        if not isinstance(event, StepClosed):
            yield "message", encode_message(event)
    yield "transcript", split.transcript
    yield "roster", split.world.roster.canonical
    yield "descriptor", split.world.signed.encode()
    yield "descriptor", world.signed.encode()
    yield "roster", world.roster.canonical
    for text in (STUDY_TEXT, MIXED_TEXT, VISITS_TEXT):
        yield "study", text.encode()
        yield "canonical_study", parse_study(text).canonical
        yield "canonical_json", parse_study(text).canonical
    small = study_of({"a": BOOLEAN, "b": BOOLEAN}, ["a -> b"])
    model = model_of(small)
    yield "model", model.to_json().encode()
    yield "bif", bif_text(network_of_world(model.world, "BIF"), "small").encode()
    yield "node_link", write_graph(small, format="json").encode()
    for text in ("dag { a -> {b c} ; u [latent] u <-> b }", 'dag "g" { "two words" <- x }'):
        yield "dagitty", text.encode()
    for text in ("where(a == 'x', 1, b / 2) + min(c, 3)", "not a and (b > 1e3 or is_missing(c))"):
        yield "rule", text.encode()


def write() -> None:
    """Write them, each under the hash of its bytes."""
    for target, data in seeds():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    write()
