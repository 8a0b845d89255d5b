"""How large the report is and how long it takes: phantom hands of any size, predictions that are their labels moved aside.

    python -m benchmarks.report DIR [--size 2048] [--cases 100]

DIR becomes a workspace; its results/HandBone/report.html can be looked at. A second run finds the pictures kept.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from autoseg.case import Case, Dataset
from autoseg.cli.report import MOST_PICTURES
from autoseg.demo import write_phantom
from autoseg.io.cases import read_case
from autoseg.io.layouts import read_dataset
from autoseg.io.names import escape_name
from autoseg.report import Written, write_report
from autoseg.workspace import Workspace

NAME = "HandBone"
#: Masks are moved by up to this share of the image.
MOVED = 0.015


def main() -> None:
    """Print a line for the first report and one for the second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--cases", type=int, default=100)
    given = parser.parse_args()
    place = prepare(given.folder, given.size, given.cases)
    for which in ("first", "second"):
        begun = time.perf_counter()
        written = write(place)
        took = time.perf_counter() - begun
        print(f"{which}: {written.num_bytes / 1e6:.1f} MB, {written.num_pictures} cases of {given.size} x {given.size}, {took:.1f} s")


def write(place: Workspace) -> Written:
    """The report, in one process."""
    return write_report(place, NAME, place.raw / NAME, place.report_file(NAME), pictures=MOST_PICTURES)


def prepare(folder: Path, size: int, num: int) -> Workspace:
    """A workspace with a run that has predicted `num` cases."""
    place = Workspace(root=folder)
    write_phantom(folder, people=-(-num // 2), size=size, workers=1)
    dataset = read_dataset(place.raw / NAME)
    rng = np.random.default_rng(0)
    fold = place.fold_folder(NAME, "default", "2d", "default", "0")
    cases = {case.name: _predict(dataset, case, fold / "validation", rng) for case in dataset.train[:num]}
    (fold / "summary.json").write_text(json.dumps({"mean": {}, "classes": {}, "cases": cases}), encoding="utf-8")
    return place


def _predict(dataset: Dataset, case: Case, out: Path, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Write a case's masks; Dice per class."""
    from PIL import Image

    labels = read_case(dataset, case).labels
    assert labels is not None, "the phantom's training cases are labelled"
    folder = out / escape_name(case.name)
    folder.mkdir(parents=True, exist_ok=True)
    scores = {}
    for k, name in enumerate(dataset.classes):
        mask = labels.mask(k)
        reach = max(1, round(MOVED * mask.shape[1]))
        moved = np.roll(mask, int(rng.integers(-reach, reach + 1)), axis=1)
        with Image.fromarray(moved.astype(np.uint8) * 255) as picture:
            picture.save(folder / f"{escape_name(name)}.png", compress_level=1)
        scores[name] = {"dice": float(2 * (mask & moved).sum() / max(1, mask.sum() + moved.sum()))}
    return scores


if __name__ == "__main__":
    main()
