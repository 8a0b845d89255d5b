"""What a layout reader is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from autoseg.case import Case, Dataset


class Layout(ABC):
    """A way in which raw data sets lie on disk. A new one is a subclass and a row in LAYOUTS (or an entry point, see there)."""

    #: What a folder of this layout holds, in a line; shown where no layout fits.
    needs: str

    @abstractmethod
    def recognises(self, folder: Path) -> bool:
        """True if the folder looks like this layout. Opens no image."""

    @abstractmethod
    def read(self, folder: Path, name: str) -> Dataset:
        """The data set in the folder, called `name`.

        Raises
        ------
        DataError, FileFormatError
            If its description cannot be understood. A single bad image or label is not noticed here.
        """

    def asks_dicom(self, dataset: Dataset) -> bool:
        """True if training cases without a group are put into the one of their DICOM PatientID: as a rule where none has a group."""
        return all(case.group is None for case in dataset.train)

    def problems(self, dataset: Dataset) -> list[str]:
        """What is missing or left over among the files, a sentence each naming its file; images are not opened."""
        return []

    def expected_truth(self, dataset: Dataset, case: Case) -> str:
        """Where the labels of a case would lie, for messages."""
        return ""
