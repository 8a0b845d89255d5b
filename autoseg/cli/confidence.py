"""What predict says of the Dice that is to be expected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoseg.cli.progress import Bar, count
from autoseg.errors import AutosegError

if TYPE_CHECKING:
    from autoseg.infer.folds import Choice
    from autoseg.select.selection import Selected

#: Cases of the lowest expected Dice that are named.
NAMED = 3


def calibrate_first(choice: Choice | Selected | Path, *, tta: bool = True) -> None:
    """Make the run's calibration if it has none; say why predictions will come without an expected Dice, or with one made with flips."""
    from autoseg.evaluate.calibration import make_calibration
    from autoseg.fingerprint.hardware import count_cores
    from autoseg.infer.folds import Choice

    if isinstance(choice, Path):
        return
    if isinstance(choice, Choice):
        try:
            with Bar("Calibrating", "case") as bar:
                calibration = make_calibration(choice.run, workers=count_cores(), progress=bar)
        except AutosegError as error:
            click.echo(f"No expected Dice: {error}")
            return
        if calibration is None:
            click.echo("No expected Dice: it needs at least two finished folds, and ten predictions in all that are not empty")
            return
    elif choice.selection.calibration is None:
        click.echo("No expected Dice: selection.json holds no calibration. autoseg select makes one, unless cases are too few")
        return
    if not tta:
        click.echo("The expected Dice is calibrated with flipped images; without them it holds about as well")


def say_expected(out: Path, num: int, model: Path | None = None, *, is_part: bool = False) -> None:
    """The mean over the images, and those to look at first; or that the exported model brought no calibration.

    `is_part`: images without a value may be those of other parts, which are still to come.
    """
    from autoseg.infer.expected import TABLE, read_expected

    if not (out / TABLE).is_file():
        if model is not None:
            click.echo(f"No expected Dice: {model} holds no calibration: there were too few held-out predictions when it was exported")
        return
    found = read_expected(out / TABLE)
    means = sorted((sum(dice for dice, _, _ in classes.values()) / len(classes), case) for case, classes in found.items())
    mean = sum(value for value, _ in means) / len(means)
    lowest = ", ".join(f"{case} {value:.2f}" for value, case in means[:NAMED])
    rest = "" if is_part else " (--overwrite adds the others)"
    of = f" of {len(found)} of {count(num, 'image')}{rest}" if len(found) < num else ""
    click.echo(f"Expected Dice{of}: mean {mean:.2f}; lowest {lowest}; per class, with 90 % intervals: {out / TABLE}")
