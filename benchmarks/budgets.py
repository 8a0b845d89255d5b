"""The table of docs/memory.md: what is planned on 6 to 80 GB for four data sets, traced, with bounds by hand and the next larger choice.

python -m benchmarks.budgets            print the table
python -m benchmarks.budgets --golden   also write tests/planners/budgets.json, which the tests compare plans with
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from autoseg.budget import GIB
from autoseg.planners.search import FILL, Traces
from tests.planners.bounds import at_least, at_most
from tests.planners.budgets import BUDGETS_GIB, Row, rows
from tests.planners.sets import SETS

GOLDEN = Path(__file__).parents[1] / "tests/planners/budgets.json"
HEAD = "| GiB | stage | patch | batch | recomputed | traced GiB | fills | at least | at most | the next larger choice |"


def main() -> None:
    """Print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", action="store_true")
    given = parser.parse_args()
    traces: Traces = {}
    golden: list[dict[str, Any]] = []
    for data in SETS:
        print(f"\n**{data}**\n\n{HEAD}\n|{'---|' * 10}")
        for row in rows(data, BUDGETS_GIB, traces):
            print(line(row), flush=True)
            golden.append(entry(row))
    if given.golden:
        GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


def line(row: Row) -> str:
    """A row of the table."""
    stage = row.stage
    cells = [
        str(row.gib), stage.name, " x ".join(map(str, stage.patch)), str(stage.batch), str(stage.checkpointed_stages or "-"),
        f"{stage.memory.peak_bytes / GIB:.2f}", f"{row.fill:.0%}", f"{at_least(stage) / GIB:.1f}", f"{at_most(stage) / GIB:.1f}", why(row),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def why(row: Row) -> str:
    """Why the stage is not larger."""
    if row.capped:
        return "none: the whole image, and 5 % of the data set's pixels in a batch"
    return ", ".join(f"{name}: {share:.0%}" for name, share in row.larger.items())


def entry(row: Row) -> dict[str, Any]:
    """A golden row, with the reason for its numbers."""
    stage = row.stage
    reason = why(row) if row.capped else f"{why(row)}; {FILL:.0%} is the limit"
    return {
        "data": row.data, "gib": row.gib, "stage": stage.name, "patch": list(stage.patch), "batch": stage.batch,
        "checkpointed_stages": stage.checkpointed_stages, "peak_bytes": stage.memory.peak_bytes, "reason": reason,
    }  # fmt: skip


if __name__ == "__main__":
    main()
