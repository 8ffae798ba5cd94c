"""The settings of a release's fit: nobody chooses them.

Whoever chose the seed could try many, and publish the intervals that please most; whoever chose
the number of draws could exhaust a verifier's memory. The id of the round is settled before any
site has measured anything, so that a seed that follows from it was picked blindly.
"""

import hashlib

from protocol.identifiers import SessionId
from server.estimation.fit import DRAWS
from server.release.manifest import Estimation

_PURPOSE = b"concause/1/fit-seed\x00"
_SEED_BYTES = 6  # exact in a JSON number


def fit_settings(session: SessionId) -> Estimation:
    """Return the draws and the seed of the one fit that a release of this round may hold."""
    digest = hashlib.sha256(_PURPOSE + session).digest()
    return Estimation(draws=DRAWS, seed=int.from_bytes(digest[:_SEED_BYTES], "big"))
