"""A site's records as the study's variables: which column holds each, and its code."""

from collections.abc import Iterable

from client.source.bounding import Rows
from client.source.encoding import Column, Fates, encoded, fates_of, is_readable
from client.source.site_table import Mapping
from client.source.spelling import spellings
from protocol.errors import UsageError
from protocol.study.graph import Clique
from protocol.study.study import Study


class StudyColumns:
    """The columns of `records` that hold the variables of a study.

    In a query a variable goes by its `alias`: the engine does not tell "Age" from "age".
    """

    def __init__(self, records: Rows, mapping: Mapping, study: Study) -> None:
        self.study = study
        self._records = records
        self._mapping = mapping
        self._aliases = {name: f"v{place}" for place, name in enumerate(study.variables)}

    def alias(self, variable: str) -> str:
        """Return the name of the codes of `variable` in a query."""
        return self._aliases[variable]

    @property
    def aliases(self) -> tuple[str, ...]:
        """Return the names of all codes, in the order of the study's variables."""
        return tuple(self._aliases.values())

    def source_name(self, variable: str) -> str:
        """Return the name of the column that should hold `variable`."""
        return self._mapping.column_of(variable)

    def source_column(self, variable: str) -> Column | None:
        """Return the column that holds `variable`, None if the records have no such column."""
        name = self.source_name(variable)
        return self._records[name] if name in self._records.columns else None

    def value(self, variable: str) -> Column:
        """Return the column of `variable` as the site wrote it, under the variable's alias."""
        return self._records[self.source_name(variable)].name(self._aliases[variable])

    def code(self, variable: str) -> Column:
        """Return the codes of `variable`, under its alias.

        Precondition: `check` does not refuse this variable.
        """
        return self.encoded(variable, self.value(variable))

    def encoded(self, variable: str, values: Column, fates: Fates | None = None) -> Column:
        """Return the codes of `values` of `variable`, by the study's rule or by other `fates`."""
        domain = self.study.variables[variable]
        known = spellings(domain, self._mapping.values_of(variable))
        codes = encoded(values, domain, known, fates or fates_of(domain))
        return codes.name(self._aliases[variable])

    def codes(self, variables: Iterable[str]) -> list[Column]:
        """Return the codes of `variables`, each under its alias."""
        return [self.code(variable) for variable in variables]

    def cell(self, rows: Rows, clique: Clique) -> Column:
        """Return the row-major index of each coded row in the table of `clique`, or NULL.

        Precondition: `clique` is not empty, and its table has fewer than 2^31 cells.
        """
        first, *rest = clique
        index = rows[self._aliases[first]].cast("int32")  # codes set aside have 16 bits
        for variable in rest:
            index = index * self.study.variables[variable].size + rows[self._aliases[variable]]
        return index.cast("int32")

    def may_lack_code(self, variable: str) -> bool:
        """Return whether the study leaves some values of `variable` without a code."""
        fates = fates_of(self.study.variables[variable])
        return fates.missing is None or fates.unknown is None

    def absent(self) -> tuple[str, ...]:
        """Return the variables that the records have no column for."""
        return tuple(v for v in self.study.variables if self.source_column(v) is None)

    def unreadable(self) -> tuple[str, ...]:
        """Return the variables whose column is of a type that cannot hold one."""
        return tuple(
            variable
            for variable in self.study.variables
            if (column := self.source_column(variable)) is not None and not is_readable(column)
        )

    def check(self) -> None:
        """Check that every variable has a column of a type that can hold it.

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
