"""Seconds until `autoseg --help` and `import autoseg` answer, medians of whole processes.

Usage: python -m benchmarks.startup
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 15
COMMANDS = {
    "autoseg --help": [sys.executable, "-m", "autoseg", "--help"],
    "import autoseg": [sys.executable, "-c", "import autoseg"],
    "python -c pass": [sys.executable, "-c", "pass"],
}


def main() -> None:
    """Print a line per command."""
    for name, command in COMMANDS.items():
        times = []
        for _ in range(RUNS + 1):
            begin = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times.append(time.perf_counter() - begin)
        print(f"{name:16} {statistics.median(times[1:]):.3f} s (of {RUNS} runs)")


if __name__ == "__main__":
    main()
