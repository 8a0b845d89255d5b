"""confidence.csv beside predictions: what Dice is to be expected of each case and class.

Each case has a piece in OUT/.pieces, as the other files of all images have, so that parts of a run (--part) never write the same file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from autoseg.case import Case
from autoseg.infer.certainty import Certainty
from autoseg.infer.confidence import Calibration
from autoseg.infer.formats import PIECES
from autoseg.io.atomic import write_text
from autoseg.io.names import escape_name

TABLE = "confidence.csv"
COLUMNS = ("case", "class", "expected_dice", "low", "high")


def expected_piece(out: Path, case: Case) -> Path:
    """Where the rows of a case lie."""
    return out / PIECES / f"{escape_name(case.name)}.{TABLE}"


def write_expected(path: Path, case: Case, certainty: Certainty, calibration: Calibration) -> None:
    """Write a case's rows, without their header, atomically: a class each, Dice and its 90 % interval in [0, 1]."""
    expected = calibration.expect(certainty)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for name, *values in zip(calibration.classes, expected.dice, expected.low, expected.high, strict=True):
        writer.writerow([case.name, name, *(f"{value:.4f}" for value in values)])
    write_text(path, text.getvalue())


def join_expected(out: Path, cases: Sequence[Case]) -> None:
    """Write OUT/confidence.csv from the pieces that are there, or remove it if there is none.

    Again if another part of the run added its own meanwhile: the last one has them all.
    """
    ordered = sorted(cases, key=lambda case: case.name)
    joined: list[Path] | None = None
    while (pieces := [path for case in ordered if (path := expected_piece(out, case)).is_file()]) != joined:
        joined = pieces
        if not pieces:
            (out / TABLE).unlink(missing_ok=True)
            continue
        rows = "".join(path.read_text(encoding="utf-8") for path in pieces)
        write_text(out / TABLE, ",".join(COLUMNS) + "\n" + rows)


def read_expected(path: Path) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Case -> class -> expected Dice, low, high."""
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            dice, low, high = (float(row[column]) for column in COLUMNS[2:])
            found.setdefault(row["case"], {})[row["class"]] = (dice, low, high)
    return found
