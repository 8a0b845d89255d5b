"""The command line. Handlers import what they need when they run, so that `autoseg --help` answers at once."""

from __future__ import annotations

import sys

import click

from autoseg import __version__
from autoseg.cli.group import LazyGroup
from autoseg.errors import AutosegError

EPILOG = """\b
Examples, in a folder that holds raw/HandBone:
  autoseg plan_and_preprocess -d HandBone
  autoseg train 2d fold0..4
  autoseg predict --ensemble
"""


@click.group(
    cls=LazyGroup,
    commands_in={
        "plan_and_preprocess": ("autoseg.cli.plan", "measure a data set, decide everything, prepare the cases"),
        "train": ("autoseg.cli.train", "train and validate folds"),
        "predict": ("autoseg.cli.predict", "segment images with trained folds"),
        "demo": ("autoseg.cli.demo", "a synthetic data set of hand X-rays, and its score"),
    },
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="autoseg")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Segment medical images with nothing to configure."""
    context.obj = debug


def main() -> None:
    """The entry point: an AutosegError becomes one message and an exit code."""
    debug = "--debug" in sys.argv[1:]
    try:
        # A command's context.exit(code) comes back as a number, its ordinary end as None.
        code: object = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except AutosegError as error:
        if debug:
            raise
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
