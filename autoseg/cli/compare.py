"""autoseg compare"""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)
EPILOG = """\b
Examples:
  autoseg compare results/HandBone/default/2d-default results/HandBone/default/2d-sgd
  autoseg compare predictions/a predictions/b --json
"""


@click.command(name="compare", epilog=EPILOG)
@click.argument("run_a", type=PATH, metavar="RUN_A")
@click.argument("run_b", type=PATH, metavar="RUN_B")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def command(run_a: Path, run_b: Path, as_json: bool) -> None:
    """Compare two evaluated runs case by case: differences of Dice and surface Dice, with a Wilcoxon test.

    A run is a folder with a summary.json (from evaluate), or a run's folder with finished folds.
    """
    from autoseg.evaluate.compare import compare_runs

    found = compare_runs(run_a, run_b)
    if as_json:
        from autoseg.io.json_files import to_json

        click.echo(to_json(found), nl=False)
        return
    from autoseg.cli.scores import print_comparison

    print_comparison(found)
