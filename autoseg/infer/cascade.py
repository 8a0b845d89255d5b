"""A new case through every stage of a cascade: each stage's probabilities become input channels of the next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from autoseg.case import LoadedCase
from autoseg.errors import DataError
from autoseg.infer.case import Item, Model, segment_all
from autoseg.infer.decide import Bytes, Kept, Room
from autoseg.infer.segmentation import Segmentation
from autoseg.io.ram import free_bytes
from autoseg.plan import Plan, Stage
from autoseg.preprocess.prepare import prepare, resampled_shape
from autoseg.preprocess.prepared import Prepared
from autoseg.preprocess.previous import prepare_previous


def prepare_stages(model: Model, loaded: LoadedCase, plan: Plan, stage: str) -> tuple[Prepared, ...]:
    """A case as each stage of the model sees it, the first stage first; one alone if it is no cascade.

    Parameters
    ----------
    model : Model
    loaded : LoadedCase
    plan, stage
        Of the model itself, which comes last.

    Raises
    ------
    PlanError
        If the case has another number of channels or axes than the plan.
    DataError
        If it is larger at the plan's spacing than the memory that is free: its header or the plan is wrong.
    """
    _check_size(loaded, plan.stages[stage])
    before = model.previous
    first = () if before is None else prepare_stages(before.model, loaded, before.plan, before.stage)
    return (*first, prepare(loaded, plan, stage=plan.stages[stage]))


def _check_size(loaded: LoadedCase, stage: Stage) -> None:
    geometry = loaded.geometry
    if not stage.resample or geometry.num_axes != len(stage.spacing):
        return
    shape = resampled_shape(geometry.shape, geometry.spacing, stage=stage)
    needed, free = 4 * len(loaded.image) * math.prod(shape), free_bytes()
    if free is not None and needed > free:
        sizes, there, wanted = (" x ".join(f"{n:g}" for n in numbers) for numbers in (shape, geometry.spacing, stage.spacing))
        name = ", ".join(map(str, loaded.case.images)) or loaded.case.name
        said = f"of a spacing of {there} {geometry.unit}, it has {sizes} pixels at the plan's {wanted}"
        memory = f"{needed / 2**30:.3g} GiB, and {free / 2**30:.3g} GiB of memory are free"
        raise DataError([f"{name}: {said}: {memory}; mend the spacing in its header if it is wrong"])


def segment_stages(model: Model, prepared: Sequence[Prepared], *, probabilities: Kept = False) -> Segmentation:
    """Predict what `prepare_stages` prepared. Between two stages K bytes a pixel are kept, on the original grid and on the next stage's."""
    return next(segment_cases(model, [prepared], probabilities=probabilities))


def segment_cases(
    model: Model, cases: Sequence[Sequence[Prepared]], *, probabilities: Kept = False, room: Room | None = None
) -> Iterator[Segmentation]:
    """`segment_stages` for several cases, as `segment_all` predicts them."""
    channels: list[Bytes | None] = [None] * len(cases)
    if model.previous is not None:
        earlier = segment_cases(model.previous.model, [prepared[:-1] for prepared in cases], probabilities=True)
        for place, (before, prepared) in enumerate(zip(earlier, cases, strict=True)):
            assert before.probabilities is not None, "they were asked for"
            channels[place] = prepare_previous(before.probabilities, prepared[-1].meta)
    last = [prepared[-1] for prepared in cases]
    items = [Item(image=one.image, meta=one.meta, previous=previous) for one, previous in zip(last, channels, strict=True)]
    return segment_all(model, items, probabilities=probabilities, room=room)
