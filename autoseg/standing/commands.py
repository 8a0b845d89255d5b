"""Commands as a person types them, with the options that a plan was made with and a run was begun with."""

from __future__ import annotations

import math
import shlex
import shutil
from collections.abc import Iterator, Sequence

from autoseg import budget
from autoseg.budget import GPUS
from autoseg.plan import Plan
from autoseg.standing.fold import FoldStanding
from autoseg.standing.run import RunStanding


def command(where: str, name: str, *words: str) -> str:
    """A command; `where`: the options by which it means the data set, see `Workspace.options`."""
    return shlex.join(["autoseg", name, *words]) + where


def train_command(
    where: str, run: RunStanding, folds: Sequence[FoldStanding], *, config: str | None = None, device: Sequence[str] = ()
) -> str:
    """The command that trains `folds`, with the options of those or, of folds that were not begun, of the others of the run.

    Parameters
    ----------
    where : str
        See `command`.
    run : RunStanding
    folds : sequence of FoldStanding
        Of the run.
    config : str, optional
        Another configuration of the same plan, trained alike: the second stage behind the run's.
    device : sequence of str
        See `device_words`.
    """
    words = list(next((fold.words for fold in (*folds, *run.folds) if fold.words), ()))
    if config not in (None, run.config):
        words = _but(words, "--batch", "--from")  # the first stage's own
    elif "--hours" in words:
        # The hours are for all folds of the command; what is done counts, and is left as it is.
        folds = [fold for fold in run.folds if fold.name != "all" and not fold.is_outdated] or folds
        place = words.index("--hours") + 1
        words[place] = _hours_for(folds, words[place])
    names = [fold.name for fold in folds if fold.name != "all"]
    said = [_span(names)] if names else []
    said += ["all"] if len(names) < len(folds) else []
    return command(where, "train", config or run.config, *said, *run_words(run.plan, run.trainer), *words, *device)


def _hours_for(folds: Sequence[FoldStanding], given: str) -> str:
    """The hours that were given, or if the folds that are done have used them up, as many as all of them take at the same pace."""
    used = [fold.used_s for fold in folds if fold.state == "done"]
    if not used:
        return given
    pace = math.fsum(used) / len(used)
    left = 3600 * float(given) - math.fsum(used)
    if left >= pace * (len(folds) - len(used)) / 2:
        return given
    return f"{math.ceil(pace * len(folds) / 3.6) / 1000:g}"


def _but(words: Sequence[str], *options: str) -> list[str]:
    """The words without these options and their values."""
    dropped = {place + step for place, word in enumerate(words) if word in options for step in (0, 1)}
    return [word for place, word in enumerate(words) if place not in dropped]


def restart_command(where: str, run: RunStanding, folds: Sequence[str], *, device: Sequence[str] = ()) -> str:
    """The command that trains these folds anew, with the options of the first of them; its hours were for other folds, too: "H".

    Arguments as of `train_command`.
    """
    words = next((list(fold.words) for fold in run.folds if fold.name in folds), [])
    if "--hours" in words:
        words[words.index("--hours") + 1] = "H"
    return command(where, "train", run.config, _span(folds), *run_words(run.plan, run.trainer), *words, *device, "--restart")


def run_words(plan: str, trainer: str) -> list[str]:
    """--plan and --trainer, where they are not the usual ones."""
    return [*([] if plan == "default" else ["--plan", plan]), *([] if trainer == "default" else ["--trainer", trainer])]


def device_words(plan: Plan | None) -> tuple[str, ...]:
    """--device cpu for the plan of a GPU where no driver of one is, without which `train` refuses it; torch is not imported to see."""
    if plan is None or plan.budget.kind != "cuda":
        return ()
    return () if budget.DRIVER.exists() or shutil.which("nvidia-smi") else ("--device", "cpu")


def as_planned(plan: Plan, shipped: Sequence[str] = (), *, name: str | None = None) -> Iterator[str]:
    """The options that make this very plan, so that it is kept; with `name`, another one of this name.

    Parameters
    ----------
    plan : Plan
    shipped : sequence of str
        Names of the plans that come with autoseg.
    name : str, optional
    """
    if plan.planner != "default":
        yield from ("--planner", plan.planner)
    if (name or plan.name) not in ("default", plan.planner):
        yield from ("--plan", name or plan.name)
    if plan.name in shipped and name is None:
        return  # it brings its budget
    given = plan.budget
    if given.name == "cpu" or given.name in GPUS:
        yield from ("--gpu", given.name)
    elif given.name.endswith(" GiB"):
        yield from ("--gpu-memory", given.name.removesuffix(" GiB"))
    if given.hours is not None:
        yield from ("--hours", f"{given.hours:g}")
    for text in plan.overrides:
        yield from ("--set", text)


def _span(names: Sequence[str]) -> str:
    """fold0..4 where the numbers follow each other, else fold0,2."""
    numbers = sorted(int(name) for name in names)
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"fold{numbers[0]}..{numbers[-1]}"
    return f"fold{','.join(map(str, numbers))}"
