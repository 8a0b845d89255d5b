"""The largest patch that a short time allows, by measured steps."""

import math
from typing import Any

import pytest

from autoseg.plan import Stage
from autoseg.planners.candidates import smaller_patches
from autoseg.planners.duration import timed_iterations
from autoseg.planners.search import MIN_BATCH, Choice
from autoseg.planners.timing import within_time
from tests.planners.sets import whole


def timed(stage: Stage, fold_s: float, measure: Any, cap: int = MIN_BATCH) -> Choice:
    return within_time([stage, *smaller_patches(stage)], fold_s, measure, lambda candidate: cap, whole="the whole image")


def seconds(per_pixel: float, overhead: float = 0.0) -> Any:
    return lambda stage: overhead + per_pixel * stage.batch * math.prod(stage.patch)


@pytest.mark.parametrize("per_pixel", [1e-9, 3e-7, 1e-6, 5e-6, 1e-4])
@pytest.mark.parametrize("overhead", [0.0, 0.05])
def test_the_largest_patch_that_leaves_400_iterations(per_pixel: float, overhead: float) -> None:
    stage, measure, fold_s = whole((512, 512)), seconds(per_pixel, overhead), 100.0
    patches = [candidate.patch for candidate in (stage, *smaller_patches(stage))]
    enough = [p for p in patches if timed_iterations(fold_s, overhead + per_pixel * 2 * math.prod(p)) >= 400]
    expected = max(enough, key=math.prod, default=min(patches, key=math.prod))
    choice = timed(stage, fold_s, measure)
    assert choice.stage.patch == expected
    assert choice.stage.batch == MIN_BATCH
    assert choice.stage.step_s == measure(choice.stage)
    assert ("the whole image" in choice.reasons["patch"]) == (expected == stage.patch)


def test_what_is_far_too_large_is_never_measured() -> None:
    measured: list[int] = []

    def measure(stage: Stage) -> float:
        measured.append(math.prod(stage.patch))
        return 1e-6 * stage.batch * math.prod(stage.patch)

    timed(whole((2048, 2048)), 50.0, measure)
    assert max(measured) < 512 * 512


def test_samples_are_added_while_1500_iterations_are_left() -> None:
    # 900 s of steps; 1500 of them leave 0.6 s each: 4 samples of 0.131 s, not 8.
    choice = timed(whole((256, 256)), 1000.0, seconds(2e-6), 100)
    assert (choice.stage.patch, choice.stage.batch) == ((256, 256), 4)
    capped = timed(whole((256, 256)), 1000.0, seconds(2e-6), 3)
    assert capped.stage.batch == 2


@pytest.mark.parametrize(
    ("fold_s", "cap", "words"),
    [
        (100.0, 100, "2: the least; it leaves 343 iterations, and a larger one is taken only where it leaves 1,500"),
        (1000.0, 100, "4: twice as many would leave fewer than 1,500 iterations"),
        (1000.0, 3, "2: the data set and the memory do not allow twice as many"),
    ],
)
def test_the_reason_of_a_batch_is_true(fold_s: float, cap: int, words: str) -> None:
    stage = whole((256, 256))
    choice = within_time([stage], fold_s, seconds(2e-6), lambda candidate: cap, whole="the whole image")
    assert choice.reasons["batch"] == words
