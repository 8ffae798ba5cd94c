"""A site's records as the study's variables: where each is, and its names in a query.

What the values of a variable are is said in `client/source/values.py`.
"""

from collections.abc import Iterable

from client.source.bounding import Rows
from client.source.encoding import Column, Fates, fates_of, is_readable
from client.source.site_table import Mapping, SiteData
from client.source.values import Values
from protocol.errors import UsageError
from protocol.privacy.moments import STEPS, TRANSITION_STEPS
from protocol.study.families import Family
from protocol.study.graph import Clique
from protocol.study.study import Study
from protocol.study.time import BEFORE, base_name
from protocol.study.variables import Missingness, Numeric, Survival

EARLIER = "b"  # before the names of what is of the visit before


class StudyColumns:
    """The columns of `records` that hold the variables of a study.

    In a query a variable goes by an alias: the engine does not tell "Age" from "age". The alias
    of the column "cd4[t]" is that of "cd4"; "cd4[t-1]" has one of its own.
    """

    def __init__(self, records: Rows, mapping: Mapping, study: Study) -> None:
        self.study = study
        self._records = records
        self._mapping = mapping
        self._values = Values(records, mapping, study)
        self._places = {name: place for place, name in enumerate(study.variables)}

    def alias(self, name: str) -> str:
        """Return the name of the codes of a variable or column in a query."""
        return self._alias("v", name)

    def steps_alias(self, name: str, steps: int) -> str:
        """Return the name of the numbers of a variable or column, in steps, in a query."""
        return f"{self._alias('z', name)}_{steps}"

    def part_alias(self, name: str) -> str:
        """Return the name of the parts of bins of a variable or column in a query."""
        return self._alias("p", name)

    def _alias(self, letter: str, name: str) -> str:
        earlier = EARLIER if name.endswith(BEFORE) else ""
        return f"{earlier}{letter}{self._places[base_name(name)]}"

    @property
    def records(self) -> Rows:
        """Return one row per record, as the site wrote it."""
        return self._records

    @property
    def aliases(self) -> tuple[str, ...]:
        """Return the names of all codes, in the order of the study's variables."""
        return tuple(map(self.alias, self.study.variables))

    def source_names(self, variable: str) -> tuple[str, ...]:
        """Return the names of the columns that a variable is read from; none if it is computed."""
        if variable not in self.study.measured_variables:
            return ()
        if isinstance(self.study.variables[variable], Survival):
            return self._mapping.exit_columns_of(variable)
        return (self._mapping.column_of(variable),)

    def source_types(self, variable: str) -> tuple[str | None, ...]:
        """Return the type of each of these columns, None if the records have no such column."""
        known = self._records.schema()
        names = self.source_names(variable)
        return tuple(str(known[name]) if name in known else None for name in names)

    def is_written(self, variable: str) -> bool:
        """Return whether a variable is read from one column."""
        return len(self.source_names(variable)) == 1

    def value(self, variable: str) -> Column:
        """Return the one column of `variable` as the site wrote it, under the variable's alias."""
        return self._values.written(variable).name(self.alias(variable))

    def code(self, name: str) -> Column:
        """Return the codes of a variable or column, under its alias.

        Precondition: `check` does not refuse the variable; likewise below.
        """
        return self._values.code(base_name(name)).cast("int16").name(self.alias(name))

    def encoded(self, variable: str, values: Column, fates: Fates | None = None) -> Column:
        """Return the codes of `values` of `variable`, by the study's rule or by other `fates`."""
        by = fates or fates_of(self.study.variables[variable])
        return self._values.encoded(variable, values, by).name(self.alias(variable))

    def marked(self, variable: str, marks: Fates) -> tuple[Column, Column]:
        """Return a code by other `marks` than the study's, and what the site wrote for it.

        Of a survival variable: the first mark of time and event that is none of a good value,
        negative times being unknown; late times are not marked.
        """
        return self._values.marked(variable, marks)

    def fractional(self, variable: str) -> Column:
        """Return whether the site wrote a number of events that is not whole."""
        return self._values.fractional(variable)

    def outside(self, variable: str) -> Column:
        """Return whether the rule of a variable gives a number outside the edges."""
        return self._values.outside(variable)

    def codes(self, names: Iterable[str]) -> list[Column]:
        """Return the codes of variables or columns, each under its alias."""
        return [self.code(name) for name in names]

    def steps(self, name: str, steps: int) -> Column:
        """Return the numbers of a variable or column in steps, under their alias."""
        found = self._values.steps(base_name(name), steps)
        return found.cast("int16").name(self.steps_alias(name, steps))

    def part(self, name: str) -> Column:
        """Return the parts of bins of a variable or column, under their alias."""
        return self._values.part(base_name(name)).name(self.part_alias(name))

    def finer(self) -> list[Column]:
        """Return all that the study's moments and histograms need beside the codes."""
        wanted = {
            (self._places[base_name(name)], base_name(name), steps_of_family(family))
            for family in self.study.families
            if family.mechanism.uses == "moments"
            for name in (*family.regressors, family.node)
        }
        parted = [
            name
            for name in self.study.measured_variables
            if isinstance(variable := self.study.variables[name], Numeric) and variable.detail > 1
        ]
        steps = [self.steps(name, steps) for _, name, steps in sorted(wanted)]
        return steps + [self.part(name) for name in parted]

    def cell(self, rows: Rows, clique: Clique) -> Column:
        """Return the row-major index of each coded row in the table of `clique`, or NULL.

        Precondition: `clique` is not empty, and its table has fewer than 2^31 cells.
        """
        first, *rest = clique
        index = rows[self.alias(first)].cast("int32")  # codes have 16 bits
        for name in rest:
            index = index * self.study.variable(name).size + rows[self.alias(name)]
        return index.cast("int32")

    def may_lack_code(self, variable: str) -> bool:
        """Return whether the study leaves some values of `variable` without a code."""
        domain = self.study.variables[variable]
        if isinstance(domain, Missingness):
            return self.may_lack_code(domain.of)
        fates = fates_of(domain)
        return fates.missing is None or fates.unknown is None

    def absent(self) -> tuple[str, ...]:
        """Return the variables that the records lack a column for."""
        measured = self.study.measured_variables
        return tuple(name for name in measured if None in self.source_types(name))

    def unreadable(self) -> tuple[str, ...]:
        """Return the variables with a column of a type that cannot hold one."""
        return tuple(
            variable
            for variable in self.study.measured_variables
            if not all(
                is_readable(self._records[name])
                for name in self.source_names(variable)
                if name in self._records.columns
            )
        )

    def check(self) -> None:
        """Check that every variable that is read has its columns, of types that can hold it.

        Raises:
            UsageError: not so; names the variables, not the site's columns.
        """
        if absent := self.absent():
            raise UsageError(
                "column-missing",
                f"Expected a column for each variable, found none for {', '.join(absent)}.",
                "Name the columns in [mapping]; `concause site check` lists what there is.",
            )
        if unreadable := self.unreadable():
            raise UsageError(
                "column-type",
                "Expected columns of text, numbers, booleans or dates, found another type for "
                f"{', '.join(unreadable)}.",
                "Convert them in the file, or name other columns in [mapping].",
            )


def columns_read(data: SiteData, mapping: Mapping, study: Study) -> frozenset[str]:
    """Return the site's columns that a study reads, derived ones and those of units included."""
    named = {data.unit_column, data.visit_column} - {None}
    for variable in study.measured_variables:
        if isinstance(study.variables[variable], Survival):
            named.update(mapping.exit_columns_of(variable))
        else:
            named.add(mapping.column_of(variable))
    return frozenset(name for name in named if name is not None)


def steps_of_family(family: Family) -> int:
    """Return q of a family's moments."""
    return STEPS if family.population == "units" else TRANSITION_STEPS
