"""A planned, trained and predicted data set in files, with names that a page must not take for its own."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg.ensemble import Combination
from autoseg.evaluate.label_check import Finding
from autoseg.evaluate.label_files import LabelCheck
from autoseg.fingerprint import measure
from autoseg.io.json_files import save_json
from autoseg.io.layouts import read_dataset
from autoseg.io.names import escape_name
from autoseg.labels import LabelSpace
from autoseg.metrics.paired import Paired
from autoseg.postprocess import Cleaning
from autoseg.select.selection import MemberRecord, Selection, Trial
from autoseg.workspace import Workspace
from tests.io.make import write_json, write_picture
from tests.small import plan

EVIL_CASE = "<img src=x onerror=alert(1)>"
EVIL_CLASS = "</script><script>alert(2)</script>\u2028"
CLASSES = ("a & b", EVIL_CLASS)
CASES = (EVIL_CASE, "case1", "case2")
SIZE = 32
Mask = NDArray[np.bool_]
GAIN = Paired(
    n=3, units=3, mean_a=0.5, mean_b=0.75, difference=0.25, median=0.25, low=0.125, high=0.375, p=0.01, effect=1.0, better=3, worse=0
)  # fmt: skip


def truth() -> tuple[Mask, Mask]:
    """Two squares that overlap: 4..15 and 12..23 along both axes."""
    masks = np.zeros((2, SIZE, SIZE), np.bool_)
    masks[0, 4:16, 4:16] = masks[1, 12:24, 12:24] = True
    return masks[0], masks[1]


def predicted() -> tuple[Mask, Mask]:
    """The first square four pixels too far right, the second as it is."""
    first, second = truth()
    return np.roll(first, 4, axis=1), second


def make_raw(root: Path) -> Path:
    """Three labelled cases and an image to predict, which is named like a labelled one."""
    rng = np.random.default_rng(0)
    for case in CASES:
        write_picture(root / "imagesTr" / f"{case}.png", rng.integers(60, 90, (SIZE, SIZE)).astype(np.uint8))
        write_masks(root / "labelsTr" / case, truth())
    write_picture(root / "imagesTs/case1.png", rng.integers(60, 90, (SIZE, SIZE)).astype(np.uint8))
    return root


def write_masks(folder: Path, masks: tuple[Mask, Mask]) -> None:
    for name, mask in zip(CLASSES, masks, strict=True):
        write_picture(folder / f"{escape_name(name)}.png", mask.astype(np.uint8) * 255)


def scores(dice: float) -> dict[str, dict[str, float | None]]:
    return {CLASSES[0]: {"dice": dice, "nsd": dice / 2}, CLASSES[1]: {"dice": 1.0, "nsd": None}}


def make_run(place: Workspace, name: str = "Evil") -> Path:
    """Two finished folds; case1 is the worst. Fold 1 has no rows of metrics."""
    run = place.run_folder(name, "default", "2d", "default")
    for fold, cases in (("0", {EVIL_CASE: 0.7, "case1": 0.2}), ("1", {"case2": 0.9})):
        folder = run / f"fold{fold}"
        means = {"dice": 0.5}
        per_case = {case: scores(dice) for case, dice in cases.items()}
        write_json(folder / "summary.json", {"mean": means, "classes": dict.fromkeys(CLASSES, means), "cases": per_case})
        for case in cases:
            write_masks(folder / "validation" / escape_name(case), predicted())
    rows = [{"epoch": k, "iteration": 10 * k, "loss": 1 / k, "lr": 0.1**k, "val_dice": k / 10, "step_s": 0.5} for k in range(1, 6)]
    lines = [json.dumps(row) for row in rows]
    (run / "fold0/metrics.jsonl").write_text("\n".join([*lines, '{"epoch": 6, "iter']), encoding="utf-8")
    return run


def make_predictions(place: Workspace, name: str = "Evil") -> Path:
    """One unlabelled case with its expected Dice."""
    folder = place.predictions(name) / "ensemble"
    write_masks(folder / "case1", predicted())
    write_json(folder / "predict.json", {})
    quoted = EVIL_CLASS.replace('"', '""')
    rows = ["case,class,expected_dice,low,high", f"case1,{CLASSES[0]},0.4,0.3,0.5", f'case1,"{quoted}",0.8,0.7,0.9']
    (folder / "confidence.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def make_workspace(root: Path) -> Workspace:
    """Everything that a report can show."""
    place = Workspace(root=root)
    dataset = read_dataset(make_raw(place.raw / "Evil"))
    save_json(place.fingerprint_file("Evil"), measure(dataset))
    write_json(place.splits_file("Evil"), {"reasons": {"groups": "each case by itself", "missing": "<b>nothing</b>"}})
    save_json(place.plan_file("Evil", "default"), plan(LabelSpace(classes=CLASSES, exclusive=False), dataset="Evil"))
    run = make_run(place)
    make_predictions(place)
    trial = Trial(step="threshold", candidate="0.6", against="0.5", class_name=EVIL_CLASS, gain=GAIN, is_on=False, why_not="p > 0.05")
    selection = Selection(
        dataset="Evil", classes=CLASSES, exclusive=False, unit="pixel", rule="by <i>gain</i>", num_cases=3, num_groups=3, num_folds=2,
        members=(MemberRecord(run="default/2d-default", folds={"0": "x"}, dice=0.5),), ensemble="best member",
        combination=Combination(kind="soft", weights=((1.0,), (1.0,))), thresholds=(128, 128), cleanings=(Cleaning(), Cleaning()),
        tried=(trial,), total=GAIN,
    )  # fmt: skip
    save_json(place.selection_file("Evil"), selection)
    finding = Finding(case=EVIL_CASE, fold="0", classes=(EVIL_CLASS,), strength=0.3, dice=0.2, expected=0.9, reason="<u>moved</u>")
    save_json(run / "label_check.json", LabelCheck(run="default/2d-default", cases=3, not_looked_at=(), findings=(finding,)))
    return place
