"""Runs with untrained nets, and selections of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from autoseg.ensemble import Combination
from autoseg.infer.folds import find_folds
from autoseg.infer.record import checksum
from autoseg.labels import LabelSpace
from autoseg.metrics.paired import Paired
from autoseg.postprocess import Cleaning
from autoseg.select.selection import MemberRecord, Selection
from tests.infer.plans import plant_run, tiny_plan

NOTHING = Paired(n=0, units=0)


def selection_of(results: Path, labels: LabelSpace, *runs: str, kind: str = "soft", **changes: Any) -> Selection:
    """Equal weights, nothing else on."""
    records = []
    for run in runs:
        found = find_folds(results / run).items()
        folds = {fold: checksum(folder / "checkpoint_last.safetensors") for fold, folder in found} or {"0": "none"}
        records.append(MemberRecord(run=run, folds=folds, dice=0.5))
    num = labels.num_classes
    plain = Selection(
        dataset="Tiny", classes=labels.classes, exclusive=labels.exclusive, unit="pixel", rule="", num_cases=1, num_groups=1, num_folds=2,
        members=tuple(records), ensemble=f"{kind} vote",
        combination=Combination(kind="hard" if kind == "hard" else "soft", weights=((1 / len(runs),) * len(runs),) * num),
        thresholds=() if labels.exclusive else (128,) * num, cleanings=(Cleaning(),) * num, tried=(), total=NOTHING,
    )  # fmt: skip
    return replace(plain, **changes)


def plant_two(results: Path, labels: LabelSpace) -> Path:
    """default/2d-default with folds 0 and 1, other/2d-default with fold 2, in another spacing."""
    plant_run(results, tiny_plan(labels), "0", "1")
    plant_run(results / "tmp", replace(tiny_plan(labels, spacing=(2.0, 2.0)), name="other"), "2")
    (results / "tmp/default").rename(results / "other")
    (results / "tmp").rmdir()
    return results
