"""What a short time leaves of a stage: the largest patch that still gets enough iterations, by steps measured on the device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from autoseg.plan import Stage
from autoseg.planners.duration import MIN_TIMED_ITERATIONS, timed_iterations
from autoseg.planners.search import MIN_BATCH, Choice

#: The patch that is measured first has at most so many pixels: a step of a tenth of a second or so on two cores.
PROBE_PIXELS = 128 * 128
#: More samples per step are only worth their time if this many steps are left.
RICH_ITERATIONS = 1500


def within_time(
    stages: Sequence[Stage], fold_s: float, measure: Callable[[Stage], float], cap: Callable[[Stage], int], *, whole: str
) -> Choice:
    """The largest patch that leaves 400 iterations per fold; then a larger batch if it leaves plenty.

    Parameters
    ----------
    stages : sequence of Stage
        The stage as memory allows it, and smaller ones, largest first.
    fold_s : float
        Wall time of one fold.
    measure : callable
        Seconds of one step of a stage.
    cap : callable
        Largest batch of a stage that the data set supports and memory holds.
    whole : str
        What the first stage is called in the reason, such as "the whole image".
    """
    candidates = [replace(stage, batch=MIN_BATCH) for stage in stages]
    at = _largest_in_time(candidates, fold_s, measure)
    chosen, step_s = candidates[at], measure(candidates[at])
    steps = f"{timed_iterations(fold_s, step_s):,} steps of {step_s:.2g} s fit into {fold_s:,.0f} s per fold"
    enough = timed_iterations(fold_s, step_s) >= MIN_TIMED_ITERATIONS
    smaller = f"the largest of which at least {MIN_TIMED_ITERATIONS} steps fit" if enough else "the smallest there is"
    first = whole if at == 0 else smaller
    most = cap(chosen)
    best, step_s = _batch_within_time(chosen, fold_s, step_s, measure, most)
    batch = _batch_words(best.batch, most, timed_iterations(fold_s, step_s))
    return Choice(stage=replace(best, step_s=step_s), reasons={"patch": f"{first}: {steps}", "batch": batch})


def _batch_words(batch: int, most: int, left: int) -> str:
    """Why the batch is not larger; `most` that data and memory allow, and the iterations that are `left` with it."""
    if left < RICH_ITERATIONS:
        return f"{batch}: the least; it leaves {left:,} iterations, and a larger one is taken only where it leaves {RICH_ITERATIONS:,}"
    if 2 * batch > most:
        return f"{batch}: the data set and the memory do not allow twice as many"
    return f"{batch}: twice as many would leave fewer than {RICH_ITERATIONS:,} iterations"


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


def _batch_within_time(stage: Stage, fold_s: float, step_s: float, measure: Callable[[Stage], float], cap: int) -> tuple[Stage, float]:
    while 2 * stage.batch <= cap:
        larger = replace(stage, batch=2 * stage.batch)
        larger_s = measure(larger)
        if timed_iterations(fold_s, larger_s) < RICH_ITERATIONS:
            break
        stage, step_s = larger, larger_s
    return stage, step_s
