"""The training loop of one fold, read top to bottom."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from autoseg.augment import RawSample, make_batch
from autoseg.step import Learner, StepResult, abandon_step, is_out_of_memory, set_lr, split_batch, training_step
from autoseg.trainers.clock import Clock
from autoseg.trainers.interrupt import Interrupt
from autoseg.trainers.loader import read_ahead
from autoseg.trainers.patience import epochs_without_gain
from autoseg.trainers.run import RunFolder, TimeSpent
from autoseg.trainers.sampler import Sampler
from autoseg.trainers.schedule import learning_rate
from autoseg.trainers.state import FitSettings, save_state, start_or_resume

logger = logging.getLogger(__name__)

#: A checkpoint is written at least this often, and at the end of an epoch if the last one is older than the second figure.
CHECKPOINT_EVERY_S = 300.0
CHECKPOINT_EPOCH_S = 60.0
#: The time used is written this often.
TIME_EVERY_S = 10.0
#: Seconds per step are averaged over about the last twenty.
PACE = 0.05


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
    """

    on_step: Callable[[int, float, float], None]
    measure_dice: Callable[[Learner, int], float | None]
    say: Callable[[str], None]
    on_epoch: Callable[[int, dict[str, Any]], None] = lambda iteration, row: None


class Fit:
    """One fold's training, from its last checkpoint if there is one.

    Parameters
    ----------
    settings : FitSettings
    sampler : Sampler
    clock : Clock
        Its used time is set from the checkpoint.
    run : RunFolder
    watch : Watch
    """

    def __init__(self, settings: FitSettings, sampler: Sampler, clock: Clock, run: RunFolder, watch: Watch) -> None:
        self.settings, self.sampler, self.clock, self.run, self.watch = settings, sampler, clock, run, watch
        self.learner, self.progress = start_or_resume(settings, run)
        # time.json is written more often than checkpoints: what a killed run lost has been used all the same.
        clock.used_s = max(self.progress.used_s, run.time_spent().used_s)
        run.trim_metrics(self.epoch)
        self._unread: Tensor | None = None
        self._loss = float("nan")
        self._saved_at = self._timed_at = time.monotonic()
        self._pace_s = 0.0

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return self.progress.epoch

    def until_done(self, interrupt: Interrupt) -> Learner:
        """Train to the end of the schedule.

        Returns
        -------
        Learner
            With the final weights; checkpoint_last is written.

        Raises
        ------
        Interrupted
            When asked to stop; checkpoint_last then holds the last iteration.
        """
        stage = self.settings.stage
        batches = read_ahead(self.sampler.batch, self.progress.iteration, workers=self.settings.workers)
        # Of the step before: a run that was broken off while it ended has none to make.
        lr = learning_rate(stage.recipe, self.clock.progress(max(0, self.progress.iteration - 1)), self.progress.losses)
        try:
            while (done := self.clock.progress(self.progress.iteration)) < 1 and not self._is_ended():
                lr = learning_rate(stage.recipe, done, self.progress.losses)
                self._step(batches, lr)
                epoch_ends = self.progress.steps_in_epoch == stage.iterations_per_epoch
                if epoch_ends:
                    self._end_epoch(lr)
                # Asked once: a signal that comes while this is written is seen after the next iteration, and saved.
                asked = interrupt.asked
                self._maybe_save(epoch_ends=epoch_ends, asked=asked)
                if asked:
                    interrupt.check(self.run.path, self.progress.iteration)
        finally:
            batches.close()
        if self.progress.steps_in_epoch:
            self._end_epoch(lr)
        self.save(self.run.last)
        self._note_end()
        return self.learner

    def _is_ended(self) -> bool:
        """True if the schedule ends here as it stands."""
        if not self.progress.ended and self.progress.iteration and self.run.stop.is_file():
            self.progress.ended = f"stopped early by a person at iteration {self.progress.iteration}"
        return bool(self.progress.ended)

    def _note_end(self) -> None:
        """Say and record why the training ended early; only then is the file that asked for it removed."""
        if self.progress.ended:
            logger.info("%s", self.progress.ended)
            self.watch.say(self.progress.ended)
            self.run.note_end(self.progress.ended)
        self.run.stop.unlink(missing_ok=True)

    def _step(self, batches: Iterator[list[RawSample]], lr: float) -> None:
        progress = self.progress
        begin = time.perf_counter()
        raw = next(batches)
        progress.wait_s_sum += time.perf_counter() - begin
        set_lr(self.learner, lr)
        result = self._attempt(raw)
        while result is None:
            # Only now, after the failed step's exception and all that its frames held are gone.
            self._halve(len(raw))
            result = self._attempt(raw)
        loss = self._read_loss()
        self._unread = result.loss
        step_s = time.perf_counter() - begin
        self._pace_s = step_s if not self._pace_s else (1 - PACE) * self._pace_s + PACE * step_s
        progress.step_s_sum += step_s
        progress.steps_in_epoch += 1
        progress.iteration += 1
        self.watch.on_step(progress.iteration, loss, self._pace_s)

    def _attempt(self, raw: list[RawSample]) -> StepResult | None:
        """Augment and make a step; None if memory ran out and the batch can be split further."""
        stage, size = self.settings.stage, self._micro_batch(len(raw))
        try:
            batch = make_batch(raw, stage.patch, device=self.settings.device, swap=stage.mirror_swap)
            return training_step(self.learner, split_batch(batch, size))
        except RuntimeError as error:
            if size == 1 or not is_out_of_memory(error):
                raise
        return None

    def _micro_batch(self, batch: int) -> int:
        return min(batch, self.progress.micro_batch or batch)

    def _halve(self, batch: int) -> None:
        """Compute the gradients of half as many samples at a time from here on."""
        abandon_step(self.learner)
        before = self._micro_batch(batch)
        self.progress.micro_batch = math.ceil(before / 2)
        text = (
            f"memory ran out at iteration {self.progress.iteration} with {before} samples at a time. From here on a step takes its "
            f"{batch} samples {self.progress.micro_batch} at a time and adds their gradients up: the images and the batch stay the same, "
            "but Dice in the loss is measured over each part instead of the whole batch, and steps take longer."
        )
        logger.warning("%s", text)
        self.watch.say(text)

    def _read_loss(self) -> float:
        """The last loss; waits for the device."""
        if self._unread is not None:
            self._loss = float(self._unread)
            self._unread = None
            self.progress.loss_sum += self._loss
        return self._loss

    def _end_epoch(self, lr: float) -> None:
        progress = self.progress
        self._read_loss()
        num = progress.steps_in_epoch
        row: dict[str, Any] = {
            "epoch": progress.epoch,
            "iteration": progress.iteration,
            "loss": progress.loss_sum / num,
            "lr": lr,
            "step_s": progress.step_s_sum / num,
            "data_wait_s": progress.wait_s_sum / num,
        }
        if progress.micro_batch is not None:
            row["micro_batch"] = progress.micro_batch
        dice = self.watch.measure_dice(self.learner, progress.iteration)
        if dice is not None:
            row["val_dice"] = dice
        self.run.append_metrics(row)
        self.watch.on_epoch(progress.iteration, row)
        logger.info("epoch %d, iteration %d: loss %.4f%s", row["epoch"], row["iteration"], row["loss"], _dice_words(dice))
        if dice is not None:
            self._keep_patience(dice)
        progress.losses.append((self.clock.progress(progress.iteration), row["loss"]))
        progress.epoch += 1
        progress.loss_sum = progress.step_s_sum = progress.wait_s_sum = 0.0
        progress.steps_in_epoch = 0
        if dice is not None and (progress.best_dice is None or dice > progress.best_dice):
            progress.best_dice = dice
            self.save(self.run.best)

    def _keep_patience(self, dice: float) -> None:
        progress, patience = self.progress, self.settings.patience
        progress.dices.append(dice)
        if patience is None or progress.ended or self.clock.progress(progress.iteration) >= 1:
            return
        if epochs_without_gain(progress.dices) >= patience:
            progress.ended = (
                f"ended early at iteration {progress.iteration}: no better smoothed validation Dice in {patience} epochs (--patience)"
            )

    def _maybe_save(self, *, epoch_ends: bool, asked: bool) -> None:
        if time.monotonic() - self._timed_at > TIME_EVERY_S:
            self.run.save_time(TimeSpent(used_s=self.clock.elapsed_s()))
            self._timed_at = time.monotonic()
        age = time.monotonic() - self._saved_at
        if asked or age > (CHECKPOINT_EPOCH_S if epoch_ends else CHECKPOINT_EVERY_S):
            self.save(self.run.last)
            self._saved_at = time.monotonic()

    def save(self, path: Path) -> None:
        """Write a checkpoint of the last iteration boundary."""
        self._read_loss()
        self.progress.used_s = self.clock.elapsed_s()
        save_state(path, self.settings, self.learner, self.progress)


def _dice_words(dice: float | None) -> str:
    return "" if dice is None else f", Dice {dice:.4f}"
