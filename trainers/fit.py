"""The training loop of one fold, read top to bottom."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import torch

from autoseg.augment import RawSample, make_batch
from autoseg.checkpoint import save_checkpoint
from autoseg.errors import RunError
from autoseg.io.interrupt import GOES_ON, Interrupt
from autoseg.step import Learner, StepResult, abandon_step, is_out_of_memory, set_lr, split_batch, training_step
from autoseg.trainers.clock import Clock
from autoseg.trainers.loader import read_ahead, work_ahead
from autoseg.trainers.metrics_row import metrics_row, row_words
from autoseg.trainers.patience import epochs_without_gain
from autoseg.trainers.readings import Readings, what_helps, why_hopeless
from autoseg.trainers.run import RunFolder, TimeSpent
from autoseg.trainers.sampler import Sampler
from autoseg.trainers.saver import Saver
from autoseg.trainers.schedule import learning_rate
from autoseg.trainers.shortage import Shortage
from autoseg.trainers.state import FitSettings, snapshot, start_or_resume
from autoseg.trainers.watch import Watch

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
#: How often a training whose losses are not finite goes back to its last checkpoint.
MOST_RETURNS = 5


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
        self.learner, self.progress = start_or_resume(settings, run.last)
        # What checkpoint_last holds; nothing before there is one.
        self._saved = asdict(self.progress) if run.last.is_file() else {}
        # The iteration that it holds, once what is being written is on the disk.
        self._kept = self.progress.iteration if run.last.is_file() else None
        # time.json is written more often than checkpoints: what a killed run lost has been used all the same.
        clock.used_s = max(self.progress.used_s, run.time_spent().used_s)
        run.trim_metrics(self.epoch)
        self._readings = Readings()
        self._shortage = Shortage()
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
        self._batches = self._read_from_here()
        try:
            with interrupt.leaving(self._abandon):
                self._train()
                # A training that was over before is left as it is: what has been validated with its checkpoint stays valid.
                if asdict(self.progress) != self._saved:
                    self._save_now()
        finally:
            self._batches.close()
            self.saver.close()
        self._note_end()
        return self.learner

    def _train(self) -> None:
        """All iterations that are left, and the ends of their epochs."""
        # Of the step before: a run that was broken off while it ended has none to make.
        lr = self._rate(self.clock.progress(max(0, self.progress.iteration - 1)))
        if self._is_epoch_done():
            # Broken off between the epoch's last step and its end.
            self._end_epoch(lr)
        while not self._is_over() or not self._ends_well():
            lr = self._rate(self.clock.progress(self.progress.iteration))
            self._step(lr)
            if why := why_hopeless(self.progress):
                self._go_back(why)
            self._see_to_the_boundary(lr)
        if self.progress.steps_in_epoch:
            self._end_epoch(lr)

    def _is_over(self) -> bool:
        return self.clock.progress(self.progress.iteration) >= 1 or self._is_ended()

    def _ends_well(self) -> bool:
        """True if the weights may stand at the end of the schedule; else the training has gone back, and goes on where time is left.

        Where the last losses were not finite, either their images are to blame, or the weights are: those give no images a finite loss.
        """
        self._read_loss()
        progress = self.progress
        bad = progress.skipped_in_a_row
        if not bad or asdict(progress) == self._saved:
            return True
        why = f"the losses of the last {bad} steps were not finite" if bad > 1 else "the loss of the last step was not finite"
        if self._readings.samples and self._is_sound():
            logger.warning("%s; what was learned before stands", why)
            progress.skipped_in_a_row = 0
            return True
        self._go_back(why)
        if not self.progress.iteration and self._is_over():
            raise RunError(f"{self.run.path}: no loss was finite, and no time is left. {what_helps(progress)}")
        return self._is_over()

    def _is_sound(self) -> bool:
        """True if the weights give a finite loss to the last images that had one, or none had one yet."""
        samples, finite = self._readings.samples, True
        if not samples:
            return True
        with self.interrupt.idle(), torch.no_grad():
            batch = make_batch(samples, self.settings.stage.patch, device=self.settings.device, swap=self.settings.stage.mirror_swap)
            for part in split_batch(batch, self._micro_batch(len(samples))):
                with self.learner.cast():
                    logits = self.learner.net(part.images)
                finite = finite and bool(self.learner.loss(logits, part.codes, part.table, part.ignore).isfinite())
        return finite

    def _see_to_the_boundary(self, lr: float) -> None:
        """What is due between two iterations: the end of an epoch, a checkpoint, the end that was asked for."""
        epoch_ends = self._is_epoch_done()
        if epoch_ends:
            self._end_epoch(lr)
        # Asked once: a signal that comes while this is written is seen after the next iteration, and saved.
        asked = self.interrupt.asked
        self._maybe_save(epoch_ends=epoch_ends, asked=asked)
        if asked:
            self.interrupt.check(self.run.path, self._kept or 0)

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

    def _step(self, lr: float) -> None:
        progress = self.progress
        begin = time.perf_counter()
        with self.interrupt.idle():
            raw = next(self._batches)
        progress.wait_s_sum += time.perf_counter() - begin
        set_lr(self.learner, lr)
        result = self._attempt(raw)
        while result is None:
            # Only now, after the failed step's exception and all that its frames held are gone.
            self._make_room(len(raw))
            result = self._attempt(raw)
        loss = self._readings.follow(result, raw, progress, scaled=self.learner.scaler is not None)
        step_s = time.perf_counter() - begin
        self._pace_s = step_s if not self._pace_s else (1 - PACE) * self._pace_s + PACE * step_s
        progress.step_s_sum += step_s
        progress.steps_in_epoch += 1
        progress.iteration += 1
        self.watch.on_step(progress.iteration, loss, self._pace_s)

    def _attempt(self, raw: list[RawSample]) -> StepResult | None:
        """Augment and make a step; None if memory ran out and it can be made again, or the batch split further."""
        stage, size = self.settings.stage, self._micro_batch(len(raw))
        try:
            with ExitStack() as idle:
                idle.enter_context(self.interrupt.idle())
                batch = make_batch(raw, stage.patch, device=self.settings.device, swap=stage.mirror_swap)
                # Until the gradients are there nothing has changed; what comes then is finished, or not begun.
                return training_step(self.learner, split_batch(batch, size), reduce=lambda net: idle.close())
        except RuntimeError as error:
            if not is_out_of_memory(error) or (size == 1 and not self._shortage.is_new(self.progress.iteration)):
                raise
        return None

    def _micro_batch(self, batch: int) -> int:
        return min(batch, self.progress.micro_batch or batch)

    def _make_room(self, batch: int) -> None:
        """After a step that ran out of memory: free what it held, and if it did so again, compute half as many samples at a time."""
        abandon_step(self.learner)
        before = self._micro_batch(batch)
        size, text = self._shortage.after(self.progress.iteration, before, batch)
        logger.warning("%s", text)
        if size < before:
            self.progress.micro_batch = size
            self.watch.say(text)

    def _read_loss(self) -> None:
        """Count the last step's loss, for which it waits for the device."""
        self._readings.read(self.progress, scaled=self.learner.scaler is not None)

    def _go_back(self, why: str) -> None:
        """Go on from the last checkpoint, or from the start, with half the rate; RunError if that has not helped before."""
        before, iteration = self.progress, self.progress.iteration
        returns, factor = before.went_back + 1, before.lr_factor / 2
        if returns > MOST_RETURNS:
            raise RunError(
                f"{self.run.path}: {why}, at iteration {iteration} again and with 1/{round(0.5 / factor)} of the rate. {what_helps(before)}"
            )
        self._batches.close()
        self.saver.wait()
        self._restore()
        self._readings.forget()
        progress = self.progress
        progress.went_back, progress.lr_factor, progress.micro_batch = returns, factor, before.micro_batch
        progress.skipped_in_a_row = progress.overflows_in_a_row = 0
        self._batches = self._read_from_here()
        self.run.trim_metrics(self.epoch)
        text = (
            f"{why}, up to iteration {iteration}. The training goes on from iteration {progress.iteration}, the last good state, "
            f"with {factor:g} of the learning rate."
        )
        logger.warning("%s", text)
        self.watch.say(text)
        self._save_now()

    def _restore(self) -> None:
        """Take the learner of the last checkpoint; where its weights are past saving the best one's, else a fresh one.

        A checkpoint holds weights whose own loss nobody has seen yet: the last one was measured before the update.
        """
        for file in (self.run.last, self.run.best) if self.run.last.is_file() else ():
            if not file.is_file():
                continue
            self._begin_from(file)
            if self._is_sound():
                return
            logger.warning("%s holds weights whose loss is not finite", file)
        self._begin_from(None)
        self.watch.fill(self.learner)

    def _begin_from(self, file: Path | None) -> None:
        # Given back first: the memory of a device may hold one net.
        del self.learner
        self.learner, self.progress = start_or_resume(self.settings, file)

    def _end_epoch(self, lr: float) -> None:
        progress = self.progress
        self._read_loss()
        row = metrics_row(progress, lr)
        dice = self.watch.measure_dice(self.learner, progress.iteration)
        if dice is not None:
            row["val_dice"] = dice
        self.run.append_metrics(row)
        self.watch.on_epoch(progress.iteration, row)
        logger.info("%s", row_words(row))
        if dice is not None:
            self._keep_patience(dice)
        if "loss" in row:
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
        elif begin - self._saved_at > self._due_s(epoch_ends=epoch_ends) and self._may_save():
            self._save(self.run.last)
            self._saved_at = time.monotonic()
            self._save_s = self._saved_at - begin

    def _may_save(self) -> bool:
        """True if the last loss was finite: a checkpoint is what the training goes back to."""
        self._read_loss()
        return not self.progress.skipped_in_a_row

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
        if path == self.run.last:
            self._kept = self.progress.iteration

    def _save_now(self) -> None:
        """Write checkpoint_last of the last iteration boundary."""
        with self.interrupt.saving():
            self.save(self.run.last)

    def _is_doubtful(self) -> bool:
        """True if the weights may be past saving and a checkpoint from before is there, to which training would go back."""
        return self.progress.skipped_in_a_row > 0 and self._kept is not None

    def _abandon(self) -> str:
        """checkpoint_last of the iteration boundary before what is in work, from another thread: see `io.interrupt`."""
        self.saver.wait()
        self._read_loss()
        self.progress.used_s = self.clock.elapsed_s()
        self.watch.leave()
        if self._is_doubtful():
            return f"Stopped while losses were not finite: {self.run.path} keeps the state from before. {GOES_ON}"
        save_checkpoint(self.run.last, snapshot(self.settings, self.learner, self.progress))
        return f"Stopped at iteration {self.progress.iteration}, the step in work is abandoned; {self.run.path} holds it. {GOES_ON}"
