"""What a fold leaves of its validation: the files, and the scores in them."""

import csv
from pathlib import Path

import numpy as np

from autoseg.cli import cli
from autoseg.evaluate import TABLE, load_summary
from autoseg.metrics.measure import MEASURES
from tests.trainers.make import NAME


def test_a_fold_is_measured_in_full_and_evaluate_agrees(workspace: Path) -> None:
    cli.main(["train", "2d", "fold0", "--epochs", "1", "--iterations-per-epoch", "30", "-w", str(workspace)], standalone_mode=False)
    fold = workspace / "results" / NAME / "default/2d-default/fold0"
    summary = load_summary(fold / "summary.json")
    assert tuple(summary.mean) == MEASURES
    assert summary.pooled is not None
    assert summary.pooled.num_cases == len(summary.cases) == 2
    assert summary.pooled.overall["dice"].mean == summary.mean["dice"]
    assert (summary.pooled.overall["dice"].n, summary.worst[0].case in summary.cases) == (2, True)
    with (fold / TABLE).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * 2
    assert {row["fold"] for row in rows} == {"0"}
    # The same scores from the files that it wrote.
    cli.main(["evaluate", str(fold), "-w", str(workspace), "-o", str(workspace / "again")], standalone_mode=False)
    again = load_summary(workspace / "again/summary.json")
    for case, classes in summary.cases.items():
        for name, scores in classes.items():
            for metric, value in scores.items():
                np.testing.assert_equal(again.cases[case][name][metric], value)
