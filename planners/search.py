"""Patch, batch and activation checkpointing within a budget: context first, the batch from what is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from autoseg.budget import GIB, Budget
from autoseg.errors import PlanError
from autoseg.memory import training_memory
from autoseg.plan import Memory, Stage
from autoseg.planners.duration import MIN_TIMED_ITERATIONS, timed_iterations
from autoseg.planners.topology import unet

#: Share of the device's memory that a plan may fill; the rest is the allocator's slack and what the display takes.
FILL = 0.92
MIN_BATCH = 2
#: An estimate below this share of the limit is taken without a trace of its own; plan_stage traces the final stage.
CLEARLY = 0.8
#: A batch covers at most this share of the data set's pixels (nnU-Net).
MAX_BATCH_SHARE = 0.05
#: No batch is larger: tiny patches would otherwise fill a GPU with thousands of samples, and a step would take minutes of reading.
MAX_BATCH = 512


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A stage whose patch, batch and checkpointing are settled, with the sentences that say why."""

    stage: Stage
    reasons: dict[str, str]


class Tracer:
    """Traced peaks, each distinct stage traced once."""

    def __init__(self, budget: Budget, *, exclusive: bool, has_ignore: bool = False) -> None:
        self.budget, self.exclusive, self.has_ignore = budget, exclusive, has_ignore
        self._known: dict[Stage | tuple[object, ...], Memory] = {}

    def memory(self, stage: Stage) -> Memory:
        """The traced peak of a training step of this stage."""
        key = (stage.patch, stage.batch, stage.checkpointed_stages, stage.network, stage.precision, stage.recipe.optimizer)
        if key not in self._known:
            self._known[key] = training_memory(
                stage,
                exclusive=self.exclusive,
                precision=stage.precision,
                device_type=self.budget.kind,
                budget_bytes=self.budget.memory_bytes,
                has_ignore=self.has_ignore,
            )
        return self._known[key]

    def fits(self, stage: Stage) -> bool:
        """True if the peak stays within the share of the budget that may be filled."""
        return self.memory(stage).peak_bytes <= FILL * self.budget.memory_bytes


def largest_that_fits(stage: Stage, tracer: Tracer, *, batch_cap: int) -> Choice:
    """The whole image if memory allows, by checkpointing if need be; else the largest patch that fits.

    Parameters
    ----------
    stage : Stage
        With the patch that covers the whole image and the smallest batch.
    tracer : Tracer
    batch_cap : int
        Largest batch that the data set supports.

    Raises
    ------
    PlanError
        If not even the smallest patch fits.
    """
    whole = stage.patch
    for candidate in _candidates(stage):
        if tracer.fits(candidate):
            chosen = raise_batch(candidate, tracer, batch_cap)
            return Choice(stage=chosen, reasons=_explain(chosen, whole, tracer, batch_cap))
    smallest = tracer.memory(candidate)
    raise PlanError(
        f"a budget of {tracer.budget.memory_bytes / GIB:.1f} GiB is too small: the smallest net needs {smallest.peak_bytes / GIB:.1f} GiB. "
        "Plan for a larger one with --gpu or --gpu-memory, or for this machine's processor with --gpu cpu."
    )


def _candidates(stage: Stage) -> list[Stage]:
    """Full view first, with more and more of the net recomputed; then smaller patches, nothing recomputed."""
    levels = len(stage.network.features)
    full = [replace(stage, checkpointed_stages=n) for n in range(min(levels, 4))]
    return full + [shrink(stage, edge) for edge in smaller_edges(stage)]


def smaller_edges(stage: Stage) -> list[int]:
    """Edges of smaller patches, by about a seventh each, down to 32 pixels."""
    edge, edges = max(stage.patch), []
    while edge > 32:
        edge = int(edge / 1.15)
        edges.append(edge)
    return edges


