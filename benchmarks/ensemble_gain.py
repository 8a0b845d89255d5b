"""What the mean of a run's folds gains on new images, and how much of it shows without their truth.

    python -m benchmarks.ensemble_gain WORKSPACE results/HandBone/plain/2d-default

WORKSPACE: made by `autoseg demo make`, the run's folds finished. Means over the test images and classes; P: the mean of the folds'
probabilities, m its mask, m_f a fold's.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.case import Case, Dataset
from autoseg.evaluate.calibration import make_calibration
from autoseg.evaluate.truth_folder import read_truth_folder
from autoseg.infer.certainty import certainty_of_bytes
from autoseg.infer.confidence import Calibration
from autoseg.infer.folds import find_folds
from autoseg.io.cases import read_case
from autoseg.io.layouts import read_dataset
from autoseg.predictor import Predictor

Floats = NDArray[np.float64]
ROWS = (
    "Dice of the mean", "mean Dice of the folds", "expected of the mean", "mean of what is expected of the folds",
    "gain by P: Dice(P, m) - mean Dice(P, m_f)", "disagreement: 1 - mean Dice(m_f, m)",
)  # fmt: skip


def main() -> None:
    """Print the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("run", type=Path)
    given = parser.parse_args()
    raw = read_dataset(given.workspace / "raw" / "HandBone")
    labelled = read_truth_folder(given.workspace / "truth" / "HandBone", (), raw)
    folds = [Predictor.load(given.run, (fold,), device="cpu") for fold in find_folds(given.run)]
    calibration = make_calibration(given.run)
    assert calibration is not None
    table = np.stack([measure(labelled, case, folds, calibration) for case in labelled.test])
    for name, value in zip(ROWS, table.mean(axis=(0, 2)), strict=True):
        print(f"{name}: {value:.4f}")


def measure(labelled: Dataset, case: Case, folds: list[Predictor], calibration: Calibration) -> Floats:
    """`ROWS` of a case, (6, K)."""
    loaded = read_case(labelled, case, num_channels=1)
    assert loaded.labels is not None
    there = np.stack([loaded.labels.mask(k) for k in range(loaded.labels.num_classes)])
    said = np.stack([bytes_of(predictor, loaded.image) for predictor in folds])
    mean = np.rint(said.mean(axis=0)).astype(np.uint8)
    mask, masks = mean >= 128, said >= 128
    expected = [calibration.expect(certainty_of_bytes(planes, exclusive=False)).dice for planes in (mean, *said)]
    by_p = [dice(mean / 255, one) for one in (mask, *masks)]
    return np.stack([
        dice(mask, there), np.mean([dice(one, there) for one in masks], axis=0), expected[0], np.mean(expected[1:], axis=0),
        by_p[0] - np.mean(by_p[1:], axis=0), 1 - np.mean([dice(one, mask) for one in masks], axis=0),
    ])  # fmt: skip


def bytes_of(predictor: Predictor, image: NDArray[Any]) -> NDArray[np.uint8]:
    """(K, y, x), 255 p."""
    found = predictor.segment(image, probabilities=True).probabilities
    assert found is not None
    return found


def dice(a: NDArray[Any], b: NDArray[Any]) -> Floats:
    """Of each class, (K,); of probabilities what they expect; 1 where there is neither."""
    whole = np.asarray(a.sum(axis=(1, 2)) + b.sum(axis=(1, 2)), np.float64)
    return np.asarray(np.divide(2 * (a * b).sum(axis=(1, 2)), whole, out=np.ones_like(whole), where=whole > 0))


if __name__ == "__main__":
    main()
