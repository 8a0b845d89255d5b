"""metrics.csv: a row per case and class."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from autoseg.evaluate.scores import CaseScores
from autoseg.io.atomic import write_text
from autoseg.metrics.measure import MEASURES

TABLE = "metrics.csv"
COLUMNS = ("case", "class", "fold", "group", "unit", *MEASURES)


def write_rows(path: Path, scores: Sequence[CaseScores], classes: Sequence[str]) -> None:
    """Write metrics.csv atomically; a score that is undefined is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for score in scores:
        for k, name in enumerate(classes):
            values = (float(score.scores[metric][k]) for metric in MEASURES)
            head = (score.case, name, score.fold, score.group or "", score.unit)
            writer.writerow([*head, *("" if math.isnan(value) else f"{value:.9g}" for value in values)])
    write_text(path, text.getvalue())
