"""What a fold's training tells others while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autoseg.step import Learner


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What the loop tells others while it runs.

    Parameters
    ----------
    on_step : callable (iteration, loss, seconds per step)
        The loss is one step old.
    measure_dice : callable (learner, iteration) -> float or None
        The real Dice on whole validation images at the end of an epoch; None where it is not yet time to measure again.
    say : callable (text)
        Something that a person should know.
    on_epoch : callable (iteration, row)
        The row of metrics.jsonl.
    check_folder : callable
        Raises if the run's folder is not there any more; called before something is written.
    leave : callable
        The process leaves in the middle of a step, its state saved; called from another thread.
    fill : callable (learner)
        Gives a fresh learner what it starts from (--from), if the training has to begin once more.
    """

    on_step: Callable[[int, float, float], None]
    measure_dice: Callable[[Learner, int], float | None]
    say: Callable[[str], None]
    on_epoch: Callable[[int, dict[str, Any]], None] = lambda iteration, row: None
    check_folder: Callable[[], None] = lambda: None
    leave: Callable[[], None] = lambda: None
    fill: Callable[[Learner], None] = lambda learner: None
