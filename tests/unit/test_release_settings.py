"""The fit's settings follow from the round."""

from hashlib import sha256

from protocol.identifiers import SessionId
from server.estimation.fit import DRAWS
from server.release.settings import fit_settings

SESSION = SessionId(bytes(range(32)))


def test_the_seed_is_the_head_of_a_hash_of_the_session() -> None:
    digest = sha256(b"concause/1/fit-seed\0" + SESSION).hexdigest()
    assert fit_settings(SESSION).seed == int(digest[:12], 16)


def test_the_seed_of_a_known_session_never_changes() -> None:
    assert fit_settings(SESSION).seed == 230_562_699_581_532


def test_other_rounds_have_other_seeds_and_the_same_draws() -> None:
    one, other = fit_settings(SESSION), fit_settings(SessionId(bytes(32)))
    assert one.seed != other.seed
    assert one.draws == other.draws == DRAWS
