"""The training loop of one fold, read top to bottom."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autoseg.augment import RawSample, make_batch
from autoseg.checkpoint import save_checkpoint
from autoseg.errors import RunError
from autoseg.io.interrupt import GOES_ON, Interrupt
from autoseg.step import Learner, Reading, StepResult, abandon_step, is_out_of_memory, read_later, set_lr, split_batch, training_step
from autoseg.trainers.clock import Clock
from autoseg.trainers.loader import read_ahead, work_ahead
from autoseg.trainers.patience import epochs_without_gain
from autoseg.trainers.run import RunFolder, TimeSpent
from autoseg.trainers.sampler import Sampler
from autoseg.trainers.saver import Saver
from autoseg.trainers.schedule import learning_rate
from autoseg.trainers.state import FitSettings, snapshot, start_or_resume

logger = logging.getLogger(__name__)

#: A checkpoint is written at least this often, and at the end of an epoch if the last one is older than the second figure, and so old that
#: what it kept the training waiting is no more than this share of the time.
CHECKPOINT_EVERY_S = 300.0
CHECKPOINT_EPOCH_S = 60.0
CHECKPOINT_SHARE = 0.01
#: The time used is written this often.
TIME_EVERY_S = 10.0
#: Seconds per step are averaged over about the last twenty.
PACE = 0.05
#: Steps in a row whose loss is not finite until the training goes back to its last checkpoint at half the rate, and how often it does.
BAD_STEPS, MOST_RETURNS = 10, 5


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
    fill : callable (learner)
        Gives a fresh learner what it starts from (--from), if the training has to begin once more.
    """

    on_step: Callable[[int, float, float], None]
    measure_dice: Callable[[Learner, int], float | None]
    say: Callable[[str], None]
    on_epoch: Callable[[int, dict[str, Any]], None] = lambda iteration, row: None
    check_folder: Callable[[], None] = lambda: None
    fill: Callable[[Learner], None] = lambda learner: None


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
        # Nobody's until the training begins.
        self.interrupt = Interrupt()
        self.saver = Saver()
        self.learner, self.progress = start_or_resume(settings, run)
        # What checkpoint_last holds; nothing before there is one.
        self._saved = asdict(self.progress) if run.last.is_file() else {}
        # time.json is written more often than checkpoints: what a killed run lost has been used all the same.
        clock.used_s = max(self.progress.used_s, run.time_spent().used_s)
        run.trim_metrics(self.epoch)
        self._unread: Reading | None = None
        self._loss = float("nan")
        self._saved_at = self._timed_at = time.monotonic()
        self._pace_s = self._save_s = 0.0

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
        RunError
            If the loss is not finite again and again.
        """
        self.interrupt = interrupt
        # Of the step before: a run that was broken off while it ended has none to make.
        lr = self._rate(self.clock.progress(max(0, self.progress.iteration - 1)))
        batches = self._read_from_here()
        try:
            with interrupt.leaving(self._abandon):
                if self._is_epoch_done():
                    # Broken off between the epoch's last step and its end.
                    self._end_epoch(lr)
                while (done := self.clock.progress(self.progress.iteration)) < 1 and not self._is_ended():
                    lr = self._rate(done)
                    self._step(batches, lr)
                    if self.progress.skipped_in_a_row >= BAD_STEPS:
                        batches.close()
                        self._go_back()
                        batches = self._read_from_here()
                    self._see_to_the_boundary(lr)
                if self.progress.steps_in_epoch:
                    self._end_epoch(lr)
                # A training that was over before is left as it is: what has been validated with its checkpoint stays valid.
                if asdict(self.progress) != self._saved:
                    self._save_now()
        finally:
            batches.close()
            self.saver.close()
        self._note_end()
        return self.learner

    def _see_to_the_boundary(self, lr: float) -> None:
        """What is due between two iterations: the end of an epoch, a checkpoint, the end that was asked for."""
        epoch_ends = self._is_epoch_done()
        if epoch_ends:
            self._end_epoch(lr)
        # Asked once: a signal that comes while this is written is seen after the next iteration, and saved.
        asked = self.interrupt.asked
        self._maybe_save(epoch_ends=epoch_ends, asked=asked)
        if asked:
            self.interrupt.check(self.run.path, self.progress.iteration)

    def _rate(self, done: float) -> float:
        return self.progress.lr_factor * learning_rate(self.settings.stage.recipe, done, self.progress.losses)

    def _is_epoch_done(self) -> bool:
        return self.progress.steps_in_epoch >= self.settings.stage.iterations_per_epoch

    def _read_from_here(self) -> Generator[list[RawSample]]:
        sampler, first, stage = self.sampler, self.progress.iteration, self.settings.stage
        if stage.recipe.augmentation.backend == "workers":
            return work_ahead(sampler.batch, range(first, stage.iterations), name=sampler.name, workers=self.settings.workers)
        return read_ahead(sampler.batch, first, workers=self.settings.workers)

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

    def _step(self, batches: Generator[list[RawSample]], lr: float) -> None:
        progress = self.progress
        begin = time.perf_counter()
        with self.interrupt.idle():
            raw = next(batches)
        progress.wait_s_sum += time.perf_counter() - begin
        set_lr(self.learner, lr)
        result = self._attempt(raw)
        while result is None:
            # Only now, after the failed step's exception and all that its frames held are gone.
            self._halve(len(raw))
            result = self._attempt(raw)
        # Copied off before the next step is asked for, read when that one is on its way.
        reading, loss = read_later(result), self._read_loss()
        self._unread = reading
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
            with ExitStack() as idle:
                idle.enter_context(self.interrupt.idle())
                batch = make_batch(raw, stage.patch, device=self.settings.device, swap=stage.mirror_swap)
                # Until the gradients are there nothing has changed; what comes then is finished, or not begun.
                return training_step(self.learner, split_batch(batch, size), reduce=lambda net: idle.close())
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
        """The last loss, for which it waits for the device; the last finite one if it was not finite and its step skipped."""
        if self._unread is None:
            return self._loss
        (loss, norm), progress = self._unread.numbers(), self.progress
        # A scaler finds its scale by gradients that are not finite: those count only without one.
        is_finite = math.isfinite(loss) and (self.learner.scaler is not None or math.isfinite(norm))
        self._unread = None
        if is_finite:
            self._loss, progress.skipped_in_a_row = loss, 0
            progress.loss_sum += loss
            return loss
        progress.skipped += 1
        progress.skipped_in_a_row += 1
        if progress.skipped_in_a_row == 1:
            logger.warning("a step up to iteration %d was skipped: its loss is not finite (%g)", progress.iteration, loss)
        return self._loss

    def _go_back(self) -> None:
        """Go on from the last checkpoint, or from the start, with half the rate; RunError if that has not helped before."""
        iteration, returns, factor = self.progress.iteration, self.progress.went_back + 1, self.progress.lr_factor / 2
        if returns > MOST_RETURNS:
            raise RunError(
                f"{self.run.path}: the loss is not finite, at iteration {iteration} again and with 1/{round(0.5 / factor)} of the rate. "
                "Look for images with odd values (autoseg check), or begin anew (--restart) with a smaller rate (--lr) or another --loss."
            )
        self.saver.wait()
        micro_batch = self.progress.micro_batch
        # Given back first: the memory of a device may hold one net.
        del self.learner
        self.learner, self.progress = start_or_resume(self.settings, self.run)
        if not self.run.last.is_file():
            self.watch.fill(self.learner)
        progress, self._unread = self.progress, None
        progress.went_back, progress.lr_factor, progress.skipped_in_a_row, progress.micro_batch = returns, factor, 0, micro_batch
        self.run.trim_metrics(self.epoch)
        text = (
            f"the loss of {BAD_STEPS} steps in a row was not finite, up to iteration {iteration}. The training goes on from iteration "
            f"{progress.iteration}, the last checkpoint, with {factor:g} of the learning rate."
        )
        logger.warning("%s", text)
        self.watch.say(text)
        self._save_now()

    def _end_epoch(self, lr: float) -> None:
        progress = self.progress
        self._read_loss()
        num, finite = progress.steps_in_epoch, progress.steps_in_epoch - progress.skipped
        row: dict[str, Any] = {
            "epoch": progress.epoch,
            "iteration": progress.iteration,
            **({"loss": progress.loss_sum / finite} if finite else {}),
            "lr": lr,
            "step_s": progress.step_s_sum / num,
            "data_wait_s": progress.wait_s_sum / num,
        }
        if progress.micro_batch is not None:
            row["micro_batch"] = progress.micro_batch
        if progress.skipped:
            row["skipped"] = progress.skipped
        dice = self.watch.measure_dice(self.learner, progress.iteration)
        if dice is not None:
            row["val_dice"] = dice
        self.run.append_metrics(row)
        self.watch.on_epoch(progress.iteration, row)
        logger.info("epoch %d, iteration %d: loss %s%s", row["epoch"], row["iteration"], _loss_words(row), _dice_words(dice))
        if dice is not None:
            self._keep_patience(dice)
        if finite:
            progress.losses.append((self.clock.progress(progress.iteration), row["loss"]))
        progress.epoch += 1
        progress.loss_sum = progress.step_s_sum = progress.wait_s_sum = 0.0
        progress.steps_in_epoch = progress.skipped = 0
        if dice is not None and (progress.best_dice is None or dice > progress.best_dice):
            progress.best_dice = dice
            self._save(self.run.best)

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
        self.saver.check()
        if time.monotonic() - self._timed_at > TIME_EVERY_S:
            self.watch.check_folder()
            self.run.save_time(TimeSpent(used_s=self.clock.elapsed_s()))
            self._timed_at = time.monotonic()
        begin = time.monotonic()
        if asked:
            self._read_loss()
            if not self._is_doubtful():
                self._save_now()
        elif begin - self._saved_at > self._due_s(epoch_ends=epoch_ends) and not self.progress.skipped_in_a_row:
            self._save(self.run.last)
            self._saved_at = time.monotonic()
            self._save_s = self._saved_at - begin

    def _due_s(self, *, epoch_ends: bool) -> float:
        """Seconds after the last checkpoint from which on the next one is due."""
        return min(max(CHECKPOINT_EPOCH_S, self._save_s / CHECKPOINT_SHARE), CHECKPOINT_EVERY_S) if epoch_ends else CHECKPOINT_EVERY_S

    def save(self, path: Path) -> None:
        """Write a checkpoint of the last iteration boundary, and wait for it."""
        self._save(path)
        self.saver.wait()

    def _save(self, path: Path) -> None:
        """Begin to write a checkpoint of the last iteration boundary."""
        self.watch.check_folder()
        self._read_loss()
        self.progress.used_s = self.clock.elapsed_s()
        self.saver.write(path, snapshot(self.settings, self.learner, self.progress))

    def _save_now(self) -> None:
        """Write checkpoint_last of the last iteration boundary."""
        with self.interrupt.saving():
            self.save(self.run.last)

    def _is_doubtful(self) -> bool:
        """True if the weights may be past saving and a checkpoint from before is there, to which training would go back."""
        return self.progress.skipped_in_a_row > 0 and self.run.last.is_file()

    def _abandon(self) -> str:
        """checkpoint_last of the iteration boundary before what is in work, from another thread: see `io.interrupt`."""
        self.saver.wait()
        self._read_loss()
        self.progress.used_s = self.clock.elapsed_s()
        if self._is_doubtful():
            return f"Stopped while losses were not finite: {self.run.path} keeps the state from before. {GOES_ON}"
        save_checkpoint(self.run.last, snapshot(self.settings, self.learner, self.progress))
        return f"Stopped at iteration {self.progress.iteration}, the step in work is abandoned; {self.run.path} holds it. {GOES_ON}"


def _loss_words(row: dict[str, Any]) -> str:
    skipped = f", {row['skipped']} steps skipped" if "skipped" in row else ""
    return (f"{row['loss']:.4f}" if "loss" in row else "not finite") + skipped


def _dice_words(dice: float | None) -> str:
    return "" if dice is None else f", Dice {dice:.4f}"
