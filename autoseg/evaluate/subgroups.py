"""Subgroups of cases from a table of persons or cases: sex, age."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.case import Case
from autoseg.errors import FileFormatError, UsageError

Row = dict[str, str]

#: More distinct numbers than this are cut at their quartiles.
MAX_VALUES = 6
#: What xlsx files make of control characters ("_x0008_"), and the characters themselves.
_JUNK = re.compile(r"_x[0-9A-Fa-f]{4}_|[\x00-\x1f\x7f]")


def read_table(path: Path) -> list[Row]:
    """The rows of a csv or xlsx file (its first sheet), column -> text, control characters and blanks around values removed.

    Raises
    ------
    UsageError
        If it is neither, is not there, or xlsx and openpyxl is not installed.
    FileFormatError
        If it cannot be read, or holds no row below the line of names.
    """
    if not path.is_file():
        raise UsageError(f"--groups {path}: there is no such file.")
    readers: dict[str, Callable[[Path], Sequence[Sequence[object]]]] = {".csv": _read_csv, ".xlsx": _read_xlsx}
    if path.suffix.lower() not in readers:
        raise UsageError(f"--groups {path}: must be a .csv or .xlsx file.")
    cells = [[_clean(cell) for cell in line] for line in readers[path.suffix.lower()](path)]
    lines = [line for line in cells if any(line)]
    if len(lines) < 2:
        raise FileFormatError(f"{path} holds no rows below its line of column names.")
    names = lines[0]
    return [dict(zip(names, [*line, *[""] * len(names)], strict=False)) for line in lines[1:]]


def subgroups_of(rows: Sequence[Row], columns: Sequence[str], cases: Sequence[Case], source: Path) -> dict[str, dict[str, str]]:
    """Column -> case -> value, for the cases that the table knows; numbers of many values become quarters of the table's persons.

    The rows are matched by the column that names the most cases or their groups (persons). Columns are found whatever their case.

    Raises
    ------
    UsageError
        If a column is not there, or no column names cases or groups; the message lists what there is.
    """
    names = {name.casefold(): name for name in rows[0] if name}
    if unknown := [column for column in columns if column.casefold() not in names]:
        raise UsageError(f"--by {','.join(unknown)}: {source} has the columns {', '.join(names.values())}.")
    key = max(names.values(), key=lambda name: _num_matched(rows, name, cases))
    if not _num_matched(rows, key, cases):
        example = cases[0].group or cases[0].name
        raise UsageError(f"--groups {source}: no column names the cases or their groups, such as {example}; it has {', '.join(rows[0])}.")
    by_name = {row[key]: row for row in rows}
    found = {case.name: row for case in cases if (row := by_name.get(case.name) or by_name.get(case.group or "")) is not None}
    return {column: _values(names[column.casefold()], list(by_name.values()), found) for column in columns}


def _values(column: str, rows: Sequence[Row], found: Mapping[str, Row]) -> dict[str, str]:
    """Case -> value, in the order of the values; cases without one are left out."""
    numbers = [_number(row[column]) for row in rows if row[column]]
    known = [number for number in numbers if number is not None]
    if numbers and len(known) == len(numbers) and len(set(known)) > MAX_VALUES:
        edges = np.percentile(known, [0, 25, 50, 75, 100])
        placed = {case: number for case, row in found.items() if (number := _number(row[column])) is not None}
        return {case: _quarter(number, edges) for case, number in sorted(placed.items(), key=lambda item: item[1])}
    return {case: row[column] for case, row in sorted(found.items(), key=lambda item: item[1][column]) if row[column]}


def _quarter(number: float, edges: Any) -> str:
    """Such as "24 to 31"; a value on an edge belongs to the quarter below."""
    k = min(3, max(0, int(np.searchsorted(edges, number)) - 1))
    return f"{'over ' if k else ''}{edges[k]:g} to {edges[k + 1]:g}"


def _num_matched(rows: Sequence[Row], column: str, cases: Sequence[Case]) -> int:
    there = {row[column] for row in rows}
    return sum(case.name in there or case.group in there for case in cases)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _clean(cell: object) -> str:
    whole = isinstance(cell, float) and cell.is_integer()
    return "" if cell is None else _JUNK.sub("", str(int(cell) if whole and isinstance(cell, float) else cell)).strip()


def _read_csv(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} cannot be read: {error}; save it as UTF-8.") from None
    head = text.partition("\n")[0]
    return list(csv.reader(text.splitlines(), delimiter=max(",;\t", key=head.count)))


def _read_xlsx(path: Path) -> list[list[object]]:
    try:
        import openpyxl
    except ImportError:
        raise UsageError(f"--groups {path}: reading xlsx needs openpyxl (pip install 'autoseg[tables]'); or save it as csv.") from None
    try:
        # From memory: openpyxl leaves the file open where it fails.
        book = openpyxl.load_workbook(io.BytesIO(path.read_bytes()), read_only=True, data_only=True)
        try:
            return [list(line) for line in book.worksheets[0].iter_rows(values_only=True)]
        finally:
            book.close()
    except Exception as error:  # zip, XML and openpyxl's own errors have no common base
        raise FileFormatError(f"{path} cannot be read as xlsx: {error}") from None
