"""How long a net is trained, and with which recipe."""

from __future__ import annotations

from dataclasses import dataclass

from autoseg.recipe import epoch_length

#: Each training image is seen about this often ...
PASSES = 100
#: ... within these numbers of iterations (nnU-Net always takes 250,000).
MIN_ITERATIONS, MAX_ITERATIONS = 10_000, 250_000
#: A training shorter than this per fold is too short for its patch: a smaller one is taken.
MIN_TIMED_ITERATIONS = 400
#: Share of a fold's time that is kept for its validation and checkpoints when a plan is made; training measures it.
VALIDATION_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Duration:
    """Length of the training of one fold.

    Parameters
    ----------
    iterations : int
        What the schedule counts to, unless the time is over before.
    expected : int
        What will be reached: fewer where the time ends the training.
    iterations_per_epoch : int
    reason : str
    """

    iterations: int
    expected: int
    iterations_per_epoch: int
    reason: str


def planned_duration(
    num_images: int, batch: int, *, fold_s: float | None, step_s: float | None, things: str = "training images"
) -> Duration:
    """Iterations of one fold.

    Parameters
    ----------
    num_images : int
        Images (slices, patches of volumes) that a fold trains on.
    batch : int
    fold_s : float or None
        Wall time of one fold, if hours were given.
    step_s : float or None
        Measured seconds of a step.
    things : str
        What `num_images` counts, in words.
    """
    wanted = PASSES * num_images // batch
    by_data = min(max(wanted, MIN_ITERATIONS), MAX_ITERATIONS)
    reason = (
        f"each of {num_images:,} {things} about {PASSES} times in batches of {batch}: {wanted:,} iterations, "
        f"kept between {MIN_ITERATIONS:,} and {MAX_ITERATIONS:,}"
    )
    by_time = by_data if fold_s is None or step_s is None else timed_iterations(fold_s, step_s)
    if fold_s is None or by_time >= by_data:
        return Duration(iterations=by_data, expected=by_data, iterations_per_epoch=epoch_length(by_data), reason=reason)
    why = f"{fold_s:,.0f} s per fold at {step_s:.3g} s per step leave about {by_time:,} iterations; the time ends the training"
    return Duration(iterations=by_data, expected=by_time, iterations_per_epoch=epoch_length(by_time), reason=why)


def timed_iterations(fold_s: float, step_s: float) -> int:
    """Iterations that fit into a fold's time beside its validation."""
    return max(1, int((1 - VALIDATION_SHARE) * fold_s / step_s))
