"""A segmentation as files: a mask per class or an integer map, stored probabilities, rows of a submission."""

from __future__ import annotations

import shutil
from pathlib import Path

from autoseg.case import Case
from autoseg.infer.case import Segmentation
from autoseg.io.images import decode_file
from autoseg.io.names import escape_name
from autoseg.io.probabilities import SUFFIX, write_probabilities
from autoseg.io.submission import SubmissionRow, submission_rows
from autoseg.io.writers import output_suffix, prediction_output_name, write_map, write_masks
from autoseg.labels import LabelSpace


def write_segmentation(folder: Path, case: Case, segmentation: Segmentation) -> Path:
    """Write FOLDER/CASE/CLASS.png (overlapping classes) or FOLDER/CASE.png or .nii.gz (exclusive ones) on the input's grid.

    Atomic: what stands under the final name is whole. Returns the folder or file.
    """
    geometry, exclusive = segmentation.geometry, segmentation.labels.exclusive
    if exclusive:
        path = folder / prediction_output_name(case, geometry.num_axes, exclusive=True)
        write_map(path, segmentation.array, geometry, like=case.images[0])
        return path
    suffix = output_suffix(case, geometry.num_axes, exclusive=False)
    return write_masks(folder, case.name, segmentation.masks(), geometry, like=case.images[0], suffix=suffix)


def write_case_probabilities(folder: Path, case: Case, segmentation: Segmentation) -> int:
    """Write FOLDER/CASE.prob and return its size in bytes; the segmentation must hold probabilities."""
    if segmentation.probabilities is None:
        raise ValueError(f"the segmentation of {case.name} was made without probabilities")
    return write_probabilities(folder / f"{escape_name(case.name)}{SUFFIX}", segmentation.probabilities)


def remove_segmentation(folder: Path, case: Case, labels: LabelSpace, num_axes: int) -> None:
    """Remove what `write_segmentation` wrote of the case, if anything."""
    path = folder / prediction_output_name(case, num_axes, exclusive=labels.exclusive)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_written(folder: Path, case: Case, labels: LabelSpace, num_axes: int) -> bool:
    """True if `write_segmentation`'s output of the case is there, every class of it."""
    path = folder / prediction_output_name(case, num_axes, exclusive=labels.exclusive)
    return path.is_file() if labels.exclusive else all(file.is_file() for file in _mask_files(path, case, labels, num_axes))


def segmentation_rows(case: Case, segmentation: Segmentation) -> list[SubmissionRow]:
    """The case's rows of a submission."""
    return submission_rows(case.images[0], segmentation.masks())


def written_rows(folder: Path, case: Case, labels: LabelSpace) -> list[SubmissionRow]:
    """The same rows from the masks that an earlier run wrote; 2D, overlapping classes."""
    files = _mask_files(folder / prediction_output_name(case, 2, exclusive=False), case, labels, 2)
    masks = ((name, decode_file(file).array[0] > 0) for name, file in zip(labels.classes, files, strict=True))
    return submission_rows(case.images[0], masks)


def _mask_files(folder: Path, case: Case, labels: LabelSpace, num_axes: int) -> list[Path]:
    suffix = output_suffix(case, num_axes, exclusive=False)
    return [folder / f"{escape_name(name)}{suffix}" for name in labels.classes]
