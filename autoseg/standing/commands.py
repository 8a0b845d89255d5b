"""Commands as a person types them, with the options that a plan was made with and a run was begun with."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

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
    words = next((fold.words for fold in (*folds, *run.folds) if fold.words), ())
    if "--hours" in words:
        # The hours are for all folds of the command; what is done counts, and is left as it is.
        folds = [fold for fold in run.folds if fold.name != "all"] or folds
    names = [fold.name for fold in folds if fold.name != "all"]
    said = [_span(names)] if names else []
    said += ["all"] if len(names) < len(folds) else []
    return command(where, "train", config or run.config, *said, *run_words(run.plan, run.trainer), *words, *device)


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
    """--device cpu for the plan of a GPU where there is none, without which `train` refuses it; looks for one only then."""
    if plan is None or plan.budget.kind != "cuda":
        return ()
    import torch

    return () if torch.cuda.is_available() else ("--device", "cpu")


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
    budget = plan.budget
    if budget.name == "cpu" or budget.name in GPUS:
        yield from ("--gpu", budget.name)
    elif budget.name.endswith(" GiB"):
        yield from ("--gpu-memory", budget.name.removesuffix(" GiB"))
    if budget.hours is not None:
        yield from ("--hours", f"{budget.hours:g}")
    for text in plan.overrides:
        yield from ("--set", text)


def _span(names: Sequence[str]) -> str:
    """fold0..4 where the numbers follow each other, else fold0,2."""
    numbers = sorted(int(name) for name in names)
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"fold{numbers[0]}..{numbers[-1]}"
    return f"fold{','.join(map(str, numbers))}"
