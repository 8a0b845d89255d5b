"""The calibration of a run's expected Dice: made of its folds' stored probabilities and scores, kept in RUN/confidence.json."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import FileFormatError
from autoseg.evaluate.out_of_fold import OutOfFold, find_out_of_fold
from autoseg.evaluate.rows import TABLE
from autoseg.infer.certainty import Certainty, certainty_of_bytes
from autoseg.infer.confidence import Calibration, Known, calibrate
from autoseg.infer.folds import find_folds
from autoseg.infer.record import checksum
from autoseg.io.json_files import load_json, save_json
from autoseg.io.parallel import Progress, map_cases
from autoseg.io.probabilities import read_probabilities

FILE = "confidence.json"


@dataclass(frozen=True, kw_only=True)
class Made:
    """The content of confidence.json.

    Parameters
    ----------
    made_of : dict of str -> str
        Fold -> SHA-256 of its metrics.csv: with other folds, or folds trained anew, it is made again.
    calibration : Calibration or None
        None if there are too few cases.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    made_of: dict[str, str]
    calibration: Calibration | None


def read_calibration(run: Path) -> Calibration | None:
    """The calibration that lies in a run's folder, if it is of the folds as they are now."""
    made = _read(run)
    return None if made is None else made.calibration


def make_calibration(run: Path, *, workers: int = 1, progress: Progress | None = None) -> Calibration | None:
    """`read_calibration`, made first if need be, and kept; None if the run's folds have left out too few cases.

    Raises
    ------
    UsageError
        If no numbered fold is finished, or none has stored probabilities.
    FileFormatError
        If a file of a fold is damaged.
    """
    if (made := _read(run)) is not None:
        return made.calibration
    known, classes = gather_known(run, workers=workers, progress=progress)
    calibration = None if known is None else calibrate(known, classes)
    save_json(run / FILE, Made(made_of=_stamps(run), calibration=calibration))
    return calibration


def gather_known(run: Path, *, workers: int = 1, progress: Progress | None = None) -> tuple[Known | None, tuple[str, ...]]:
    """The out-of-fold cases of a run whose Dice is known, None if there is none, and the classes. Raises as `make_calibration` does."""
    found = find_out_of_fold(run)
    scores = {fold: _read_dice(folder / TABLE) for fold, folder in _numbered(run).items()}
    cases = [case for case, (fold, _) in found.files.items() if case in scores.get(fold, {})]
    certainties = list(map_cases(partial(_certainty, found), cases, workers=workers, progress=progress))
    if not cases:
        return None, found.labels.classes
    folds = [found.files[case][0] for case in cases]
    rows = [scores[fold][case] for case, fold in zip(cases, folds, strict=True)]
    dice = np.array([[row.get(name, np.nan) for name in found.labels.classes] for row in rows])
    numbers: NDArray[np.int64] = np.unique(folds, return_inverse=True)[1]
    return Known(certainty=Certainty.stack(certainties), dice=dice, folds=numbers), found.labels.classes


def _certainty(found: OutOfFold, case: str) -> Certainty:
    return certainty_of_bytes(read_probabilities(found.files[case][1]), exclusive=found.labels.exclusive)


def _read(run: Path) -> Made | None:
    """What lies there; None if it is missing, damaged, or of other folds."""
    if not (run / FILE).is_file():
        return None
    try:
        made = load_json(run / FILE, Made)
    except FileFormatError:
        return None
    return made if made.made_of == _stamps(run) else None


def _numbered(run: Path) -> Mapping[str, Path]:
    return {fold: folder for fold, folder in find_folds(run).items() if fold != "all"}


def _stamps(run: Path) -> dict[str, str]:
    return {fold: checksum(folder / TABLE) for fold, folder in _numbered(run).items() if (folder / TABLE).is_file()}


def _read_dice(path: Path) -> dict[str, dict[str, float]]:
    """Case -> class -> Dice, NaN where undefined; empty if there is no such table."""
    found: dict[str, dict[str, float]] = {}
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                found.setdefault(row["case"], {})[row["class"]] = float(row["dice"] or "nan")
    return found
