"""A table for the terminal: columns chosen; rows filtered, sorted, cut; shown or saved."""

from __future__ import annotations

import csv
import io
import math
import operator
import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rltune.checkpoint import write_atomically
from rltune.config import nearest
from rltune.tune.analysis import load_pandas
from rltune.tune.json_encoding import is_fallback, readable

SEPARATOR = ":"
RESULT_PREFIX = f"last_result{SEPARATOR}"
DEFAULT_WIDTH = 100
SUFFIXES = (".csv", ".p", ".pkl", ".pickle")
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}
TRUTH = {"true": 1.0, "false": 0.0}

Row = dict[str, Any]


class UnknownColumn(KeyError):
    """A column that is none of the chosen ones; the message names them."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Listing:
    """Rows that hold a value, or None, for each of the columns."""

    columns: list[str]
    rows: list[Row]

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Listing:
        """One row per record of a state's bare JSON, which is not unpickled.

        `config:lr` is `record["config"]["lr"]`. A name that no record has stands for the field of
        the last result, and is dropped where that does not exist either.
        """
        known = (_existing(records, name) for name in names)
        columns = list(dict.fromkeys(column for column in known if column))
        rows = [{column: _cell(record, column) for column in columns} for record in records]
        return cls(columns, rows)

    def resolve(self, name: str) -> str:
        """The chosen column of that name, or of that name in the last result.

        Raises UnknownColumn.
        """
        for column in (name, RESULT_PREFIX + name):
            if column in self.columns:
                return column
        near = nearest(name, self.columns)
        hint = f"; nearest: {near!r}" if near else ""
        raise UnknownColumn(f"{name!r} is none of the chosen columns {self.columns}{hint}")

    def filtered(self, condition: str) -> Listing:
        """The rows for which `<column> <operator> <value>` holds.

        An absent value fulfils `!=` alone. Raises ValueError for another shape and for a column
        of neither numbers nor texts, UnknownColumn.
        """
        parts = condition.split()
        if len(parts) != 3 or parts[1] not in OPERATORS:
            raise ValueError(
                f"A filter is '<column> <operator> <value>', the operator one of "
                f"{' '.join(OPERATORS)}; not {condition!r}"
            )
        column, compare = self.resolve(parts[0]), OPERATORS[parts[1]]
        value = self._comparable(column, parts[2])
        absent = compare is operator.ne
        return replace(
            self,
            rows=[
                row
                for row in self.rows
                if (absent if row[column] is None else compare(row[column], value))
            ],
        )

    def sorted(self, names: Sequence[str], descending: bool = False) -> Listing:
        """Sorted by the first name, then the next; rows without a value come last.

        Raises UnknownColumn.
        """
        rows = self.rows
        for column in reversed([self.resolve(name) for name in names]):
            rows = _sorted_by(column, rows, descending)
        return replace(self, rows=rows)

    def first(self, number: int) -> Listing:
        return replace(self, rows=self.rows[:number])

    def shown(self, width: int) -> str:
        """The table, no wider than `width`, and a line for each kind of column left out of it.

        Raises ImportError without tabulate.
        """
        filled = [c for c in self.columns if not self.rows or self._values(c)]
        table = self._table(filled)
        ends = [i for i, char in enumerate(table.partition("\n")[0]) if char == "+"][1:]
        fitting = sum(end < width for end in ends)
        lines, cut = [table], len(self.columns)
        if fitting < len(filled):
            cut = self.columns.index(filled[fitting])
            lines = [
                self._table(filled[:fitting]),
                f"Dropped columns: {self.columns[cut:]}",
                "Please increase your terminal size to view remaining columns.",
            ]
        empty = [column for column in self.columns[:cut] if column not in filled]
        if empty:
            lines.append(f"Empty columns: {empty}")
        return "\n".join(lines)

    def save(self, output: str) -> None:
        """Writes every chosen column: CSV, or a pickled pandas frame by the suffix of the file.

        Raises ValueError for another suffix, ImportError for a frame without pandas.
        """
        path = Path(output).expanduser()
        check_output(output)
        if path.suffix == ".csv":
            text = io.StringIO(newline="")
            writer = csv.DictWriter(text, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
            data = text.getvalue().encode()
        else:
            data = pickle.dumps(load_pandas().DataFrame(self.rows, columns=self.columns))
        write_atomically(path, data)

    def _values(self, column: str) -> list[Any]:
        return [row[column] for row in self.rows if row[column] is not None]

    def _is_numeric(self, column: str) -> bool:
        values = self._values(column)
        return bool(values) and all(isinstance(value, int | float) for value in values)

    def _comparable(self, column: str, text: str) -> Any:
        if self._is_numeric(column):
            try:
                return TRUTH[text.lower()] if text.lower() in TRUTH else float(text)
            except ValueError:
                raise ValueError(f"{column!r} holds numbers, and {text!r} is none") from None
        if not all(isinstance(value, str) for value in self._values(column)):
            raise ValueError(f"{column!r} holds neither numbers nor texts: it cannot be filtered")
        return text

    def _table(self, columns: list[str]) -> str:
        cells = [[row[column] for column in columns] for row in self.rows]
        texts = [i for i, column in enumerate(columns) if not self._is_numeric(column)]
        unparsed = texts if cells else True  # tabulate knows no columns without rows
        table: str = _tabulate()(cells, headers=columns, tablefmt="psql", disable_numparse=unparsed)
        return table


def check_output(output: str) -> None:
    """Raises ValueError for a file that a listing cannot be saved to."""
    if Path(output).suffix not in SUFFIXES:
        raise ValueError(f"Unsupported filetype: {output}; must be one of {' '.join(SUFFIXES)}")


def terminal_width() -> int:
    """Of `$COLUMNS`, else of the terminal, else 100 characters."""
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given):
        return int(given)
    for descriptor in range(3):
        try:
            return os.get_terminal_size(descriptor).columns or DEFAULT_WIDTH
        except OSError:
            continue
    return DEFAULT_WIDTH


def _find(record: Mapping[str, Any], column: str) -> Any:
    """The value of a column. Raises KeyError where there is none; a mapping is no value."""
    value: Any = record
    for key in column.split(SEPARATOR):
        if not isinstance(value, Mapping) or is_fallback(value):
            raise KeyError(column)
        value = value[key]
    if isinstance(value, Mapping) and not is_fallback(value):
        raise KeyError(column)
    return readable(value)


def _has(record: Mapping[str, Any], column: str) -> bool:
    try:
        _find(record, column)
    except KeyError:
        return False
    return True


def _existing(records: Sequence[Mapping[str, Any]], name: str) -> str | None:
    """The column that a name stands for, or None."""
    for column in (name, RESULT_PREFIX + name):
        if any(_has(record, column) for record in records):
            return column
    return None


def _cell(record: Mapping[str, Any], column: str) -> Any:
    return _find(record, column) if _has(record, column) else None


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _sorted_by(column: str, rows: list[Row], descending: bool) -> list[Row]:
    present = [row for row in rows if not _is_missing(row[column])]
    absent = [row for row in rows if _is_missing(row[column])]
    return sorted(present, key=lambda row: _order(row[column]), reverse=descending) + absent


def _order(value: Any) -> tuple[bool, Any]:
    """Numbers before everything else, which is sorted by its text."""
    is_number = isinstance(value, int | float)
    return not is_number, value if is_number else str(value)


def _tabulate() -> Callable[..., str]:
    try:
        from tabulate import tabulate
    except ImportError as error:
        raise ImportError(
            "Tables need tabulate: pip install tabulate, or pip install rltune[analysis]"
        ) from error
    return tabulate
