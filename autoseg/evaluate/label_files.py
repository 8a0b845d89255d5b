"""The ranking of doubtful labels as files: label_check.json and label_check.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.case import Case
from autoseg.evaluate.label_check import Finding
from autoseg.io.atomic import write_text
from autoseg.io.json_files import save_json

JSON, TABLE = "label_check.json", "label_check.csv"
COLUMNS = ("rank", "case", "classes", "strength", "dice", "expected", "fold", "reason", "files")


@dataclass(frozen=True, kw_only=True)
class LabelCheck:
    """The content of label_check.json.

    Parameters
    ----------
    run : str
        PLAN/CONFIG-TRAINER, whose folds predicted the cases.
    cases : int
        How many were looked at.
    not_looked_at : tuple of str
        Training cases without an out-of-fold prediction.
    findings : tuple of Finding
        The strongest first.
    weak_classes : dict of str -> float
        Classes whose median out-of-fold Dice is too low to judge their labels by, the lowest first (`label_check.weak_classes`).
    """

    run: str
    cases: int
    not_looked_at: tuple[str, ...]
    findings: tuple[Finding, ...]
    weak_classes: dict[str, float] = field(default_factory=dict)


def write_label_check(folder: Path, check: LabelCheck, cases: Sequence[Case]) -> tuple[Path, Path]:
    """Write both files atomically into a folder; the table names the files of the labels, too."""
    save_json(folder / JSON, check)
    by_name = {case.name: case for case in cases}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rank, found in enumerate(check.findings, start=1):
        numbers = (f"{value:.4f}" for value in (found.strength, found.dice, found.expected))
        files = "; ".join(str(path) for path in label_files(by_name[found.case], found.classes))
        writer.writerow([rank, found.case, "; ".join(found.classes), *numbers, found.fold, found.reason, files])
    write_text(folder / TABLE, text.getvalue())
    return folder / JSON, folder / TABLE


def label_files(case: Case, classes: Sequence[str]) -> list[Path]:
    """Where to mend the labels of some classes of a case: their masks, or the file that holds all of them."""
    if case.truth is None:
        return []
    if not case.truth.classes:
        return list(case.truth.files)
    return [path for name, path in zip(case.truth.classes, case.truth.files, strict=True) if name in classes]
