"""Where the files of a case lie and how they are written: all that a process needs that writes them, and no nets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.case import Case
from autoseg.errors import DataError
from autoseg.infer.certainty import Certainty
from autoseg.infer.confidence import Calibration
from autoseg.infer.expected import expected_piece, write_expected
from autoseg.infer.formats import FORMATS, read_segmentation
from autoseg.infer.segmentation import Segmentation
from autoseg.io.writers import remove_prediction
from autoseg.labels import LabelSpace

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A folder of predictions and what stands in it.

    Parameters
    ----------
    out : Path
    labels : LabelSpace
    num_axes : int
    formats : tuple of str
        Names in FORMATS: what is written of a case.
    calibration : Calibration, optional
        Of the expected Dice, which is written beside them where segmentations have `sums`.
    """

    out: Path
    labels: LabelSpace
    num_axes: int
    formats: tuple[str, ...]
    calibration: Calibration | None = None

    def place(self, name: str, case: Case) -> Path:
        """Where a format of a case lies."""
        return FORMATS[name].place(self.out, case, self.labels, self.num_axes)

    def is_written(self, name: str, case: Case) -> bool:
        """True if it is there."""
        return FORMATS[name].is_written(self.place(name, case), case, self.labels, self.num_axes)

    def missing(self, case: Case) -> list[str]:
        """The formats that are not there."""
        return [name for name in self.formats if not self.is_written(name, case)]

    def add(self, case: Case, missing: Sequence[str]) -> bool:
        """Make formats from the masks or the map that are there; False if they do not suffice."""
        bases = [name for name in ("map", "masks") if not FORMATS[name].refusal(self.labels, self.num_axes)]
        if any(FORMATS[name].needs_probabilities for name in missing) or not any(self.is_written(name, case) for name in bases):
            return False
        try:
            self.write(case, read_segmentation(self.out, case, self.labels, self.num_axes), missing)
        except (DataError, OSError) as error:
            log.info("%s is predicted again: %s", case.name, error)
            return False
        return True

    def remove(self, case: Case) -> None:
        """Take all formats of a case away, those that are not asked for as well."""
        for name, kind in FORMATS.items():
            if not kind.refusal(self.labels, self.num_axes):
                remove_prediction(self.place(name, case))
        expected_piece(self.out, case).unlink(missing_ok=True)

    def write(self, case: Case, segmentation: Segmentation, formats: Sequence[str] | None = None) -> None:
        """Write some formats of a case, all of `formats` if none are named, each atomically."""
        for name in self.formats if formats is None else formats:
            FORMATS[name].write(self.place(name, case), case, segmentation)

    def write_anew(self, case: Case, segmentation: Segmentation, *, is_known: bool) -> None:
        """Write a case that was predicted.

        Parameters
        ----------
        case : Case
        segmentation : Segmentation
        is_known : bool
            What stands there is of an equal run: formats that are not asked for now may stay beside the new ones. Those of another model
            or of another image go.
        """
        if not is_known:
            self.remove(case)
        self.write(case, segmentation)
        piece = expected_piece(self.out, case)
        if self.calibration is None or segmentation.sums is None:
            piece.unlink(missing_ok=True)
        else:
            certainty = Certainty.of(segmentation.sums, (mask for _, mask in segmentation.masks()))
            write_expected(piece, case, certainty, self.calibration)


def add_missing(target: Target, lacking: tuple[Case, Sequence[str]]) -> bool:
    """`Target.add`, as a function that another process can import."""
    return target.add(*lacking)
