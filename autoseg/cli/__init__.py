"""The command line. Handlers import what they need when they run, so that `autoseg --help` answers at once."""

from __future__ import annotations

import errno
import os
import signal
import sys

import click

from autoseg import __version__
from autoseg.cli.group import LazyGroup
from autoseg.errors import AutosegError
from autoseg.io.interrupt import NOTHING_LOST, listening

EPILOG = """\b
Examples, in a folder that holds raw/HandBone:
  autoseg plan_and_preprocess -d HandBone
  autoseg train 2d fold0..4
  autoseg predict --ensemble
"""


@click.group(
    cls=LazyGroup,
    commands_in={
        "check": ("autoseg.cli.check", "read every file of a data set and list what is wrong"),
        "plan_and_preprocess": ("autoseg.cli.plan", "measure a data set, decide everything, prepare the cases"),
        "train": ("autoseg.cli.train", "train and validate folds"),
        "plan": ("autoseg.cli.plans", "look at plans and compare them"),
        "predict": ("autoseg.cli.predict", "segment images with trained folds"),
        "export": ("autoseg.cli.export", "write trained nets as one file that predicts anywhere, or as ONNX"),
        "evaluate": ("autoseg.cli.evaluate", "score predictions against labels"),
        "select": ("autoseg.cli.select", "choose members, thresholds and post-processing for predict --ensemble"),
        "report": ("autoseg.cli.report", "one HTML file that shows data, plan, training, cases and scores"),
        "status": ("autoseg.cli.status", "what is done, running or failed, and what to type next"),
        "clean": ("autoseg.cli.clean", "delete what can be made again, after saying how much"),
        "info": ("autoseg.cli.info", "versions, devices, and the precision that each will use"),
        "completion": ("autoseg.cli.completion", "have the shell complete commands, options and names"),
        "compare": ("autoseg.cli.compare", "two evaluated runs, case by case"),
        "demo": ("autoseg.cli.demo", "a synthetic data set of hand X-rays, and its score"),
    },
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="autoseg")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Segment medical images with nothing to configure."""


NO_MEMORY_LEFT = (
    "the device ran out of memory; other programs may use it too (nvidia-smi lists them). What was saved is kept. Train with a smaller "
    "--batch, or plan for less: autoseg plan_and_preprocess --gpu-memory GIB."
)
NO_HOST_MEMORY_LEFT = (
    "this machine ran out of memory. What was finished is kept. Give the same command again with fewer --workers, or close other programs."
)


#: Set where the shell asks what it may offer at the tab key.
COMPLETES = "_AUTOSEG_COMPLETE"
#: How often one of torch's threads looks for work before it sleeps, see `share_cores`.
SPINS = "3000"


def share_cores() -> None:
    """Let torch's threads sleep soon where another program has one of their cores; what the environment says already stays.

    Notes
    -----
    Threads of GNU's OpenMP look for work 300,000 times before they sleep, and a thread that looks keeps the core from the one that all wait
    for. A step in 3D with two threads and another program on one of the two cores took 6.0 s, with 3,000 looks 0.89 s; with both cores free
    0.33 s either way; sleeping at once is slower (benchmarks/README.md, "Three dimensions"). Read when torch is imported.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = SPINS


def main() -> None:
    """The entry point: an AutosegError becomes one message and an exit code."""
    if sys.platform == "win32":
        click.echo("Error: autoseg runs on Linux and macOS; on Windows, install and run it in WSL (wsl --install).", err=True)
        sys.exit(2)
    # Typed before the command or, as one does after an error, at the end of the line.
    debug = "--debug" in sys.argv[1:]
    share_cores()
    if COMPLETES in os.environ:
        from autoseg.cli import completion  # noqa: F401 - makes its way of quoting known
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    asked = 0
    try:
        with listening() as interrupt, interrupt.as_by_keyboard():
            try:
                # A command's context.exit(code) comes back as a number, its ordinary end as None.
                code: object = cli.main(arguments, standalone_mode=False)
            finally:
                asked = interrupt.signal_number
        sys.exit(code if isinstance(code, int) else 0)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo(NOTHING_LOST, err=True)
        sys.exit(128 + (asked or signal.SIGINT))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except AutosegError as error:
        if debug:
            raise
        click.echo(f"{error.prefix}{error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read the output has enough (autoseg ... | head); Python would complain once more when it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if debug:
            raise
        click.echo(f"Error: {describe_os_error(error)}", err=True)
        sys.exit(2)
    except RuntimeError as error:
        if debug or not ran_out_of_memory(error):
            raise
        click.echo(f"Error: {NO_MEMORY_LEFT}", err=True)
        sys.exit(2)
    except MemoryError as error:
        if debug:
            raise
        click.echo(f"Error: {NO_HOST_MEMORY_LEFT} ({error})" if str(error) else f"Error: {NO_HOST_MEMORY_LEFT}", err=True)
        sys.exit(2)


def ran_out_of_memory(error: RuntimeError) -> bool:
    """`step.is_out_of_memory` where torch is at work; it is not imported for the sake of an error that is not its own."""
    if "torch" not in sys.modules:
        return False
    from autoseg.step import is_out_of_memory

    return is_out_of_memory(error)


def describe_os_error(error: OSError) -> str:
    """What the system refused, of which file, and what to do about it."""
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "Make room and run the same command again; what was finished is kept."
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.ENOENT):
        advice = "Check that it may be read and written, or use another folder (-w for the workspace, -o for predictions)."
    else:
        advice = "What was finished is kept; the same command goes on once this is mended."
    return f"{where}{error.strerror or error}. {advice}"
