"""autoseg select"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoseg.cli.options import AGAIN, choose_dataset, dataset_option, read_raw, workspace_option
from autoseg.cli.progress import Bar
from autoseg.errors import UsageError

if TYPE_CHECKING:
    from autoseg.planners.folds import Splits
    from autoseg.workspace import Workspace

EPILOG = """\b
Examples:
  autoseg select -d HandBone                      all runs whose folds are finished
  autoseg select --members default/2d-default,wide/2d-default
\b
Then: autoseg predict --ensemble
"""


@click.command(name="select", epilog=EPILOG)
@dataset_option
@workspace_option
@click.option("--members", metavar="RUNS", help="Only these, PLAN/CONFIG-TRAINER separated by commas.  [default: all that are finished]")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes.  [default: one per core]")
def command(dataset: str | None, workspace: Path, members: str | None, workers: int | None) -> None:
    """Choose members, weights, thresholds and post-processing by what training predicted of held-out cases, for predict --ensemble."""
    place, folder = choose_dataset(workspace, dataset)

    from autoseg.cli.selected import print_selection
    from autoseg.fingerprint.hardware import count_cores
    from autoseg.infer.fold_cases import cases_digest
    from autoseg.planners.folds import in_groups
    from autoseg.select.members import choose_cases, find_members
    from autoseg.select.search import Judges, select
    from autoseg.select.selection import save_selection

    splits = read_splits(place, folder)
    wanted = None if members is None else [name.strip() for name in members.split(",")]
    held_out = {str(k): fold.val for k, fold in enumerate(splits.folds)}
    dealt = {str(k): cases_digest(fold.train, fold.val) for k, fold in enumerate(splits.folds)}
    finish, restart = partial(finish_command, place, folder), partial(restart_folds, place, folder)
    found, left_out = find_members(place.results(folder.name), list(held_out), wanted, dealt=dealt, finish=finish, restart=restart)
    raw = read_raw(place, folder)
    if raw.classes != found[0].labels.classes:
        config, again = found[0].name.partition("/")[2].partition("-")[0], f"--plan NAME{place.options(folder)}"
        raise UsageError(
            f"{found[0].name} was trained for other classes, or for the same ones in another order, than {raw.root} has now: "
            f"{', '.join(found[0].labels.classes)} and {', '.join(raw.classes)}. Plan and train again: "
            f"autoseg plan_and_preprocess {again}, then autoseg train {config} fold0..{len(held_out) - 1} {again}."
        )
    cases, cases_left_out = choose_cases(found, held_out, in_groups(splits, raw.train))
    for name, why in (left_out | cases_left_out).items():
        click.echo(f"  Left out: {name}: {why}")
    judges = Judges(
        dataset=raw, members=found, cases=cases, workers=workers or count_cores(), progress=lambda what: Bar(what, "case")
    )  # fmt: skip
    selection = select(judges, left_out=left_out | cases_left_out)
    file = place.selection_file(folder.name)
    save_selection(file, selection)
    print_selection(selection)
    click.echo(f"Written: {file}")
    click.echo(f"Next: autoseg predict --ensemble{place.fewest_options(folder)}")


def finish_command(place: Workspace, folder: Path, run: Path) -> str:
    """The command that trains the folds which a run lacks."""
    from autoseg.standing.commands import train_command
    from autoseg.standing.run import run_standing

    found = run_standing(run, len(read_splits(place, folder).folds))
    if not found.open_folds:
        return f"wait for the folds that are in training (autoseg status{place.options(folder)})"
    return train_command(place.fewest_options(folder), found, found.open_folds, device=device_of(place, folder, run))


def restart_folds(place: Workspace, folder: Path, run: Path, folds: Sequence[str]) -> str:
    """The command that trains folds of a run anew."""
    from autoseg.standing.commands import restart_command
    from autoseg.standing.run import run_standing

    return restart_command(place.fewest_options(folder), run_standing(run, 0), folds, device=device_of(place, folder, run))


def device_of(place: Workspace, folder: Path, run: Path) -> tuple[str, ...]:
    """--device cpu, where a run's plan needs it here."""
    from autoseg.errors import FileFormatError
    from autoseg.io.json_files import load_json
    from autoseg.plan import Plan
    from autoseg.standing.commands import device_words

    try:
        return device_words(load_json(place.plan_file(folder.name, run.parent.name), Plan))
    except FileFormatError:
        return ()  # train says what is wrong with it


def read_splits(place: Workspace, folder: Path) -> Splits:
    """The folds; UsageError if the data set was not planned here."""
    from autoseg.io.json_files import load_json
    from autoseg.planners.folds import Splits

    file = place.splits_file(folder.name)
    if not file.is_file():
        raise UsageError(
            f"{file} does not exist: members are compared on the folds that it holds. Plan and train first; autoseg "
            f"status{place.options(folder)} gives the command."
        )
    return load_json(file, Splits, hint=AGAIN)
