"""All that is measured on a GPU, in one command of less than eight minutes.

    python -m benchmarks.gpu                     # all parts; the tables go to $OUT, or to benchmarks/results
    python -m benchmarks.gpu steps memory        # these parts
    python -m benchmarks.gpu --as v100-32gb      # in 32 GB, fp16, without torch.compile
    python -m benchmarks.gpu --dry-run           # all the code on a CPU, at tiny sizes

Needs torch, numpy, scipy and a checkout, so that it runs on a bare machine; the GPU should have nothing else to do. Each part runs in a
process of its own for its share of the time, and writes gpu.json and gpu.md after every row: what fails or takes too long costs the others
nothing, and says so in its table.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.clock import Clock
from benchmarks.devices import Device, find_cuda
from benchmarks.page import Page, Table, provenance

TITLE = "Measured on a GPU"
NO_GPU = f"benchmarks.gpu measures on a CUDA device, and torch {torch.__version__} finds none here. --dry-run tries the code on a CPU."
MINUTES = 7.5
#: Seconds that a process needs to start and to end beside the time it is told to use; it is stopped after that.
START_S = 12.0
#: What a part has written to its table itself.
FAILED = "Failed; the command's output says why."


@dataclass(frozen=True, kw_only=True)
class Part:
    """A table.

    Parameters
    ----------
    module : str
        Has HEAD and rows(device, clock).
    share : float
        Of the time that is left for it and the parts after it.
    says : str
    """

    module: str
    share: float
    says: str


#: In the order in which they run; what one leaves of its time goes to the others.
PARTS: dict[str, Part] = {
    "smoke": Part(
        module="gpu_smoke",
        share=0.15,
        says="Whether all of it runs: each optimizer, loss and transform, prediction, memory that runs out, steps without a wait, "
        "deterministic kernels; beside a CPU's numbers where there are such.",
    ),
    "dtypes": Part(module="gpu_dtypes", share=0.08, says="What autocast returns, beside the table of `autoseg.memory.casts`."),
    "steps": Part(
        module="gpu_steps",
        share=0.36,
        says="One training step, data on the device: 29 overlapping classes, SGD. FLOPs are those of the convolutions; fp32 is TF32 from "
        "capability 8.0 on, as torch has it by default; the peak is the data sheet's (benchmarks/peaks.py).",
    ),
    "memory": Part(module="gpu_memory", share=0.3, says="GiB. Traced without a GPU, and what the real step takes."),
    "prediction": Part(
        module="gpu_prediction",
        share=0.3,
        says="A picture and a volume, 29 classes, from stored pixels to masks in the host's memory; accumulators on the device.",
    ),
    "training": Part(module="gpu_training", share=0.35, says="The whole loop: reading by two threads, augmentation, step."),
    "compile": Part(module="gpu_compile", share=1.0, says="The steps with torch.compile."),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; 2 without a GPU, 1 if a part failed."""
    given = _parser().parse_args(arguments)
    if not given.dry_run and not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 2
    page, clock = Page(folder=given.out.resolve(), name="gpu", title=TITLE), Clock(60 * given.minutes)
    if len(given.parts) == 1:
        return run_part(given.parts[0], Device if given.dry_run else lambda: find_cuda(given.like), clock, page)
    options = [f"--out={page.folder}", *(["--dry-run"] if given.dry_run else []), *([f"--as={given.like}"] if given.like else [])]
    failed = run_all(given.parts or list(PARTS), clock, options, page)
    print(f"written: {page.text} and {page.data.name}")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", type=_part, help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--out", type=Path, default=default_folder(), help="folder of the tables (default: $OUT, else benchmarks/results)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"for all parts together (default: {MINUTES})")
    parser.add_argument("--as", dest="like", choices=["v100-32gb"], help="use no more than this GPU has")
    parser.add_argument("--dry-run", action="store_true", help="on a CPU, at tiny sizes")
    return parser


def _part(text: str) -> str:
    if text not in PARTS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(PARTS)}")
    return text


def default_folder() -> Path:
    """$OUT, or results beside this file."""
    return Path(os.environ.get("OUT") or Path(__file__).with_name("results"))


def run_part(name: str, find: Callable[[], Device], clock: Clock, page: Page) -> int:
    """Measure a part in this process; 1 if it failed, which its table then says."""
    part = PARTS[name]
    table = Table(says=part.says, about=provenance("device unknown"))
    try:
        device = find()
        table.about = provenance(device.name)
        module = import_module(f"benchmarks.{part.module}")
        table.head = module.HEAD
        for row in module.rows(device, clock):
            table.rows.append(row)
            page.put(name, table)
            print(f"{name}: {' | '.join(row)}", flush=True)
    except Exception as error:
        traceback.print_exc()
        table.notes.append(f"Failed: {type(error).__name__}: {str(error).partition(chr(10))[0][:300]}")
    page.put(name, table)
    return 1 if table.notes else 0


def run_all(names: Sequence[str], clock: Clock, options: Sequence[str], page: Page) -> list[str]:
    """Each part in a process of its own; those that failed."""
    failed = []
    for number, name in enumerate(names, start=1):
        seconds = clock.left() * (PARTS[name].share if number < len(names) else 1.0)
        problem = run_apart(name, seconds, options)
        if problem:
            note(name, problem, page)
            failed.append(name)
    return failed


def run_apart(name: str, seconds: float, options: Sequence[str]) -> str:
    """Measure a part in another process, at most so long; what went wrong, empty if nothing did."""
    if seconds <= START_S:
        return "Skipped: no time left."
    command = [sys.executable, "-m", "benchmarks.gpu", name, f"--minutes={(seconds - START_S) / 60:.3f}", *options]
    # A session of its own, so that processes which the part has started end with it.
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1], start_new_session=True)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return f"Stopped after {seconds:.0f} s: its time was over."
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code < 0:
        return f"Ended by signal {-code}."
    return "" if code == 0 else FAILED


def note(name: str, problem: str, page: Page) -> None:
    """Write to a part's table what went wrong, unless it stands there."""
    table = page.tables().get(name) or Table(says=PARTS[name].says, about=provenance("not measured"))
    if problem != FAILED or not table.notes:
        table.notes.append(problem)
    page.put(name, table)


if __name__ == "__main__":
    sys.exit(main())
