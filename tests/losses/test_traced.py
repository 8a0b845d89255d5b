"""What each loss costs in memory is traced as torch's allocator hands it out, within 5 %: no loss asks the data what to do."""

from dataclasses import replace

import pytest

from autoseg.losses import LOSSES
from autoseg.memory import trace_step
from autoseg.recipe import LOSS_FOR, LossName
from tests.memory.allocations import allocated_peak, stage


@pytest.mark.parametrize("name", LOSSES)
def test_the_trace_is_what_the_allocator_hands_out(name: LossName) -> None:
    # Weights of classes cost most in a softmax.
    exclusive = LOSS_FOR.get(name, True)
    given = stage(classes=3, exclusive=exclusive, patch=(64, 64))
    given = replace(given, recipe=replace(given.recipe, loss=name, loss_weights={"any": 2.0}))
    traced = trace_step(given, exclusive=exclusive, precision="fp32", device_type="cpu", has_ignore=True).peak
    assert traced == pytest.approx(allocated_peak(given, exclusive=exclusive, has_ignore=True), rel=0.05)
