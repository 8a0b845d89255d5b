"""selection.json: what was tried, what it gained, what is on, and of which nets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from autoseg.ensemble import HALF, Combination
from autoseg.errors import FileFormatError, UsageError
from autoseg.infer.confidence import Calibration
from autoseg.infer.folds import Choice, find_folds
from autoseg.infer.load import Origin
from autoseg.infer.record import checksum
from autoseg.io.json_files import load_json, save_json
from autoseg.metrics.paired import Paired
from autoseg.postprocess import Cleaning
from autoseg.workspace import CHECKPOINT

VERSION = 1
AGAIN = "Choose again (autoseg select), or predict without it (--no-selection)."

Step = Literal["ensemble", "threshold", "post-processing"]


@dataclass(frozen=True, kw_only=True)
class MemberRecord:
    """A member as it was judged.

    Parameters
    ----------
    run : str
        PLAN/CONFIG-TRAINER in results/NAME.
    folds : dict of str -> str
        Fold -> SHA-256 of its checkpoint.
    dice : float
        Mean over the classes, of its out-of-fold cases, with nothing chosen.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    run: str
    folds: dict[str, str]
    dice: float

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.run).parts
        if len(parts) != 2 or ".." in parts or self.run.startswith("/"):
            raise ValueError(f"run must be PLAN/CONFIG-TRAINER, got {self.run!r}")
        if not self.folds:
            raise ValueError(f"folds of {self.run} must name at least one")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A candidate, and what it gained on the cases that did not choose it.

    Parameters
    ----------
    step : {"ensemble", "threshold", "post-processing"}
    candidate, against : str
        Such as "soft vote" against "best member".
    class_name : str
        Empty if it concerns all classes.
    choice : str
        What all cases together choose, in words.
    gain : Paired
        Differences of Dice; an empty mask of a class that is not there counts as 1.
    is_on : bool
    why_not : str
        Empty if it is on.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    step: Step
    candidate: str
    against: str
    class_name: str = ""
    choice: str = ""
    gain: Paired
    is_on: bool
    why_not: str = ""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What selection.json holds.

    Parameters
    ----------
    version : int
    dataset : str
    classes : tuple of str
        In the order of the weights, thresholds and cleanings.
    exclusive : bool
    unit : str
        Of the smallest sizes: mm2, mm3 or pixels.
    rule : str
        When a candidate is switched on, in words.
    num_cases, num_groups, num_folds : int
    members : tuple of MemberRecord
        All that were judged; those whose weights are all 0 are not used.
    ensemble : str
        "best member", "soft vote", "hard vote" or "class-wise".
    combination : Combination
    thresholds : tuple of int
        Of each class: a pixel belongs to it from this byte (255 p) on; 128 is p = 0.5. Empty for exclusive classes: the most probable one.
    cleanings : tuple of Cleaning
        Post-processing of each class.
    tried : tuple of Trial
    total : Paired
        Everything that is on against the best member alone, on the cases that chose neither: their means over classes.
    total_of_class : dict class -> Paired
    left_out : dict of str -> str
        Runs and cases that were not looked at, and why.
    calibration : Calibration or None
        Of the Dice to expect of what is predicted so; None if there are too few cases, or one run predicts as it would without a selection.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    version: int = VERSION
    dataset: str
    classes: tuple[str, ...]
    exclusive: bool
    unit: str
    rule: str
    num_cases: int
    num_groups: int
    num_folds: int
    members: tuple[MemberRecord, ...]
    ensemble: str
    combination: Combination
    thresholds: tuple[int, ...]
    cleanings: tuple[Cleaning, ...]
    tried: tuple[Trial, ...]
    total: Paired
    total_of_class: dict[str, Paired] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        num = len(self.classes)
        if len(self.combination.weights) != num or len(self.cleanings) != num:
            raise ValueError(f"combination.weights and cleanings must have a row for each of the {num} classes")
        if any(len(row) != len(self.members) for row in self.combination.weights):
            raise ValueError(f"combination.weights must have a number for each of the {len(self.members)} members")
        if len(self.thresholds) != (0 if self.exclusive else num) or any(not 1 <= t <= 255 for t in self.thresholds):
            raise ValueError("thresholds must be one number from 1 to 255 for each class, or none if classes are exclusive")
        if self.calibration is not None and self.calibration.classes != self.classes:
            raise ValueError("calibration must be of the same classes")

    @property
    def used(self) -> tuple[MemberRecord, ...]:
        """The members that predict."""
        return tuple(self.members[m] for m in self.combination.used)

    @property
    def changes_masks(self) -> bool:
        """False if the one member that is used predicts as it would without a selection."""
        return len(self.used) > 1 or any(self.cleanings) or any(t != HALF for t in self.thresholds)

    def checksum(self) -> str:
        """Of what decides predictions, the members' nets apart."""
        decided = (self.ensemble, self.combination, self.thresholds, self.cleanings, [member.run for member in self.used])
        return hashlib.sha256(repr(decided).encode()).hexdigest()[:16]

    def summary(self) -> str:
        """What is on, in a line: "soft vote of 3 members, thresholds of 2 classes"."""
        parts = [self.used[0].run if len(self.used) == 1 else f"{self.ensemble} of {len(self.used)} members"]
        counts = {"thresholds": sum(t != HALF for t in self.thresholds), "post-processing": sum(map(bool, self.cleanings))}
        parts += [f"{what} of {num} {'class' if num == 1 else 'classes'}" for what, num in counts.items() if num]
        return ", ".join(parts)


def save_selection(path: Path, selection: Selection) -> None:
    """Write selection.json atomically."""
    save_json(path, selection)


def load_selection(path: Path) -> Selection:
    """Read selection.json; FileFormatError names the file and what to do."""
    selection = load_json(path, Selection, hint=AGAIN)
    if selection.version > VERSION:
        raise FileFormatError(f"{path} is of version {selection.version}, newer than this autoseg (version {VERSION}); update autoseg.")
    return selection


@dataclass(frozen=True, kw_only=True)
class Selected:
    """A selection and where its members lie.

    Parameters
    ----------
    results : Path
        results/NAME.
    selection : Selection
    """

    results: Path
    selection: Selection

    def choices(self) -> tuple[Choice, ...]:
        """The folds of each member that is used.

        Raises
        ------
        UsageError
            If one is missing or is not the file that was judged: weights and thresholds say nothing of another net.
        """
        return tuple(self._choice(member) for member in self.selection.used)

    def origin(self) -> Origin:
        """Of all members together, for the record of predictions."""
        used = self.selection.used
        folds = {fold if len(used) == 1 else f"{member.run}/fold{fold}": value for member in used for fold, value in member.folds.items()}
        return Origin(run=" + ".join(member.run for member in used), folds=folds, note=self.selection.summary())

    def _choice(self, member: MemberRecord) -> Choice:
        run = self.results / member.run
        found = find_folds(run)
        for fold, value in member.folds.items():
            if fold not in found:
                raise UsageError(f"selection.json uses fold {fold} of {run}, which is not there any more. {AGAIN}")
            if checksum(found[fold] / CHECKPOINT) != value:
                raise UsageError(f"{found[fold] / CHECKPOINT} has changed since selection.json was made with another net. {AGAIN}")
        return Choice(run=run, folds={fold: found[fold] / CHECKPOINT for fold in member.folds}, total=len(member.folds))
