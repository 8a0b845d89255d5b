"""The members of a selection, loaded: they prepare a case each in their own way, and predict it together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from autoseg.case import LoadedCase
from autoseg.ensemble import HALF, Bytes
from autoseg.errors import UsageError
from autoseg.infer.cascade import prepare_stages, segment_stages
from autoseg.infer.decide import Kept
from autoseg.infer.load import Loaded
from autoseg.infer.segmentation import Segmentation
from autoseg.preprocess.prepared import Prepared
from autoseg.select.apply import clean, decide
from autoseg.select.selection import AGAIN, Selection

Stages = tuple[Prepared, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Team:
    """What predicts.

    Parameters
    ----------
    selection : Selection
    members : tuple of Loaded
        Of `selection.used`, in their order.
    """

    selection: Selection
    members: tuple[Loaded, ...]

    def __post_init__(self) -> None:
        if len(self.members) != len(self.selection.used):
            raise ValueError(f"{len(self.selection.used)} members are used, {len(self.members)} were loaded")
        for loaded, record in zip(self.members, self.selection.used, strict=True):
            labels = loaded.plan.labels
            if (labels.classes, labels.exclusive) != (self.selection.classes, self.selection.exclusive):
                raise UsageError(f"{record.run} has other classes than selection.json. {AGAIN}")

    @property
    def weighs(self) -> bool:
        """Segmentations come with their `sums`: the Dice to expect of them is calibrated."""
        return self.selection.calibration is not None

    def prepare(self, loaded: LoadedCase) -> tuple[Stages, ...]:
        """A case as each member sees it; PlanError if it does not fit their plans."""
        return tuple(prepare_stages(member.model, loaded, member.plan, member.stage) for member in self.members)

    def segment(self, prepared: Sequence[Stages], *, probabilities: Kept = False) -> Segmentation:
        """Predict what `prepare` prepared.

        One member alone decides row by row with its thresholds; of several, a byte a pixel, class and member is kept until they are
        combined.
        """
        if len(self.members) == 1:
            model = replace(self.members[0].model, thresholds=self._limits(), weighs=self.weighs)
            return clean(self.selection, segment_stages(model, prepared[0], probabilities=probabilities))
        said: list[Bytes] = []
        for member, stages in zip(self.members, prepared, strict=True):
            single = segment_stages(member.model, stages, probabilities=True)
            assert single.probabilities is not None, "they were asked for"
            said.append(single.probabilities)
        return decide(self.selection, single.labels, single.geometry, said, probabilities=probabilities, weighs=self.weighs)

    def _limits(self) -> tuple[float, ...]:
        """The thresholds as probabilities: round(255 p) is at least t where p is above (t - 0.5) / 255."""
        thresholds = self.selection.thresholds
        return tuple((t - 0.5) / 255 for t in thresholds) if any(t != HALF for t in thresholds) else ()
