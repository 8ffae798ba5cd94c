"""Expressions for survival variables: a column of times and one of events give one code.

Codes are the intervals of events, then those of censoring. A time after the last edge is censored
in the last interval. A row without a time from 0 on, or without a word that is known for the
event, has no code: taken for censored, a site that forgets to map its words would report no event.
"""

from collections.abc import Mapping

import ibis

from client.source.encoding import (
    Column,
    Fates,
    as_number,
    binned,
    code_literal,
    encoded,
    is_nan,
    readable,
)
from client.source.site_table import CENSORED, EVENT
from client.source.spelling import event_spellings
from protocol.study.variables import Categorical, Survival

_EVENTS = Categorical(kind="categorical", levels=(CENSORED, EVENT))


def exit_of(time: Column, event: Column, variable: Survival, values: Mapping[str, str]) -> Column:
    """Return the int32 code of an exit; NULL without a time from 0 on, or a word for the event.

    `values` are the site's spellings of events. Precondition: both columns are readable.
    """
    intervals = len(variable.edges) - 1
    interval = interval_of(time, variable, Fates(None, None, None, intervals))
    seen = event_of(event, values, Fates(None, None))
    return ibis.cases(
        (interval.isnull() | seen.isnull(), code_literal(None)),
        (interval == intervals, code_literal(2 * intervals - 1)),
        (seen == 1, interval),
        else_=interval + intervals,
    ).cast("int32")


def interval_of(time: Column, variable: Survival, fates: Fates) -> Column:
    """Return the interval of a time, as int32; below are negative times."""
    value, kind = readable(time)
    number, number_kind = as_number(value, kind)
    outside = code_literal(fates.below), code_literal(fates.above)
    absent = value.isnull() | is_nan(number, number_kind)
    return ibis.cases(
        (absent, code_literal(fates.missing)),
        (number.isnull(), code_literal(fates.unknown)),
        else_=binned(number, number_kind, variable.edges, outside),
    )


def event_of(event: Column, values: Mapping[str, str], fates: Fates) -> Column:
    """Return 1 for an event and 0 for censoring, as int32."""
    return encoded(event, _EVENTS, event_spellings(values), fates)
