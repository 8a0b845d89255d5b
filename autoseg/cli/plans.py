"""autoseg plan show, list, diff, schema: plans as tables. (plan_and_preprocess, which makes them, is in plan.py.)"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoseg.cli.options import dataset_option, load_plan, workspace_option
from autoseg.errors import UsageError

if TYPE_CHECKING:
    from autoseg.plan import Plan
    from autoseg.workspace import Workspace

GIB = 1024**3

EPILOG = """\b
Examples:
  autoseg plan show                       the data set's plan, with its reasons
  autoseg plan show HandBone_v100-32gb    one that comes with autoseg
  autoseg plan list
  autoseg plan diff default small         what two plans decide differently
  autoseg plan schema -o plan.schema.json
"""


@click.group(name="plan", epilog=EPILOG)
def command() -> None:
    """Look at plans, which plan_and_preprocess makes, and compare them."""


@command.command(name="show", short_help="A plan as a table, with the reasons.", epilog=EPILOG)
@click.argument("name", metavar="[NAME]", default="default")
@dataset_option
@workspace_option
@click.option("--json", "as_json", is_flag=True, help="Print the file instead.")
def show(name: str, dataset: str | None, workspace: Path, as_json: bool) -> None:
    """Print a plan: one of the data set's, a file, or one that comes with autoseg."""
    from autoseg.cli.tables import plan_lines
    from autoseg.io.json_files import to_json

    plan, source = find(name, workspace, dataset)
    if as_json:
        click.echo(to_json(plan), nl=False)
        return
    click.echo(f"Plan {plan.name} of {plan.dataset} ({source})")
    for line in plan_lines(plan):
        click.echo(line)


@command.command(name="list", short_help="The plans that there are.", epilog=EPILOG)
@dataset_option
@workspace_option
def list_(dataset: str | None, workspace: Path) -> None:
    """List the data set's plans and those that come with autoseg: name, budget, and each stage's patch, batch and memory."""
    from autoseg.cli.tables import grid, stage_summary
    from autoseg.errors import AutosegError, FileFormatError
    from autoseg.experiment_plans import load_plan as load_shipped
    from autoseg.experiment_plans import names

    rows: list[tuple[str, ...]] = []

    def add(label: str, plan: Plan) -> None:
        for k, stage in enumerate(plan.stages.values()):
            rows.append((*((label, plan.budget.name) if k == 0 else ("", "")), *stage_summary(stage)))

    try:
        place, folder, sentence = choose(workspace, dataset)
    except UsageError as error:
        if dataset is not None:
            raise
        click.echo(f"{error} Plans that come with autoseg:")
    else:
        click.echo(f"{sentence[0].upper()}{sentence[1:]}")
        for file in place.plan_files(folder.name):
            try:
                add(file.stem, load_plan(file))
            except (FileFormatError, AutosegError) as error:
                rows.append((file.stem, str(error).splitlines()[0], "", "", "", ""))
    for shipped in names():
        add(f"{shipped} (comes with autoseg)", load_shipped(shipped))
    for line in grid([("plan", "budget", "stage", "patch", "batch", "memory"), *rows]):
        click.echo(line)


@command.command(name="diff", short_help="What two plans decide differently.", epilog=EPILOG)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@dataset_option
@workspace_option
@click.option("--reasons", is_flag=True, help="Compare the sentences of the reasons too.")
def diff(first: str, second: str, dataset: str | None, workspace: Path, reasons: bool) -> None:
    """Print a line for each field in which two plans differ. Their names are left out; the exit code is 0 either way."""
    from autoseg.cli.tables import differences

    (a, source_a), (b, source_b) = find(first, workspace, dataset), find(second, workspace, dataset)
    click.echo(f"A: {source_a}\nB: {source_b}")
    lines = differences(a, b, reasons=reasons)
    for line in lines:
        click.echo(line)
    if not lines:
        click.echo(
            "Both plans decide the same." + ("" if reasons or not differences(a, b, reasons=True) else " Their reasons differ (--reasons).")
        )


@command.command(name="schema", short_help="The JSON schema of a plan's file.", epilog=EPILOG)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write it there.  [default: print it]"
)
def schema(output: Path | None) -> None:
    """Print the JSON schema of plan files, with a description of each field, for editors that check while one types."""
    import json

    from autoseg.io.atomic import write_text
    from autoseg.io.schema import json_schema
    from autoseg.plan import Plan

    text = json.dumps(json_schema(Plan), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        write_text(output, text)
        click.echo(f"Schema: {output}")


def find(name: str, workspace: Path, dataset: str | None) -> tuple[Plan, str]:
    """The plan that a person means, and where it is from.

    Parameters
    ----------
    name : str
        Of one of the data set's plans, of one that comes with autoseg, or a file (.json).
    workspace, dataset
        As typed after -w and -d.

    Raises
    ------
    UsageError
        If there is no such plan; the message lists those that there are.
    """
    from autoseg.experiment_plans import load_plan as load_shipped
    from autoseg.experiment_plans import names

    if name.endswith(".json"):
        return load_plan(Path(name)), name
    try:
        place, folder, _ = choose(workspace, dataset)
    except UsageError as error:
        if name not in names():
            raise UsageError(f"{error} Of the plans that come with autoseg ({', '.join(names())}) none is called {name}.") from None
        return load_shipped(name), "comes with autoseg"
    files = {file.stem: file for file in place.plan_files(folder.name)}
    if name in files:
        return load_plan(files[name]), str(files[name])
    if name in names():
        return load_shipped(name), "comes with autoseg"
    has = ", ".join(files) or f"none yet (autoseg plan_and_preprocess{place.options(folder)} makes one)"
    there = f"{folder.name} has {has}"
    raise UsageError(f"there is no plan {name}: {there}; with autoseg come {', '.join(names())}; a file's name ends in .json.")


def choose(workspace: Path, dataset: str | None) -> tuple[Workspace, Path, str]:
    """The workspace, the data set's folder and the sentence that says which; its plans suffice, the data need not be here."""
    from autoseg.workspace import Workspace

    place = Workspace(root=workspace)
    if dataset and dataset not in place.raw_names() and place.preprocessed(dataset).is_dir():
        return place, place.raw / dataset, f"data set {dataset} (its plans; the data themselves are not here)"
    folder, sentence = place.resolve(dataset)
    return place, folder, sentence
