"""Patch, batch and activation checkpointing within a budget: context first, the batch from what is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from autoseg.budget import GIB, Budget
from autoseg.errors import PlanError
from autoseg.memory import Trace, trace_step, with_allowances
from autoseg.plan import Memory, Stage
from autoseg.planners.candidates import smaller_patches
from autoseg.planners.view import View, shown, shows_enough

#: Share of the device's memory that a plan may fill; the rest is the allocator's slack and what the display takes.
FILL = 0.92
MIN_BATCH = 2
#: An estimate below this share of the limit is taken without a trace of its own; `Tracer.settled` traces the final stage.
CLEARLY = 0.8
#: A batch covers at most this share of the data set's pixels (nnU-Net).
MAX_BATCH_SHARE = 0.05
#: No batch is larger: tiny patches would otherwise fill a GPU with thousands of samples, and a step would take minutes of reading.
MAX_BATCH = 512
#: Recomputing more than the finest four stages saves next to nothing: the fifth has a two-hundredth of the first one's pixels.
MAX_CHECKPOINTED = 4

#: Traces by what they depend on; plans for several budgets may share them.
Traces = dict[tuple[object, ...], Trace]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A stage whose patch, batch and checkpointing are settled, with the sentences that say why."""

    stage: Stage
    reasons: dict[str, str]


class Tracer:
    """Traced peaks, each distinct stage traced once.

    Parameters
    ----------
    budget : Budget
    exclusive, has_ignore : bool
        Of the plan's LabelSpace.
    traces : dict, optional
        Filled and read; give one to share traces between budgets.
    """

    def __init__(self, budget: Budget, *, exclusive: bool, has_ignore: bool = False, traces: Traces | None = None) -> None:
        self.budget, self.exclusive, self.has_ignore = budget, exclusive, has_ignore
        self.traces: Traces = {} if traces is None else traces

    def memory(self, stage: Stage) -> Memory:
        """The traced peak of a training step of this stage."""
        decided = (stage.patch, stage.batch, stage.checkpointed_stages, stage.network, stage.precision, stage.previous)
        # A patch that is turned on an uneven grid reads a longer box.
        proportions = tuple(s / min(stage.net_spacing) for s in stage.net_spacing)
        # A recipe holds weights by name and so has no hash.
        given = (repr(stage.recipe), stage.rotation_degrees, len(stage.priors), self.budget.kind, self.exclusive, self.has_ignore)
        key = (*decided, *given, proportions)
        if key not in self.traces:
            self.traces[key] = trace_step(
                stage, exclusive=self.exclusive, precision=stage.precision, device_type=self.budget.kind, has_ignore=self.has_ignore
            )
        budget = self.budget
        return with_allowances(self.traces[key], device_type=budget.kind, budget_bytes=budget.memory_bytes, workers=budget.workers)

    @property
    def limit(self) -> float:
        """Bytes that a plan may fill."""
        return FILL * self.budget.memory_bytes

    def fits(self, stage: Stage) -> bool:
        """True if the peak stays within the share of the budget that may be filled."""
        return self.is_conceivable(stage) and self.memory(stage).peak_bytes <= self.limit

    def is_conceivable(self, stage: Stage) -> bool:
        """False if what the finest stage alone keeps for its gradients exceeds the limit: then nothing need be traced.

        In the encoder and in the decoder each of its convolutions keeps its result and what the next one is given; the decoder also keeps
        what it joined, two bytes each at least.
        """
        network = stage.network
        kept = 0 if stage.checkpointed_stages else (2 * network.convs + 2 * network.convs_up + 2) * network.features[0]
        return 2 * kept * _pixels(stage) <= self.limit

    def settled(self, stage: Stage) -> Stage:
        """The stage with its own traced memory, its batch lowered if that exceeds the limit after all."""
        while stage.batch > 1 and not self.fits(stage):
            stage = replace(stage, batch=min(stage.batch - 1, int(stage.batch * self.limit / self.memory(stage).peak_bytes)) or 1)
        return replace(stage, memory=self.memory(stage))


def largest_that_fits(stage: Stage, tracer: Tracer, view: View, *, cap_of: Callable[[Stage], Cap]) -> Choice:
    """The whole image if memory allows, by recomputing activations if the data ask for it; else the largest patch.

    Parameters
    ----------
    stage : Stage
        With the patch that covers the whole image and the smallest batch.
    tracer : Tracer
    view : View
        What the data set asks of a patch.
    cap_of : callable
        Largest batch of a stage that the data set supports.

    Raises
    ------
    PlanError
        If not even the smallest patch fits.
    """
    found = _with_most_context(stage, tracer, view)
    cap = cap_of(found)
    chosen = raise_batch(found, tracer, cap.batch)
    return Choice(stage=chosen, reasons=_explain(chosen, stage.patch, view, cap))


def _with_most_context(stage: Stage, tracer: Tracer, view: View) -> Stage:
    """The whole image; that, recomputed; a patch that shows enough; the largest patch (docs/plan.md, "Memory and view")."""
    if tracer.fits(stage):
        return stage
    levels = range(1, min(MAX_CHECKPOINTED, len(stage.network.features) - 1) + 1)
    recomputed = [replace(stage, checkpointed_stages=n) for n in levels] if view.share > 0 else []
    # Each level needs less than the one before: if the last one does not fit, none does.
    if recomputed and tracer.fits(recomputed[-1]):
        return next(candidate for candidate in recomputed if tracer.fits(candidate))
    patches = smaller_patches(stage)
    plain = largest_fitting(patches, tracer, known=stage)
    if plain is None:
        raise PlanError(_too_small(tracer, patches[-1] if patches else stage))
    if shows_enough(plain, view) or not view.measured:
        return plain
    enough = [patch for patch in patches if shows_enough(patch, view)]
    for whole in recomputed:
        found = largest_fitting([replace(patch, checkpointed_stages=whole.checkpointed_stages) for patch in enough], tracer, known=whole)
        if found is not None:
            return found
    return plain


