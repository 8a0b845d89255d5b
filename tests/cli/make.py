"""Volumes on an oblique, anisotropic grid."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

#: A turn of 20 degrees about x, then of 10 about z; columns are the axes' directions.
TURN_X = np.array([[1, 0, 0], [0, np.cos(0.35), -np.sin(0.35)], [0, np.sin(0.35), np.cos(0.35)]])
TURN_Z = np.array([[np.cos(0.17), -np.sin(0.17), 0], [np.sin(0.17), np.cos(0.17), 0], [0, 0, 1]])
SPACING = (0.7, 0.7, 5.0)


def write_oblique(path: Path, array: np.ndarray, *, flipped: bool) -> sitk.Image:
    """An array (z, y, x) as a file of the oblique grid; flipped: its x axis runs the other way."""
    image = sitk.GetImageFromArray(array)
    direction = TURN_X @ TURN_Z
    image.SetDirection((direction * ([-1, 1, 1] if flipped else [1, 1, 1])).ravel().tolist())
    image.SetSpacing(SPACING)
    image.SetOrigin((12.5, -7.25, 100.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return image
