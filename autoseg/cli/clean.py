"""autoseg clean"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoseg.cli.options import choose_dataset, dataset_option, workspace_option
from autoseg.cli.progress import size
from autoseg.cli.screen import name_of
from autoseg.cli.tables import grid
from autoseg.errors import RunError, UsageError

if TYPE_CHECKING:
    from autoseg.standing import Removable, Standing
    from autoseg.workspace import Workspace

EPILOG = """\b
Examples:
  autoseg clean -d HandBone                 says how much, asks, deletes what nobody needs
  autoseg clean -d HandBone --prepared      prepared cases, too, once the training is over
  autoseg clean --prepared --dry-run        only says how much
"""


@click.command(name="clean", epilog=EPILOG)
@dataset_option
@workspace_option
@click.option("--prepared", is_flag=True, help="Prepared cases, too: plan_and_preprocess makes them again.")
@click.option("--probabilities", is_flag=True, help="Probabilities of held-out cases, too: select and check --labels need them.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def command(dataset: str | None, workspace: Path, prepared: bool, probabilities: bool, dry_run: bool, yes: bool) -> None:
    """Free disk space: delete what can be made again, after saying how much. Raw data, nets, scores and predictions stay."""
    place, folder = choose_dataset(workspace, dataset, results_suffice=True)
    _refuse_unknown(place, folder, dataset)

    from autoseg.standing import CHEAP, look

    asked = [*CHEAP, *(["prepared"] if prepared else []), *(["probabilities"] if probabilities else [])]
    going = _say(look(place, folder.name, folder, raw=False), asked)
    if not going:
        click.echo("Nothing to delete.")
        return
    total = size(sum(one.num_bytes for one in going))
    if dry_run:
        click.echo(f"--dry-run: nothing was deleted; {total} would be free.")
        return
    with _alone(place, folder, going):
        if not yes and not _is_wanted(total):
            click.echo("Nothing was deleted.")
            return
        for one in going:
            one.remove()
    click.echo(f"{total} freed.")


def _refuse_unknown(place: Workspace, folder: Path, given: str | None) -> None:
    """UsageError unless this workspace holds something of the data set: a folder that is named by mistake would be found clean."""
    made = (place.preprocessed(folder.name), place.results(folder.name))
    if not folder.name or (folder.name not in place.raw_names() and not any(path.is_dir() for path in made)):
        known = ", ".join(place.raw_names()) or "none"
        raise UsageError(f"-d {given}: nothing in this workspace was made from {folder}. Data sets in {place.raw}: {known}.")


def _say(standing: Standing, asked: list[str]) -> list[Removable]:
    """A row for each kind, with how it is made again or what deletes it; and the kinds that are to go."""
    from autoseg.standing import removables

    found = removables(standing)
    rows = []
    for one in found:
        advice = one.again if one.kind in asked else f"kept; --{one.kind} deletes them"
        rows.append((f"  {size(one.num_bytes)}", one.what, advice))
    for line in grid(rows) if rows else ():
        click.echo(line)
    return [one for one in found if one.kind in asked]


def _is_wanted(total: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(f"nobody is there to be asked whether {total} are to be deleted; -y deletes without asking, --dry-run only says.")
    return click.confirm(f"Delete {total}?")


@contextmanager
def _alone(place: Workspace, folder: Path, going: list[Removable]) -> Iterator[None]:
    """Keep others from planning, preparing and training while the block runs; RunError if somebody is at it."""
    from autoseg.io.locks import locked
    from autoseg.preprocess.readers import remaking
    from autoseg.standing import look
    from autoseg.workspace import CASES, LOCK

    stores = [path for one in going for path in one.paths if path.parent == place.preprocessed(folder.name) / CASES and path.is_dir()]
    with ExitStack() as held:
        held.enter_context(locked(place.preprocessed(folder.name) / LOCK, "planned, prepared or cleaned"))
        for store in stores:
            held.enter_context(remaking(store, "which are to be deleted"))
        # Looked at once more: what began before the locks were held is seen now, what begins later sees the locks.
        _refuse_while_running(look(place, folder.name, folder, raw=False))
        yield


def _refuse_while_running(standing: Standing) -> None:
    busy = [f"{run.name}/{name_of(fold.name)} ({fold.owner})" for run in standing.runs for fold in run.in_state("running")]
    busy += [str(known.folder) for known in standing.predictions if known.is_running]
    if busy:
        raise RunError(f"something works here: {', '.join(busy)}. Wait until it has ended, or stop it, and give the command again.")
