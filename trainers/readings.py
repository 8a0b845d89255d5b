"""Losses of a training, each read when the next step is on its way, and what they say of its weights."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from autoseg.augment import RawSample
from autoseg.step import Reading, StepResult, read_later
from autoseg.trainers.state import Progress

logger = logging.getLogger(__name__)

#: Steps in a row whose loss is not finite until the training goes back to its last checkpoint at half the rate.
BAD_STEPS = 10
#: Steps in a row that a loss scaler skips until it does so: the scale begins at 2**16 and is halved by each. One that looks for its scale
#: has found it after 16, or some more if the scale had grown; below 2**-13 fp16 holds nothing of a gradient that a net can use.
BAD_SCALES = 30


class Readings:
    """The last step's figures on their way to the host, and what was read before them.

    Attributes
    ----------
    loss : float
        The last finite one; nan before there is any.
    samples : sequence of RawSample
        The images that had it.
    """

    def __init__(self) -> None:
        self.loss = math.nan
        self.samples: Sequence[RawSample] = ()
        self._unread: tuple[Reading, Sequence[RawSample]] | None = None

    def follow(self, result: StepResult, samples: Sequence[RawSample], progress: Progress, *, scaled: bool) -> float:
        """Begin to read a step's figures, and end to read those of the step before, as `read`."""
        # Copied off before the next step is asked for, read when that one is on its way.
        reading = read_later(result)
        loss = self.read(progress, scaled=scaled)
        self._unread = reading, samples
        return loss

    def read(self, progress: Progress, *, scaled: bool) -> float:
        """The last finite loss, all figures read and counted in `progress`; it waits for the device.

        `scaled`: a scaler finds its scale by gradients that are not finite, which are counted by themselves.
        """
        if self._unread is None:
            return self.loss
        (reading, samples), self._unread = self._unread, None
        loss, norm = reading.numbers()
        overflows = scaled and not math.isfinite(norm)
        progress.overflows_in_a_row = progress.overflows_in_a_row + 1 if overflows else 0
        if math.isfinite(loss) and (scaled or math.isfinite(norm)):
            self.loss, self.samples, progress.skipped_in_a_row = loss, samples, 0
            progress.loss_sum += loss
            return loss
        progress.skipped += 1
        progress.skipped_in_a_row += 1
        if progress.skipped_in_a_row == 1:
            logger.warning("a step up to iteration %d was skipped: its loss is not finite (%g)", progress.iteration, loss)
        return self.loss

    def forget(self) -> None:
        """What is still unread belongs to weights that are given up."""
        self._unread = None


def why_hopeless(progress: Progress) -> str:
    """Why the training has to go back, in words; "" if it need not."""
    if progress.skipped_in_a_row >= BAD_STEPS:
        return f"the loss of {BAD_STEPS} steps in a row was not finite"
    if progress.overflows_in_a_row >= BAD_SCALES:
        return f"the gradients of {BAD_SCALES} steps in a row were not finite in fp16, whatever the loss was scaled by"
    return ""


def what_helps(progress: Progress) -> str:
    """What a person does about a training that going back has not helped."""
    other = ", or in fp32 (plan_and_preprocess --set CONFIG.precision=fp32)" if progress.overflows_in_a_row else " or another --loss"
    return f"Look for images with odd values (autoseg check), or begin anew (--restart) with a smaller rate (--lr){other}."
