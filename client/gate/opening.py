"""A gate from a site's settings: real records, real noise, the operating system's entropy."""

import os
from collections.abc import Callable
from typing import TextIO

from client.gate.consent import Consents
from client.gate.gate import Gate, Member
from client.gate.keys import load_key, load_secret
from client.gate.means import Means
from client.gate.memory import open_gate_memory, open_log
from client.gate.site_config import SiteConfig
from client.measure.noise import add_noise
from client.measure.statistics import measure
from client.source.duckdb_source import DuckDBSource
from client.source.spill import SPILL_FOLDER
from protocol.study.study import Study


def open_gate(config: SiteConfig, *, now: int, screen: TextIO | None = None) -> Gate:
    """Return the one gate of a site, to be closed by the caller; `now` in seconds since 1970.

    Raises:
        PolicyError: a key is readable by others, or the audit log is not as it was written.
        StorageError: another gate is at work, or the site's folder cannot be used.
        UsageError: a key is missing.
    """
    member = Member(config.site.name, load_key(config.site.signing_key))
    means = Means(open_source(config), measure, add_noise, os.urandom)
    memory = open_gate_memory(config.site.folder, config.site.audit)
    try:
        consents = Consents(config, memory.standing)
        gate = Gate(member, consents, memory, open_log(config.site.folder, screen), means)
        gate.forget_lost_rounds(now=now)
    except BaseException:
        memory.close()
        raise
    return gate


def open_source(
    config: SiteConfig, *, every_column: bool = False
) -> Callable[[Study], DuckDBSource]:
    """Return how the site's records are opened for a study, or to look at every column.

    Raises:
        PolicyError: the row bound key is readable by others.
        UsageError: it is missing.
    """
    bound_key = load_secret(config.site.bound_key)
    folder = config.site.folder / SPILL_FOLDER

    def opened(study: Study) -> DuckDBSource:
        return DuckDBSource(
            config.data,
            config.mapping,
            study,
            bound_key=bound_key,
            folder=folder,
            every_column=every_column,
        )

    return opened
