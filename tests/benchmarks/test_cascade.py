"""The cascade's benchmark: what is planned, and what its table says."""

from __future__ import annotations

import numpy as np

from autoseg.evaluate import Summary, evaluate_case, summarise
from autoseg.labels import encode_masks
from benchmarks.cascade import ARMS, CASCADE, FULL, LOW, Size, options, table
from benchmarks.far_marks import CLASSES


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


def test_all_three_stages_get_the_same_net_batch_and_length() -> None:
    texts = options(Size(iterations=7, batch=3, features=(8, 16)))[3::2]
    for config in (FULL, LOW, CASCADE):
        own = {text.removeprefix(f"{config}.") for text in texts if text.startswith(f"{config}.")}
        assert own >= {"network.features=8,16", "batch=3", "iterations=7"}
        assert len(own) == (5 if config == LOW else 3)  # the first stage's grid besides
