"""autoseg clean"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoseg.cli.options import choose_dataset, dataset_option, workspace_option
from autoseg.cli.progress import size
from autoseg.cli.tables import grid
from autoseg.errors import RunError

if TYPE_CHECKING:
    from autoseg.standing import Removable, Standing

#: Kinds that go without being asked for by name: nobody waits for them to be made again.
CHEAP = ("unused", "leftovers", "pictures")

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

    from autoseg.standing import look, removables

    standing = look(place, folder.name, folder)
    found = removables(standing)
    asked = [*CHEAP, *(["prepared"] if prepared else []), *(["probabilities"] if probabilities else [])]
    going = [one for one in found if one.kind in asked]
    _say(found, going)
    if not going:
        click.echo("Nothing to delete.")
        return
    total = size(sum(one.num_bytes for one in going))
    if dry_run:
        click.echo(f"--dry-run: nothing was deleted; {total} would be free.")
        return
    _refuse_while_running(standing)
    if not yes and not click.confirm(f"Delete {total}?"):
        click.echo("Nothing was deleted.")
        return
    _remove(standing, going)
    click.echo(f"{total} freed.")


def _say(found: list[Removable], going: list[Removable]) -> None:
    """A row for each kind, with how it is made again or what deletes it."""
    rows = []
    for one in found:
        advice = one.again if one in going else f"kept; --{one.kind} deletes them"
        rows.append((f"  {size(one.num_bytes)}", one.what, advice))
    for line in grid(rows) if rows else ():
        click.echo(line)


def _refuse_while_running(standing: Standing) -> None:
    busy = [f"{run.name}/fold{fold.name} ({fold.owner})" for run in standing.runs for fold in run.in_state("running")]
    busy += [str(known.folder) for known in standing.predictions if known.is_running]
    if busy:
        raise RunError(f"something works here: {', '.join(busy)}. Wait until it has ended, or stop it, and give the command again.")


def _remove(standing: Standing, going: list[Removable]) -> None:
    from autoseg.io.locks import locked
    from autoseg.workspace import LOCK

    with locked(standing.place.preprocessed(standing.name) / LOCK, "cleaned"):
        for one in going:
            one.remove()
