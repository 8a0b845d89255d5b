"""Complete plans that load by name: HandBone_v100-32gb is the competition's data set on a 32 GB V100. README.md says more."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from statistics import median
from typing import TYPE_CHECKING

from autoseg.errors import PlanError, UsageError
from autoseg.geometry import SAME_SPACING
from autoseg.io.json_files import from_json
from autoseg.io.plan_fit import misfits
from autoseg.plan import Plan, Stage

if TYPE_CHECKING:
    from autoseg.fingerprint import Fingerprint

#: Median image sizes that differ by less than this share are the same data for a plan.
SAME_SIZE = 0.1


def names() -> tuple[str, ...]:
    """The plans that come with autoseg."""
    return tuple(sorted(file.name.removesuffix(".json") for file in files(__name__).iterdir() if file.name.endswith(".json")))


def load_plan(name: str) -> Plan:
    """A plan by its name.

    Raises
    ------
    UsageError
        If there is no such plan; the message lists them.
    """
    if name not in names():
        raise UsageError(f"there is no plan {name}; there are {', '.join(names())}.")
    file = files(__name__) / f"{name}.json"
    return from_json(file.read_text(encoding="utf-8"), Plan, source=str(file))


def plan_for(name: str, fingerprint: Fingerprint) -> Plan:
    """A plan by its name, as the plan of a data set that was measured.

    Raises
    ------
    UsageError
        If there is no such plan.
    PlanError
        If the data set has other classes, channels, axes, units or spacings, or marks pixels as unlabelled where the plan knows none.
    """
    plan = load_plan(name)
    found = misfits(plan, classes=fingerprint.classes, num_channels=fingerprint.num_channels, num_axes=fingerprint.num_axes)
    found += _other_grid(plan, fingerprint)
    if fingerprint.has_ignore and not plan.labels.has_ignore:
        found.append("labels: the data mark pixels as unlabelled, the plan knows none")
    if found:
        listing = "\n".join(f"  {problem}" for problem in found)
        raise PlanError(f"the plan {name}, which comes with autoseg, is for other data than {fingerprint.dataset}:\n{listing}\n"
                        "Leave out --plan to plan for these data.")  # fmt: skip
    reasons = {**plan.reasons, "origin": f"a copy of {name}, which comes with autoseg"}
    return replace(plan, dataset=fingerprint.dataset, fingerprint=fingerprint.checksum(), reasons=reasons)


def _other_grid(plan: Plan, fingerprint: Fingerprint) -> list[str]:
    """Where pixels would be taken for something else: another unit, or a spacing that the plan takes for granted."""
    if fingerprint.unit != plan.unit:
        return [f"unit: {plan.unit} in the plan, {fingerprint.unit} in the data"]
    fixed = [
        stage for stage in plan.stages.values() if not stage.resample and plan.unit == "mm" and len(stage.spacing) == fingerprint.num_axes
    ]
    return [
        f"spacing of {case.name}: {case.spacing} mm, and {stage.name} does not resample to its {stage.spacing} mm"
        for stage in fixed
        for case in fingerprint.cases
        if any(
            abs(s - t) > SAME_SPACING * t for a, (s, t) in enumerate(zip(case.spacing, stage.spacing, strict=True)) if a != stage.slice_axis
        )
    ][:1]


def other_size(stage: Stage, fingerprint: Fingerprint) -> str:
    """A sentence if a stage was planned for images of another size than the data set's; empty if they are alike."""
    if stage.resample:
        return ""
    sizes = tuple(round(median(case.shape[axis] for case in fingerprint.cases)) for axis in range(fingerprint.num_axes))
    if all(abs(size - planned) <= SAME_SIZE * planned for size, planned in zip(sizes, stage.image_shape, strict=True)):
        return ""
    planned, here = (" x ".join(map(str, shape)) for shape in (stage.image_shape, sizes))
    return f"made for images of {planned}, and these have {here}; a plan of their own (without --plan) may suit them better"
