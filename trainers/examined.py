"""Scores of validation cases, kept as soon as a case is written: a validation that is broken off goes on with the others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from autoseg.case import Case
from autoseg.errors import FileFormatError
from autoseg.evaluate import CaseScores
from autoseg.fingerprint.measure_case import files_of, identity_of_files
from autoseg.geometry import Unit
from autoseg.infer.record import checksum
from autoseg.io.json_files import load_json, save_json
from autoseg.io.names import escape_name
from autoseg.metrics.overlap import Counts
from autoseg.trainers.run import EXAMINED, RunFolder


@dataclass(frozen=True, kw_only=True)
class Record:
    """A case that is predicted, written and scored; validation/.examined/CASE.json.

    Parameters
    ----------
    net : str
        SHA-256 of the checkpoint that predicted it.
    truth : str
        Identity of the case's raw files.
    size : int
        Bytes of its probabilities.
    unit, group
        As in `CaseScores`.
    counts : dict of str -> list of int
        hit, extra, missed, by class.
    scores : dict of str -> list of float
        None where undefined.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    net: str
    truth: str
    size: int
    unit: Unit
    group: str | None
    counts: dict[str, list[int]]
    scores: dict[str, list[float | None]]

    def of_case(self, name: str) -> CaseScores:
        """As they were measured, bit for bit."""
        counts = Counts(**{what: np.array(numbers, np.int64) for what, numbers in self.counts.items()})
        # None becomes NaN.
        scores = {what: np.array(values, np.float64) for what, values in self.scores.items()}
        return CaseScores(case=name, counts=counts, scores=scores, group=self.group, unit=self.unit)


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What a fold's net has been examined on so far.

    Parameters
    ----------
    folder : Path
    net : str
        As in `Record`: of another net's records nothing is taken.
    """

    folder: Path
    net: str

    @classmethod
    def of(cls, run: RunFolder) -> Examined:
        """Of a fold whose last checkpoint is written."""
        return cls(folder=run.validation / EXAMINED, net=checksum(run.last))

    def get(self, case: Case, root: Path) -> tuple[CaseScores, int] | None:
        """A case's scores and the size of its probabilities, if this net was examined on it and its raw files are as they were."""
        file = self._file(case)
        if not file.is_file():
            return None
        try:
            record = load_json(file, Record)
        except FileFormatError:
            return None
        is_same = (record.net, record.truth) == (self.net, _truth(case, root))
        return (record.of_case(case.name), record.size) if is_same else None

    def add(self, case: Case, root: Path, scores: CaseScores, size: int) -> None:
        """Keep a case's scores; only when all its files are written."""
        record = Record(
            net=self.net,
            truth=_truth(case, root),
            size=size,
            unit=scores.unit,
            group=scores.group,
            counts={what: getattr(scores.counts, what).tolist() for what in ("hit", "extra", "missed")},
            scores={what: [None if math.isnan(v) else v for v in row.tolist()] for what, row in scores.scores.items()},
        )
        save_json(self._file(case), record)

    def clear(self) -> None:
        """Forget all: the summary is written."""
        for file in self.folder.glob("*"):
            file.unlink(missing_ok=True)
        if self.folder.is_dir():
            self.folder.rmdir()

    def _file(self, case: Case) -> Path:
        return self.folder / f"{escape_name(case.name)}.json"


def _truth(case: Case, root: Path) -> str:
    return identity_of_files(files_of(case), root)
