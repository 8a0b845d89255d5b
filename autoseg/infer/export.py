"""A segmentation as files: a mask per class or an integer map, stored probabilities."""

from __future__ import annotations

from pathlib import Path

from autoseg.case import Case
from autoseg.infer.segmentation import Segmentation
from autoseg.io.names import escape_name
from autoseg.io.probabilities import SUFFIX, write_probabilities
from autoseg.io.writers import output_suffix, prediction_output_name, write_map, write_masks


def write_segmentation(folder: Path, case: Case, segmentation: Segmentation) -> Path:
    """Write FOLDER/CASE/CLASS.png (overlapping classes) or FOLDER/CASE.png or .nii.gz (exclusive ones) on the input's grid.

    Atomic: what stands under the final name is whole. Returns the folder or file.
    """
    geometry, exclusive = segmentation.geometry, segmentation.labels.exclusive
    if exclusive:
        path = folder / prediction_output_name(case, geometry.num_axes, exclusive=True)
        write_map(path, segmentation.map(), geometry, like=case.images[0])
        return path
    suffix = output_suffix(case, geometry.num_axes, exclusive=False)
    return write_masks(folder, case.name, segmentation.masks(), geometry, like=case.images[0], suffix=suffix)


def write_case_probabilities(folder: Path, case: Case, segmentation: Segmentation) -> int:
    """Write FOLDER/CASE.prob and return its size in bytes; the segmentation must hold probabilities."""
    if segmentation.probabilities is None:
        raise ValueError(f"the segmentation of {case.name} was made without probabilities")
    return write_probabilities(folder / f"{escape_name(case.name)}{SUFFIX}", segmentation.probabilities)
