"""Expressions for survival variables: a column of times and one of events give one code.

Codes are the intervals of events, then those of censoring. A time after the last edge is censored
in the last interval, one below 0 is 0; no time, or text that is none, is censored in the first
interval; an event that is not known to be seen is censored.
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
    """Return the int32 code of an exit; every row has one (SPEC 2.1).

    `values` are the site's spellings of events. Precondition: both columns are readable.
    """
    intervals = len(variable.edges) - 1
    interval = interval_of(time, variable, Fates(None, None, 0, intervals))
    seen = event_of(event, values, Fates(None, None))
    return ibis.cases(
        (interval.isnull(), code_literal(intervals)),
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
