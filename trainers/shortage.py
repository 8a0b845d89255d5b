"""What a training does about steps that run out of memory: makes them again, and where that does not help, in smaller parts."""

from __future__ import annotations

import math

#: A step that runs out of memory is made again as it is: what lay in the way may have been memory in pieces, or another program. It is not
#: if memory runs out again within so many steps.
STEPS_OF_GRACE = 100


class Shortage:
    """Remembers when memory ran out, and says how many samples are computed at a time from then on."""

    def __init__(self) -> None:
        self._at: int | None = None

    def is_new(self, iteration: int) -> bool:
        """True if memory did not run out with this many samples in the steps before."""
        return self._at is None or not 0 <= iteration - self._at < STEPS_OF_GRACE

    def after(self, iteration: int, size: int, batch: int) -> tuple[int, str]:
        """Samples at a time after a step of `batch` ran out of memory with `size` at a time, and a word about it."""
        what = f"memory ran out at iteration {iteration} with {size} samples at a time"
        if self.is_new(iteration):
            self._at = iteration
            return size, f"{what}. What the step held is given back, and it is made again."
        # Of the smaller parts nothing is known yet.
        self._at = None
        half = math.ceil(size / 2)
        return half, (
            f"{what} again. From here on a step takes its {batch} samples {half} at a time and adds their gradients up: the images and the "
            "batch stay the same, but Dice in the loss is measured over each part instead of the whole batch, and steps take longer."
        )
