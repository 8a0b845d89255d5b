"""Tables of measurements, kept as JSON from which a page of Markdown is written."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch


@dataclass(kw_only=True)
class Table:
    """One part of a page.

    Parameters
    ----------
    says : str
        What is measured.
    about : str
        Where, with what and when.
    head : sequence of str
    rows : list of sequences of str
    notes : list of str
        What went wrong, or was left out.
    """

    says: str
    about: str
    head: Sequence[str] = ()
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Page:
    """A folder with NAME.json and NAME.md.

    Parameters
    ----------
    folder : Path
    name, title : str
    """

    folder: Path
    name: str
    title: str

    @property
    def data(self) -> Path:
        """The tables."""
        return self.folder / f"{self.name}.json"

    @property
    def text(self) -> Path:
        """The same to read."""
        return self.folder / f"{self.name}.md"

    def tables(self) -> dict[str, Table]:
        """All that was measured so far, by part."""
        if not self.data.is_file():
            return {}
        return {name: Table(**given) for name, given in json.loads(self.data.read_text(encoding="utf-8")).items()}

    def put(self, part: str, table: Table) -> None:
        """Write a part's table in place of its earlier one; the others stay."""
        tables = self.tables() | {part: table}
        self.folder.mkdir(parents=True, exist_ok=True)
        _replace(self.data, json.dumps({name: asdict(given) for name, given in tables.items()}, indent=1) + "\n")
        _replace(self.text, render(self.title, tables))


def render(title: str, tables: dict[str, Table]) -> str:
    """The page."""
    parts = [f"# {title}\n"]
    for name, table in tables.items():
        body = [f"## {name}\n", f"{table.says}\n", f"{table.about}\n"]
        body += [markdown(table.head, table.rows)] if table.rows else []
        parts += [*body, *(f"{note}\n" for note in table.notes)]
    return "\n".join(parts)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a cell's own bars and line ends would end it."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in line)} |\n" for line in lines)


def _replace(file: Path, text: str) -> None:
    """Write a file as a whole: a run that is stopped leaves the old one or the new one."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


def provenance(hardware: str) -> str:
    """Where, with what and when."""
    return f"{hardware}, torch {torch.__version__}, commit {commit()}, {time.strftime('%Y-%m-%d')}."


def commit() -> str:
    """The tree's commit; "unknown" where git or its folder is missing."""
    place = Path(__file__).parent
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True, cwd=place)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
