"""How much memory is free: of the machine, and within the limit that a container or a batch job has."""

from __future__ import annotations

import sys
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

#: What a cgroup (version 2, then 1) may use and uses; files of the root of this process's own name space.
LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)
MEMINFO = "/proc/meminfo"
#: Share of what is free that workers are planned into: what else runs grows, too.
USABLE = 0.8


def free_bytes(root: Path = Path("/")) -> int | None:
    """Bytes that processes may still take: the machine's, or what is left to the cgroup if that is less; None where nothing says.

    Files read before and kept by the system do not count as used: it gives them back.
    """
    found = [free for free in (_machine(root), *(_cgroup(root, names) for names in LIMITS)) if free is not None]
    return min(found) if found else None


def peak_bytes() -> int:
    """The most memory that this process has ever held; 0 where the system does not tell."""
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def workers_that_fit(wanted: int, each_bytes: int, free: int | None) -> int:
    """At most `wanted` processes, as many as `USABLE` of the free memory holds, at least one.

    Examples
    --------
    >>> workers_that_fit(8, 2**30, 4 * 2**30), workers_that_fit(8, 2**30, None), workers_that_fit(8, 2**40, 2**30)
    (3, 8, 1)
    """
    if free is None or each_bytes <= 0:
        return wanted
    return max(1, min(wanted, int(USABLE * free) // each_bytes))


def _machine(root: Path) -> int | None:
    return _numbers(root / MEMINFO.lstrip("/"), 1024).get("MemAvailable")


def _cgroup(root: Path, names: tuple[str, str, str]) -> int | None:
    limit, used, stat = (root / name.lstrip("/") for name in names)
    try:
        bound, taken = int(limit.read_text(encoding="ascii")), int(used.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None  # no cgroup, or "max"
    numbers = _numbers(stat, 1)
    kept = numbers.get("total_inactive_file", numbers.get("inactive_file", 0))
    return max(0, bound - (taken - min(kept, taken)))


def _numbers(file: Path, unit: int) -> dict[str, int]:
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    words = [line.replace(":", " ").split() for line in lines]
    return {word[0]: unit * int(word[1]) for word in words if len(word) > 1 and word[1].isdigit()}
