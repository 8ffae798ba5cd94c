"""What each variable of a study is in a row of a site's records, as expressions of its columns.

Most variables are read from one column; a survival variable from two; indicators of missing
values, and what rules compute, follow from the others. In a longitudinal study a row is one visit
of a unit, and a rule reads values of its own visit.
"""

from dataclasses import replace
from functools import partial

import ibis

from client.source.bounding import Rows
from client.source.encoding import Column, Fates, code_literal, encoded, fates_of
from client.source.encoding import Kind as ColumnKind
from client.source.exits import event_of, exit_of, interval_of
from client.source.numbers import (
    Reading,
    cell_of,
    is_fraction,
    is_outside,
    read_column,
    read_number,
    steps_of,
    value_of,
)
from client.source.rule_columns import ColumnAlgebra, levels, numbers, rule_column, truths
from client.source.site_table import Mapping
from client.source.spelling import spellings
from protocol.study.expression_algebra import Kind, Operand, recoding
from protocol.study.expression_types import KINDS
from protocol.study.quantities import MISSING
from protocol.study.study import Study
from protocol.study.time import base_name
from protocol.study.variables import Count, Missingness, Numeric, Survival


class Values:
    """Expressions over `records`, by variable.

    Preconditions of all methods: the variable's columns are there and readable.
    """

    def __init__(self, records: Rows, mapping: Mapping, study: Study) -> None:
        self._records = records
        self._mapping = mapping
        self._study = study
        self._computed: dict[str, Operand[Column]] = {}

    def code(self, variable: str) -> Column:
        """Return the int32 code of a variable by the study's rule; NULL leaves the row out."""
        domain = self._study.variables[variable]
        if self._study.mechanism(variable).uses == "none":
            return self._code_of_rule(variable)
        match domain:
            case Missingness():
                missing = self._study.variables[domain.of].missing_code
                return (self.code(domain.of) == missing).cast("int32")
            case Survival():
                time, event = map(self._column, self._mapping.exit_columns_of(variable))
                return exit_of(time, event, domain, self._mapping.values_of(variable))
        return self.encoded(variable, self.written(variable), fates_of(domain))

    def written(self, variable: str) -> Column:
        """Return the one column of a variable as the site wrote it."""
        return self._column(self._mapping.column_of(variable))

    def encoded(self, variable: str, written: Column, fates: Fates) -> Column:
        """Return the int32 codes of what the site wrote in the one column of a variable."""
        domain = self._study.variables[variable]
        known = spellings(domain, self._mapping.values_of(variable))
        return encoded(written, domain, known, fates)

    def marked(self, variable: str, marks: Fates) -> tuple[Column, Column]:
        """Return a code by other `marks`, and the text that it stands for; see `StudyColumns`."""
        domain = self._study.variables[variable]
        if not isinstance(domain, Survival):
            written = self.written(variable)
            return self.encoded(variable, written, marks), written
        time, event = map(self._column, self._mapping.exit_columns_of(variable))
        events = self._mapping.values_of(variable)
        interval = interval_of(time, domain, replace(marks, below=marks.unknown, above=0))
        seen = event_of(event, events, marks)
        texts = time.cast("string"), event.cast("string")
        return (
            ibis.cases((interval < 0, interval), else_=seen),
            ibis.cases((interval < 0, texts[0]), else_=texts[1]),
        )

    def steps(self, variable: str, steps: int) -> Column:
        """Return a boolean, a number or a count in steps from -steps to steps, NULL if missing."""
        domain = self._study.variables[variable]
        if isinstance(domain, Numeric | Count):
            return self._read(variable, domain, steps_of(domain, steps))
        code = self.code(variable)
        ends = ((code == at, code_literal(end)) for at, end in ((0, -steps), (1, steps)))
        return ibis.cases(*ends, else_=code_literal(None))

    def fractional(self, variable: str) -> Column:
        """Return whether the site wrote a number of events that is not whole."""
        domain = self._study.variables[variable]
        if not isinstance(domain, Count):
            return ibis.literal(value=False)
        return self._read(variable, domain, is_fraction())

    def outside(self, variable: str) -> Column:
        """Return whether the rule of a variable gives a number outside the edges."""
        domain = self._study.variables[variable]
        if not isinstance(domain, Numeric | Count):
            return ibis.literal(value=False)
        return self._read(variable, domain, is_outside())

    def part(self, variable: str) -> Column:
        """Return the part of a bin that a number lies in, NULL if it is missing."""
        domain = self._study.variables[variable]
        if not isinstance(domain, Numeric):
            raise TypeError("parts of what is no number")
        return self._read(variable, domain, cell_of(domain.part_edges))

    def _column(self, name: str) -> Column:
        return self._records[name]

    def _read(self, variable: str, domain: Numeric | Count, reading: Reading) -> Column:
        """Return what `reading` makes of the numbers of a variable."""
        if self._study.mechanism(variable).uses == "none":
            # As the one element of an array, so that the query holds the rule once.
            found = ibis.array([self._rule(variable).column])
            return found.map(partial(_read_rule, domain=domain, reading=reading))[0]
        known = spellings(domain, self._mapping.values_of(variable))
        return read_column(self.written(variable), domain, known, reading)

    def _code_of_rule(self, variable: str) -> Column:
        domain = self._study.variables[variable]
        if isinstance(domain, Numeric | Count):
            code = self._read(variable, domain, cell_of(domain.edges))
        else:
            code = self._level_of_rule(variable)
        return code.fill_null(code_literal(domain.missing_code))

    def _level_of_rule(self, variable: str) -> Column:
        """Return the code of the truth or the level that a rule computes, NULL if missing."""
        found, labels = self._rule(variable), self._study.variables[variable].labels
        code = found.column
        if found.kind is Kind.LEVEL:
            code = ColumnAlgebra().recoded(code, recoding(found.labels, labels))
        return code.cast("int32")

    def _rule(self, variable: str) -> Operand[Column]:
        """Return what the rule of a variable computes from its parents in the same row."""
        if variable not in self._computed:
            rule = self._study.mechanism(variable).expression
            if rule is None:
                raise TypeError("a rule without an expression")
            parents = {name: self._operand(base_name(name)) for name in rule.names}
            self._computed[variable] = rule_column(rule, parents)
        return self._computed[variable]

    def _operand(self, variable: str) -> Operand[Column]:
        domain = self._study.variables[variable]
        if isinstance(domain, Numeric | Count):
            return numbers(self._read(variable, domain, value_of(domain)))
        if self._study.mechanism(variable).uses == "none":
            code = self._level_of_rule(variable)  # in which nothing has to be undone
        else:
            code = self.code(variable)
            if domain.missing_code is not None:
                code = code.nullif(domain.missing_code)
        labels = tuple(label for label in domain.labels if label != MISSING)
        return truths(code) if KINDS[domain.kind] is Kind.TRUTH else levels(code, labels)


def _read_rule(number: Column, domain: Numeric | Count, reading: Reading) -> Column:
    return read_number(number, ColumnKind.FLOAT64, domain, reading)
