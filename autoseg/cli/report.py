"""autoseg report"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoseg.cli.options import choose_dataset, dataset_option, workspace_option
from autoseg.errors import UsageError

if TYPE_CHECKING:
    from autoseg.report import Written
    from autoseg.workspace import Workspace

#: Cases that get a picture if nobody says how many.
MOST_PICTURES = 100
PATH = click.Path(dir_okay=False, path_type=Path)
EPILOG = """\b
Examples:
  autoseg report -d HandBone                   results/HandBone/report.html; open it in any browser
  autoseg report -d HandBone --pictures 300    more cases with pictures
"""


@click.command(name="report", epilog=EPILOG)
@dataset_option
@click.option("-o", "--output", type=PATH, metavar="FILE", help="The file.  [default: results/NAME/report.html]")
@click.option(
    "--pictures",
    type=click.IntRange(0),
    default=MOST_PICTURES,
    show_default=True,
    metavar="N",
    help="Most cases with pictures, worst first.",
)
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes.  [default: one per core]")
@workspace_option
def command(dataset: str | None, output: Path | None, pictures: int, workers: int | None, workspace: Path) -> None:
    """Write one HTML file that shows the data, the plan, the training, every case and every score."""
    place, folder = choose_dataset(workspace, dataset, results_suffice=True)
    name = folder.name
    if not place.preprocessed(name).is_dir() and not place.results(name).is_dir():
        raise UsageError(f"{name} was not planned yet, so there is nothing to report: autoseg plan_and_preprocess{place.options(folder)}.")
    written = make(place, folder, output, pictures=pictures, workers=workers)
    say(written)


def make(
    place: Workspace, folder: Path, output: Path | None = None, *, pictures: int = MOST_PICTURES, workers: int | None = None
) -> Written:
    """Write the report of a data set, with a bar."""
    from autoseg.cli.progress import Bar
    from autoseg.fingerprint.hardware import count_cores
    from autoseg.report import write_report

    path = output or place.report_file(folder.name)
    with Bar("Report", "case") as bar:
        return write_report(place, folder.name, folder, path, pictures=pictures, workers=workers or count_cores(), progress=bar)


def say(written: Written) -> None:
    """Where it is and what it holds."""
    from autoseg.cli.progress import count, size

    few = written.num_pictures < written.num_cases
    pictures = f", {written.num_pictures} of them with pictures, the worst first" if few else ""
    click.echo(f"Report: {written.path} ({size(written.num_bytes)}, {count(written.num_cases, 'case')}{pictures})")


def make_after(place: Workspace, folder: Path) -> None:
    """The report behind a training or a prediction, which it must not fail, whatever happens."""
    try:
        say(make(place, folder))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        click.echo(f"The report could not be made: {reason} (autoseg report{place.options(folder)} tries again)", err=True)
