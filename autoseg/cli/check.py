"""autoseg check"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoseg.cli import complete
from autoseg.cli.options import choose_dataset, dataset_option, read_raw, workspace_option
from autoseg.cli.progress import Bar, count, size

if TYPE_CHECKING:
    from autoseg.case import Dataset
    from autoseg.io.check import Checked, Seen

#: The exit code of a data set with problems; 2 stays for a command that could not be carried out.
PROBLEMS = 1
#: Names of classes that are printed; the rest are counted.
CLASSES_SHOWN = 10

EPILOG = """\b
Examples:
  autoseg check -d HandBone
  autoseg check -d /data/lungs --workers 4
  autoseg check -d HandBone --labels               after training: which labels do the folds' predictions contradict?
\b
Exit codes: 0 all is well, 1 problems were found, 2 there was nothing to check (no such data set).
"""


@click.command(name="check", epilog=EPILOG)
@dataset_option
@workspace_option
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes that read.  [default: all cores]")
@click.option("--labels", is_flag=True, help="Rank the labels that predictions of a trained run contradict, instead.")
@click.option("--config", metavar="CONFIG", shell_complete=complete.configs, help="Of --labels: configuration, if several are trained.")
@click.option("--plan", "plan_name", metavar="NAME", shell_complete=complete.plans, help="Of --labels: plan, if several are trained.")
@click.option("--trainer", metavar="NAME", help="Of --labels: trainer, if several are trained.")
@click.pass_context
def command(
    context: click.Context,
    dataset: str | None,
    workspace: Path,
    workers: int | None,
    labels: bool,
    config: str | None,
    plan_name: str | None,
    trainer: str | None,
) -> None:
    """Read every file of a data set, and the plans and nets made from it, and list all that is wrong. Nothing is changed or trained."""
    from autoseg.cli.check_labels import check_labels
    from autoseg.cli.check_made import made_problems
    from autoseg.errors import DataError, FileFormatError, UsageError
    from autoseg.fingerprint.hardware import count_cores
    from autoseg.io.check import check_dataset
    from autoseg.io.oddities import oddities

    if not labels and (config or plan_name or trainer):
        raise UsageError("--config, --plan and --trainer name the run of --labels, which is not given.")
    place, folder = choose_dataset(workspace, dataset)
    try:
        raw = read_raw(place, folder, keep=False)
    except (DataError, FileFormatError) as error:
        say_problems(error.problems if isinstance(error, DataError) else [str(error)])
        click.echo("No image was looked at: what stands above must be understood first. Mend it and check again.")
        context.exit(PROBLEMS)
    if labels:
        check_labels(place, raw, config=config, plan=plan_name, trainer=trainer, workers=workers)
        return
    with Bar("Checking", "case") as bar:
        checked = check_dataset(raw, workers=workers or count_cores(), progress=bar)
    say_seen(raw, checked)
    made, wrong = made_problems(place, raw)
    click.echo(f"  Made from it: {made}")
    if odd := oddities(raw, checked):
        click.echo(f"{count(len(odd), 'warning')}:")
        for line in odd:
            click.echo(f"  {line}")
    problems = [*checked.problems, *wrong]
    if not problems:
        click.echo("No problems.")
        if not place.plan_files(raw.name):
            click.echo(f"Next: autoseg plan_and_preprocess{place.fewest_options(folder)}")
        return
    say_problems(problems)
    click.echo("Nothing was changed. Mend or remove these files and check again.")
    context.exit(PROBLEMS)


def say_problems(problems: Sequence[str]) -> None:
    """All of them, a line each: whoever mends a data set wants the whole list."""
    click.echo(f"{count(len(problems), 'problem')}:")
    for problem in problems:
        click.echo("  " + problem.replace("\n", "\n  "))


def say_seen(raw: Dataset, checked: Checked) -> None:
    """What was looked at."""
    from autoseg.evaluate.predictions import some_of

    seen, num_train = checked.seen, len(raw.train)
    files, bytes_ = sum(one.num_files for one in seen), sum(one.num_bytes for one in seen)
    click.echo(f"Looked at {count(num_train, 'training case')} and {count(len(raw.test), 'test case')} in the layout {raw.layout}:")
    read = [one for one in seen if one.facts is not None]
    unusable = f"; {count(len(seen) - len(read), 'case')} could not be used" if len(read) < len(seen) else ""
    click.echo(f"  Read in full: {count(files, 'file')}, {size(bytes_)}{unusable}")
    if read:
        click.echo(f"  Images: {_images(read)}")
    kinds = Counter(case.truth.kind for case in raw.train if case.truth is not None)
    said = ", ".join(f"{kind} of {count(number, 'case')}" for kind, number in kinds.items())
    click.echo(f"  Labels: {said or 'none'}; classes: {len(raw.classes)}")
    click.echo(f"  Classes: {some_of(raw.classes, CLASSES_SHOWN)}")
    groups = {case.group for case in raw.train if case.group is not None}
    if groups:
        click.echo(f"  Groups that no fold may split (persons): {len(groups)}")


def _images(read: Sequence[Seen]) -> str:
    """Sizes, types and channels: one of each where all agree, the range where they do not."""
    shapes = sorted({one.shape for one in read})
    size_ = _by(shapes[0]) if len(shapes) == 1 else f"{_by(shapes[0])} to {_by(shapes[-1])} ({len(shapes)} sizes)"
    types = ", ".join(sorted({one.dtype for one in read}))
    channels = sorted({1 if one.facts.is_grey else one.facts.num for one in read if one.facts is not None})
    units = {one.unit for one in read}
    unit = "with" if units == {"mm"} else "without" if units == {"pixel"} else "some with"
    return f"{size_}, {types}, channels: {', '.join(map(str, channels))}, {unit} a size in mm"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
