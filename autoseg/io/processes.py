"""Which process this is, and whether another one still runs: by number and start time, as numbers are given again."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

#: Place of the start time among the fields of /proc/PID/stat that follow the name (proc(5): field 22, the name is field 2).
START_FIELD = 22 - 3


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process of some machine.

    Parameters
    ----------
    host : str
    pid : int
    started : int
        Ticks from the machine's start to the process's; 0 where the system does not tell.
    machine : str
        Changes when the machine starts anew, and differs between containers that number their processes apart; "" where unknown.
    """

    host: str
    pid: int
    started: int = 0
    machine: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_process() -> Process:
    """The process that asks."""
    pid = os.getpid()
    return Process(host=platform.node(), pid=pid, started=start_ticks(pid), machine=machine())


def machine() -> str:
    """This start of this machine, and the space of process numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def start_ticks(pid: int) -> int:
    """When a process of this machine started; 0 if there is none, or the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The name stands in parentheses and may hold any sign, further parentheses among them.
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[START_FIELD])


def is_running(pid: int) -> bool:
    """True if this machine has a process of this number."""
    try:
        os.kill(pid, 0)  # asks, sends nothing
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def is_gone(process: Process) -> bool | None:
    """True if it has ended, False if it runs, None if that cannot be known from here: it is of another machine."""
    here = this_process()
    if process.host != here.host:
        return None
    if process.machine != here.machine:
        # The same machine started anew has none of its earlier processes; another container of it may run.
        return True if process.machine.partition(" ")[0] != here.machine.partition(" ")[0] else None
    return not is_running(process.pid) or start_ticks(process.pid) != process.started
