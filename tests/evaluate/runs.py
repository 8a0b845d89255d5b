"""Runs whose stored probabilities are known."""

import csv
from pathlib import Path

import numpy as np

from autoseg.io.probabilities import write_probabilities
from autoseg.labels import LabelSpace
from tests.infer.plans import plant_run, tiny_plan
from tests.io.make import make_masks, square

CLASSES = ("a", "b")


def stored_run(root: Path, *, folds: int = 2, cases: int = 4, value: float = 0.9) -> Path:
    """raw/Two, whose labels a run of two folds has predicted as they are; Dice in metrics.csv falls from case to case."""
    make_masks(root / "raw/Two", cases=cases)
    run = plant_run(root / "results/Two", tiny_plan(LabelSpace(classes=CLASSES, exclusive=False)), *map(str, range(folds)))
    for fold in range(folds):
        own = [case for case in range(cases) if case % folds == fold]
        for case in own:
            masks = np.stack([square() > 0] * 2)
            write_probabilities(run / f"fold{fold}/validation/probabilities/case{case}.prob", value * masks)
        with (run / f"fold{fold}/metrics.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["case", "class", "dice"])
            writer.writerows([f"case{case}", name, 0.9 - 0.01 * case] for case in own for name in CLASSES)
    return run
