"""How long `autoseg select` takes a case, and how much memory: three members that say the true masks, softened and moved a little.

autoseg demo make -w W --people 4 --size 2048 && python -m benchmarks.selecting W
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from autoseg.case import Case, Dataset
from autoseg.io.cases import read_case
from autoseg.io.layouts import read_dataset
from autoseg.io.probabilities import write_probabilities
from autoseg.labels import LabelSpace, Mask
from autoseg.metrics.paired import Paired
from autoseg.postprocess import Cleaning
from autoseg.select.calibrating import weigh_case
from autoseg.select.candidates import list_options
from autoseg.select.counting import JudgedCase, Setup, Variant, count_dice, dice_curves, list_components
from autoseg.select.selection import MemberRecord, Selection

MEMBERS = 3


def main() -> None:
    """Plant the members' files, and time each pass over them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--cases", type=int, default=6)
    given = parser.parse_args()
    raw = read_dataset(given.workspace / "raw" / "HandBone")
    with tempfile.TemporaryDirectory() as folder:
        judged = [plant(raw, case, Path(folder)) for case in raw.train[: given.cases]]
        size = np.mean([file.stat().st_size for one in judged for file in one.files])
        print(f"{len(judged)} cases, {len(raw.classes)} classes, {MEMBERS} members, {size / 1e6:.2f} MB of probabilities each")
        options = [option.combination(len(raw.classes)) for option in list_options(MEMBERS)]
        setup, variant = Setup(dataset=raw, exclusive=False), Variant(combination=options[MEMBERS], thresholds=(128,) * len(raw.classes))
        report(f"{len(options)} combinations", partial(count_dice, setup, options), judged)
        report("256 thresholds", partial(dice_curves, setup, options[MEMBERS : MEMBERS + 1]), judged)
        report("components", partial(list_components, setup, [variant]), judged)
        labels = LabelSpace(classes=raw.classes, exclusive=False)
        report("expected Dice", partial(weigh_case, setup, selection_of(labels, variant), labels), judged)
    print(f"largest memory of the process, planting included: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


def selection_of(labels: LabelSpace, variant: Variant) -> Selection:
    """A variant with the largest component of every class."""
    nothing = Paired(n=0, units=0)
    return Selection(
        dataset="HandBone", classes=labels.classes, exclusive=False, unit="pixel", rule="", num_cases=0, num_groups=0, num_folds=0,
        members=tuple(MemberRecord(run=f"p/{m}", folds={"0": ""}, dice=0.0) for m in range(MEMBERS)), ensemble="soft vote",
        combination=variant.combination, thresholds=variant.thresholds, cleanings=(Cleaning(largest=True),) * labels.num_classes,
        tried=(), total=nothing,
    )  # fmt: skip


def report(what: str, task: Callable[[JudgedCase], object], judged: list[JudgedCase]) -> None:
    """Seconds a case."""
    task(judged[0])
    begun = time.perf_counter()
    for one in judged:
        task(one)
    print(f"{what}: {(time.perf_counter() - begun) / len(judged):.2f} s a case")


def plant(raw: Dataset, case: Case, folder: Path) -> JudgedCase:
    """A case with its members' files."""
    labels = read_case(raw, case).labels
    assert labels is not None
    files = []
    for m in range(MEMBERS):
        file = folder / f"{m}" / f"{case.name}.prob"
        write_probabilities(file, [soften(np.roll(labels.mask(k), 2 * m, axis=0)) for k in range(labels.num_classes)])
        files.append(file)
    return JudgedCase(case=case, fold="0", files=tuple(files))


def soften(mask: Mask) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A ramp of some pixels at the border, in bytes."""
    result = np.zeros(mask.shape, np.uint8)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if rows.size:
        box = tuple(slice(max(0, int(ends[0]) - 16), int(ends[-1]) + 17) for ends in (rows, columns))
        result[box] = np.rint(ndimage.gaussian_filter(mask[box].astype(np.float32), 4) * 255)
    return result


if __name__ == "__main__":
    main()