def require_fitting(candidates: Sequence[Stage], tracer: Tracer) -> Stage:
    """`largest_fitting`; PlanError if none fits, or there is none."""
    if not candidates:
        raise PlanError("the images are too small for a first stage at a lower resolution; leave the cascade out of --configs.")
    found = largest_fitting(candidates, tracer)
    if found is None:
        raise PlanError(_too_small(tracer, candidates[-1]))
    return found


def largest_fitting(candidates: Sequence[Stage], tracer: Tracer, *, known: Stage | None = None) -> Stage | None:
    """The first of the candidates that fits, None if none does.

    Parameters
    ----------
    candidates : sequence of Stage
        Equal but for their patches (and nets), largest first.
    tracer : Tracer
    known : Stage, optional
        A larger one that does not fit, whose trace tells where to look first.

    Notes
    -----
    Activations are nearly proportional to the pixels of a batch. So each trace says where the limit lies, and two or three find it.
    """
    does_not, fits = next((k for k, stage in enumerate(candidates) if tracer.is_conceivable(stage)), len(candidates)) - 1, len(candidates)
    guess = 0 if known is None or not tracer.is_conceivable(known) else _first_within(candidates, known, tracer)
    while fits - does_not > 1:
        k = min(max(guess, does_not + 1), fits - 1)
        if tracer.fits(candidates[k]):
            fits = k
        else:
            does_not = k
        guess = _first_within(candidates, candidates[k], tracer)
    return candidates[fits] if fits < len(candidates) else None


def _first_within(candidates: Sequence[Stage], traced: Stage, tracer: Tracer) -> int:
    """Index of the first candidate that should fit, by the activations per pixel of a traced stage."""
    memory = tracer.memory(traced)
    activations = memory.parts.get("activations", memory.peak_bytes)
    allowed = (tracer.limit - (memory.peak_bytes - activations)) / max(1.0, activations / _pixels(traced))
    return next((k for k, candidate in enumerate(candidates) if _pixels(candidate) <= allowed), len(candidates) - 1)


def _pixels(stage: Stage) -> int:
    return stage.batch * math.prod(stage.patch)


def raise_batch(stage: Stage, tracer: Tracer, cap: int) -> Stage:
    """The largest batch up to `cap` that fits: memory is nearly affine in the batch, so two traces and a check find it."""
    if cap <= stage.batch:
        return stage
    if not tracer.is_conceivable(replace(stage, batch=stage.batch + 1)):
        return stage
    one, two = tracer.memory(stage), tracer.memory(replace(stage, batch=stage.batch + 1))
    slope = max(1, two.peak_bytes - one.peak_bytes)
    batch = max(stage.batch, min(cap, stage.batch + int((tracer.limit - one.peak_bytes) // slope)))
    if one.peak_bytes + (batch - stage.batch) * slope <= CLEARLY * tracer.limit:
        # Far from the limit (small images on a large machine) no check is needed: tracing hundreds of samples takes half a minute.
        return replace(stage, batch=batch)
    while batch > stage.batch and not tracer.fits(replace(stage, batch=batch)):
        batch -= 1
    return replace(stage, batch=batch)


@dataclass(frozen=True)
class Cap:
    """The largest batch that makes sense, and why.

    Parameters
    ----------
    batch : int
    reason : str
        Completes "8: ...".
    """

    batch: int
    reason: str


def batch_cap(num_images: int, image_shape: tuple[int, ...], patch: tuple[int, ...]) -> Cap:
    """5 % of the data set's pixels, 2 at least and 512 at most."""
    share = int(MAX_BATCH_SHARE * num_images * math.prod(image_shape) / math.prod(patch))
    if share < MIN_BATCH:
        return Cap(MIN_BATCH, "the least, which is more than 5 % of the data set's pixels")
    if share > MAX_BATCH:
        return Cap(MAX_BATCH, f"the most, though 5 % of the data set's pixels allow {share}")
    return Cap(share, f"5 % of the data set's pixels allow {share}")


def _too_small(tracer: Tracer, smallest: Stage) -> str:
    needed = tracer.memory(smallest).peak_bytes / GIB
    least = math.ceil(10 * needed / FILL) / 10
    return (
        f"a budget of {tracer.budget.memory_bytes / GIB:.1f} GiB is too small: the smallest net needs {needed:.2f} GiB, and {FILL:.0%} may "
        f"be filled. Plan for a larger one with --gpu or --gpu-memory ({least:g} at least), or for this machine's processor with --gpu cpu."
    )


def _explain(stage: Stage, whole: tuple[int, ...], view: View, cap: Cap) -> dict[str, str]:
    twice = f"if the finest {stage.checkpointed_stages} stages are computed twice"
    if stage.patch == whole:
        patch = "the whole image at full resolution"
        patch += f", which fits {twice}" if stage.checkpointed_stages else ""
    else:
        patch = f"the whole image, {' x '.join(map(str, whole))}, does not fit; this is the largest patch that does"
        patch += f" {twice}" if stage.checkpointed_stages else ""
    return {"view": view_words(stage, view), "patch": patch, "batch": batch_words(stage, cap)}


def view_words(stage: Stage, view: View) -> str:
    """What the data ask for, and what the patch shows."""
    return f"{view.reason}; this patch shows {shown(stage):.0%}"


def batch_words(stage: Stage, cap: Cap) -> str:
    """Why the batch is not larger."""
    limit = cap.reason if stage.batch >= cap.batch else f"one more would exceed {FILL:.0%} of the memory"
    return f"{stage.batch}: {limit}"