def shrink(stage: Stage, edge: int) -> Stage:
    """The stage with patches of at most `edge`: long axes are cut, short ones stay (a square image keeps a square patch)."""
    num = len(stage.patch)
    spacing = stage.spacing[-num:] if stage.slice_axis is None else tuple(s for a, s in enumerate(stage.spacing) if a != stage.slice_axis)
    wanted = tuple(min(size, edge) for size in stage.patch)
    patch, network = unet(wanted, spacing, in_channels=stage.network.in_channels, num_heads=stage.network.num_heads)
    if any(p > w for p, w in zip(patch, wanted, strict=True)):
        # Rounding up to a multiple may exceed the wish; the next lower multiple fits the same net or a shallower one.
        lower = tuple(max(m, (w // m) * m) for w, m in zip(wanted, network.multiple, strict=True))
        patch, network = unet(lower, spacing, in_channels=stage.network.in_channels, num_heads=stage.network.num_heads)
    return replace(stage, patch=patch, network=network)


def raise_batch(stage: Stage, tracer: Tracer, cap: int) -> Stage:
    """The largest batch up to `cap` that fits: memory is nearly affine in the batch, so two traces and a check find it."""
    one, two = tracer.memory(stage), tracer.memory(replace(stage, batch=stage.batch + 1))
    slope = max(1, two.peak_bytes - one.peak_bytes)
    limit = FILL * tracer.budget.memory_bytes
    batch = max(stage.batch, min(cap, stage.batch + int((limit - one.peak_bytes) // slope)))
    if one.peak_bytes + (batch - stage.batch) * slope <= CLEARLY * limit:
        # Far from the limit (small images on a large machine) no check is needed: tracing hundreds of samples takes half a minute.
        return replace(stage, batch=batch)
    while batch > stage.batch and not tracer.fits(replace(stage, batch=batch)):
        batch -= 1
    return replace(stage, batch=batch)


def batch_cap(num_images: int, image_shape: tuple[int, ...], patch: tuple[int, ...]) -> int:
    """5 % of the data set's pixels, at least 2."""
    share = MAX_BATCH_SHARE * num_images * math.prod(image_shape) / math.prod(patch)
    return min(MAX_BATCH, max(MIN_BATCH, int(share)))


def within_time(stage: Stage, fold_s: float, measure: Callable[[Stage], float], cap: Callable[[Stage], int]) -> Choice:
    """The largest patch that leaves 400 iterations per fold; then a larger batch if it leaves plenty.

    Parameters
    ----------
    stage : Stage
        As memory allows it.
    fold_s : float
        Wall time of one fold.
    measure : callable
        Seconds of one step of a stage.
    cap : callable
        Largest batch of a stage that the data set supports and memory holds.
    """
    candidates = timed_candidates(replace(stage, batch=MIN_BATCH))
    chosen = candidates[_largest_in_time(candidates, fold_s, measure)]
    step_s = measure(chosen)
    reasons = {"patch": _time_words(chosen, stage.patch, fold_s, step_s)}
    best, step_s = _batch_within_time(chosen, fold_s, step_s, measure, cap(chosen))
    reasons["batch"] = f"{best.batch}: the largest that leaves {RICH_ITERATIONS:,} iterations, {MIN_BATCH} at least"
    return Choice(stage=replace(best, step_s=step_s), reasons=reasons)


def timed_candidates(stage: Stage) -> list[Stage]:
    """The stage and what it becomes with smaller patches, largest first, each patch once."""
    shrunk = [shrink(stage, edge) for edge in smaller_edges(stage)]
    return list({candidate.patch: candidate for candidate in [stage, *shrunk]}.values())


def _largest_in_time(candidates: Sequence[Stage], fold_s: float, measure: Callable[[Stage], float]) -> int:
    """Index of the largest candidate that leaves enough iterations; the last one if none does.

    A step's time is about proportional to its pixels. So a small patch is measured first, and only candidates near the limit after
    it: a step on a patch that is far too large would take longer than the whole plan.
    """
    pixels = [math.prod(candidate.patch) for candidate in candidates]
    probe = next((k for k, n in enumerate(pixels) if n <= PROBE_PIXELS), len(pixels) - 1)
    per_pixel = measure(candidates[probe]) / pixels[probe]
    expected = [timed_iterations(fold_s, per_pixel * n) >= MIN_TIMED_ITERATIONS for n in pixels]
    at = expected.index(True) if True in expected else len(pixels) - 1

    def fits(k: int) -> bool:
        return timed_iterations(fold_s, measure(candidates[k])) >= MIN_TIMED_ITERATIONS

    if fits(at):
        while at > 0 and fits(at - 1):
            at -= 1
        return at
    while at < len(candidates) - 1 and not fits(at):
        at += 1
    return at


#: The patch that is measured first has at most so many pixels: a step of a tenth of a second or so on two cores.
PROBE_PIXELS = 128 * 128

#: More samples per step are only worth their time if this many steps are left.
RICH_ITERATIONS = 1500


def _batch_within_time(
    stage: Stage, fold_s: float, step_s: float, measure: Callable[[Stage], float], cap: int
) -> tuple[Stage, float]:
    while 2 * stage.batch <= cap:
        larger = replace(stage, batch=2 * stage.batch)
        larger_s = measure(larger)
        if timed_iterations(fold_s, larger_s) < RICH_ITERATIONS:
            break
        stage, step_s = larger, larger_s
    return stage, step_s


def _time_words(stage: Stage, whole: tuple[int, ...], fold_s: float, step_s: float) -> str:
    steps = f"{timed_iterations(fold_s, step_s):,} steps of {step_s:.2g} s fit into {fold_s:,.0f} s per fold"
    if stage.patch == whole:
        return f"the whole image: {steps}"
    return f"the largest of which at least {MIN_TIMED_ITERATIONS} steps fit: {steps}"


def _explain(stage: Stage, whole: tuple[int, ...], tracer: Tracer, cap: int) -> dict[str, str]:
    used = tracer.memory(stage).peak_bytes / GIB
    total = tracer.budget.memory_bytes / GIB
    if stage.patch == whole and not stage.checkpointed_stages:
        patch = "the whole image at full resolution"
    elif stage.patch == whole:
        patch = f"the whole image at full resolution, which fits if the finest {stage.checkpointed_stages} stages are computed twice"
    else:
        patch = f"the whole image, {' x '.join(map(str, whole))}, does not fit; this is the largest patch that does"
    limit = f"5 % of the data set's pixels allow {cap}" if stage.batch >= cap else f"one more would exceed {FILL:.0%} of the memory"
    return {"patch": patch, "batch": f"{stage.batch}: {limit}", "memory": f"{used:.1f} GiB traced of {total:.1f} GiB"}
