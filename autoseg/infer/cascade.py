"""A new case through every stage of a cascade: each stage's probabilities become input channels of the next."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.case import LoadedCase
from autoseg.infer.case import Model, Segmentation, segment
from autoseg.plan import Plan
from autoseg.preprocess.prepare import prepare
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
    """
    before = model.previous
    first = () if before is None else prepare_stages(before.model, loaded, before.plan, before.stage)
    return (*first, prepare(loaded, plan, stage=plan.stages[stage]))


def segment_stages(model: Model, prepared: Sequence[Prepared], *, probabilities: bool = False) -> Segmentation:
    """Predict what `prepare_stages` prepared. Between two stages K bytes a pixel are kept, on the original grid and on the next stage's."""
    *earlier, last = prepared
    channels = None
    if model.previous is not None:
        before = segment_stages(model.previous.model, earlier, probabilities=True).probabilities
        assert before is not None, "they were asked for"
        channels = prepare_previous(before, last.meta)
        del before
    return segment(model, last.image, last.meta, previous=channels, probabilities=probabilities)
