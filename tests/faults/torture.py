"""Kills at random instants: python -m tests.faults.torture [--seed N] [--kills N]. Prints what each one interrupted."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.kills import LONG, torture


def main() -> None:
    """Kill a hundred times, or --kills times; ends with an error if anything was lost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=sum(kills for _, kills in LONG.values()), help="in all; at least one of each kind")
    given = parser.parse_args()
    begun = time.monotonic()
    total = sum(kills for _, kills in LONG.values())
    wanted = {kind: max(1, round(kills * given.kills / total)) for kind, (_, kills) in LONG.items()}
    with tempfile.TemporaryDirectory() as folder:
        log = torture(Path(folder), wanted, given.seed, lambda text: print(text, flush=True))
    for kind, doing in log.kills:
        print(f"  {kind:18} {doing}")
    counts = Counter(kind for kind, _ in log.kills)
    print("\n".join(f"{kind:18} {num}" for kind, num in counts.items()))
    print(f"{len(log.kills)} kills survived with seed {given.seed}, in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
