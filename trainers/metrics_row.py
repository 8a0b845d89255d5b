"""The line of metrics.jsonl that an epoch leaves."""

from __future__ import annotations

from typing import Any

from autoseg.trainers.state import Progress


def metrics_row(progress: Progress, lr: float) -> dict[str, Any]:
    """What an epoch's steps came to; "loss" is absent if none of them was finite.

    Parameters
    ----------
    progress : Progress
        After the epoch's last step, its loss read.
    lr : float
        Of that step.
    """
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
    return row


def row_words(row: dict[str, Any]) -> str:
    """A row for the log."""
    loss = f"{row['loss']:.4f}" if "loss" in row else "not finite"
    skipped = f", {row['skipped']} steps skipped" if "skipped" in row else ""
    dice = f", Dice {row['val_dice']:.4f}" if "val_dice" in row else ""
    return f"epoch {row['epoch']}, iteration {row['iteration']}: loss {loss}{skipped}{dice}"
