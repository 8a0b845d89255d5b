"""autoseg train over several devices: a process for each fold, given to the next free device."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from autoseg.cli.progress import duration
from autoseg.cli.screen import name_of
from autoseg.io.interrupt import handling

if TYPE_CHECKING:
    import torch

    from autoseg.trainers import DeviceQueue, Job

#: Options that a fold's process gets from the queue, not from the command line.
OWN = ("device", "hours", "queued")


def side_by_side(context: click.Context, job: Job, devices: Sequence[torch.device]) -> int:
    """Train the job's folds on several devices with this command's options; the worst exit code.

    Ctrl-C and SIGTERM reach every process, each saves what it has, and no other fold is begun.
    """
    from autoseg.trainers import DeviceQueue

    def start(fold: str, device: str, hours: float | None) -> subprocess.Popen[bytes]:
        given = [] if hours is None else ["--hours", str(hours)]
        length = "" if hours is None else f", {duration(3600 * hours)}"
        click.echo(f"{device.partition(' ')[0]}: {name_of(fold)}{length}")
        command = [sys.executable, "-m", "autoseg", "train", context.params["config"], fold, *as_arguments(context), *given, "--queued"]
        return subprocess.Popen([*command, "--device", device.partition(" ")[0]])  # noqa: S603 - our own command, no shell

    runs = {fold: job.folder(fold) for fold in job.folds}
    queue = DeviceQueue(
        folds={fold: 0.0 if job.restart else run.time_spent().used_s for fold, run in runs.items()},
        finished=frozenset() if job.restart else frozenset(fold for fold, run in runs.items() if run.summary.is_file()),
        # A name each, even where tests name one device twice.
        devices=[f"{device} {place}" for place, device in enumerate(devices)],
        hours=job.hours,
        start=start,
        say=click.echo,
        begun=job.begun,
    )
    with _signals(queue) as asked:
        codes = queue.run()
    if queue.waiting and not asked:
        click.echo(f"Not begun: {', '.join(map(name_of, queue.waiting))}.", err=True)
    # A process that a signal killed has a negative code; a shell says 128 and the signal's number.
    worst = [128 - code if code < 0 else code for code in codes.values()]
    return max([*worst, *(128 + number for number in asked if queue.waiting)], default=0)


@contextmanager
def _signals(queue: DeviceQueue) -> Iterator[list[int]]:
    """Signals that came while the block ran. A terminal sends SIGINT to the folds' processes, too; SIGTERM is passed on."""
    asked: list[int] = []

    def handle(number: int, frame: object) -> None:
        asked.append(number)
        queue.stop(number, pass_on=number == signal.SIGTERM)

    with handling(handle):
        yield asked


def as_arguments(context: click.Context) -> list[str]:
    """The options of this call as they would be typed, those apart that the queue decides."""
    arguments: list[str] = []
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if not isinstance(parameter, click.Option) or parameter.name in OWN or value is None or value is False:
            continue
        name = max(parameter.opts, key=len)
        for one in value if isinstance(value, tuple) else (value,):
            arguments += [name] if one is True else [name, str(one)]
    return arguments
