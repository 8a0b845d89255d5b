"""The table of docs/bad-input.md, from the inputs that the tests give: `python -m tests.badinput.table` writes it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.badinput.bad import BadData, BadFiles
from tests.badinput.datasets import DATASETS
from tests.badinput.images import IMAGES
from tests.badinput.labels import LABELS
from tests.badinput.made import NETS, PLANS, PREPARED, WORKSPACES
from tests.badinput.options import OPTIONS
from tests.badinput.outlines import OUTLINES

FILE = Path(__file__).resolve().parents[2] / "docs" / "bad-input.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
#: What `check` says of a data set that is accepted without remark.
ACCEPTED = "No problems."

DATA: dict[str, list[BadData]] = {"Data sets": DATASETS, "Images": IMAGES, "Labels": LABELS, "JSON of outlines": OUTLINES}
MADE: dict[str, list[BadFiles]] = {
    "Plans": PLANS,
    "Folds and prepared cases": PREPARED,
    "Nets": NETS,
    "Workspaces, inputs, outputs": WORKSPACES,
}


def render() -> str:
    """The sections with their tables."""
    lines = [line for title, rows in DATA.items() for line in _section(title, map(_of_data, rows))]
    lines += [line for title, rows in MADE.items() for line in _section(title, map(_of_files, rows))]
    lines += _section("Options", ((f"`autoseg {given}`", said, 2) for given, said in OPTIONS))
    return "\n".join(lines) + "\n"


def count() -> int:
    """How many inputs there are."""
    return sum(len(rows) for rows in DATA.values()) + sum(len(rows) for rows in MADE.values()) + len(OPTIONS)


def _section(title: str, rows: Iterable[tuple[str, str, int]]) -> Iterator[str]:
    yield from (f"## {title}", "", "| given | said | exit code |", "|---|---|---|")
    for given, said, code in rows:
        yield f"| {_cell(given)} | {_cell(said)} | {code} |"
    yield ""


def _of_data(bad: BadData) -> tuple[str, str, int]:
    said = f"... {bad.said}" if bad.file else bad.said
    return bad.what, "accepted" if bad.said == ACCEPTED else f"accepted: {said}" if bad.code == 0 else said, bad.code


def _of_files(bad: BadFiles) -> tuple[str, str, int]:
    return bad.what, f"... {bad.said}" if bad.file else bad.said, 2


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").strip()


def with_table(text: str) -> str:
    """The page with the table as it is now."""
    head, _, rest = text.partition(BEGIN)
    return head + BEGIN + render() + END + rest.partition(END)[2]


if __name__ == "__main__":
    FILE.write_text(with_table(FILE.read_text(encoding="utf-8")), encoding="utf-8")
