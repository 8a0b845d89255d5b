"""The cascade's benchmark: what its table says, and as a slow test the whole of it at a small size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.evaluate import Summary, evaluate_case, summarise
from autoseg.labels import encode_masks
from autoseg.workspace import Workspace
from benchmarks.cascade import ARMS, CASCADE, FULL, LOW, Size, run, scores, summary_mean, table
from benchmarks.far_marks import CLASSES
from benchmarks.side_by_side import Bench


def summary(*shared: int) -> Summary:
    """Of one case with ten pixels a class, of which so many are found, and none besides."""
    truth = [np.arange(40) // 10 == k for k in range(2)]
    masks = [mask & (np.arange(40) % 10 < n) for mask, n in zip(truth, shared, strict=True)]
    return summarise([evaluate_case("a", masks, encode_masks(truth, (40,)))], CLASSES)


def test_the_table_compares_with_full_resolution_alone() -> None:
    # Ten of ten found: 1; five: 10 / 15.
    right, half, nothing = summary(10, 10), summary(5, 5), summary(0, 0)
    seeds = [
        {FULL: half, LOW: nothing, CASCADE: right, "blind": nothing},
        {FULL: nothing, LOW: nothing, CASCADE: summary(10, 5), "blind": nothing},
    ]
    lines = table(seeds).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == list(ARMS)
    assert lines[1].split() == [FULL, "0.333", "0.667,", "0.000", "0.333", "0.333"]
    assert lines[3].split() == [CASCADE, "0.917", "1.000,", "0.833", "1.000", "0.833"]
    assert lines[5] == f"{CASCADE} - {FULL}: +58.3 points in the median, +33.3 at least"
    assert lines[6] == f"blind - {FULL}: -33.3 points in the median, -66.7 at least"


@pytest.mark.slow
def test_a_cascade_gains_ten_points_and_loses_them_when_blind(tmp_path: Path) -> None:
    bench = Bench(place=Workspace(root=tmp_path))
    run(bench, 0, Size(train=16, test=6, iterations=400, folds=2))
    dice = {arm: summary_mean(found) for arm, found in scores(bench.place, 0).items()}
    assert dice[CASCADE] > dice[FULL] + 0.1
    assert dice[CASCADE] > dice[LOW] + 0.1
    assert dice["blind"] < dice[FULL] + 0.1
