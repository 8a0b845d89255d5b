"""The traced peak against what torch's allocator hands out for the same augmentation and step on this processor, within 5 %."""

from typing import Any

import pytest
import torch

from autoseg.memory import trace_step
from autoseg.recipe import STRONG_AUGMENTATION, Augmentation
from tests import small
from tests.memory.allocations import allocated_peak, stage

BF16 = {"precision": "bf16"}
SGD = small.recipe(optimizer="sgd", augmentation=Augmentation())
STRONG = small.recipe(augmentation=STRONG_AUGMENTATION)

#: What the stage is, and how it is trained.
CONFIGURATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "patch": ({"patch": (128, 128)}, {}),
    "long patch, one sample": ({"patch": (96, 160), "batch": 1}, {}),
    "batch": ({"patch": (96, 96), "batch": 4}, {}),
    "sgd": ({"patch": (128, 128), "recipe": SGD}, {}),
    "29 classes": ({"patch": (128, 128), "classes": 29}, {}),
    "exclusive": ({"patch": (128, 128), "exclusive": True}, {}),
    "30 heads, exclusive": ({"patch": (128, 128), "classes": 29, "exclusive": True}, {}),
    "ignore": ({"patch": (128, 128), "classes": 20}, {"has_ignore": True}),
    "ignore, exclusive": ({"patch": (128, 128), "classes": 20, "exclusive": True}, {"has_ignore": True}),
    "colour": ({"patch": (128, 128), "channels": 3}, {}),
    "strong augmentation": ({"patch": (128, 128), "recipe": STRONG}, {}),
    "cascade": ({"patch": (128, 128), "classes": 6, "channels": 7, "previous": "2d_lowres"}, {}),
    "checkpointing": ({"patch": (128, 128), "batch": 4, "checkpointed_stages": 2}, {}),
    "accumulation": ({"patch": (128, 128), "batch": 4}, {"micro_batch": 2}),
    "amp": ({"patch": (128, 128)}, BF16),
    "amp, one sample": ({"patch": (128, 128), "batch": 1}, BF16),
    "amp, 29 classes": ({"patch": (128, 128), "classes": 29}, BF16),
    "amp, colour": ({"patch": (128, 128), "channels": 3}, BF16),
    "amp, checkpointing": ({"patch": (128, 128), "batch": 4, "checkpointed_stages": 2}, BF16),
    "amp, uneven accumulation": ({"patch": (128, 128), "batch": 3}, {"micro_batch": 2, **BF16}),
    "residual": ({"patch": (128, 128), "blocks": (1, 2, 2)}, {}),
    "residual, amp": ({"patch": (128, 128), "blocks": (1, 2, 2)}, BF16),
    "3 axes, residual, amp": ({"axes": 3, "patch": (32, 32, 32), "blocks": (1, 2, 2)}, BF16),
    "3 axes": ({"axes": 3, "patch": (32, 32, 32)}, {}),
    "3 axes, strong augmentation": ({"axes": 3, "patch": (32, 32, 32), "recipe": STRONG}, {}),
    "3 axes, exclusive": ({"axes": 3, "patch": (32, 32, 32), "classes": 6, "exclusive": True}, {}),
    "3 axes, one sample at a time": ({"axes": 3, "patch": (32, 32, 32)}, {"micro_batch": 1}),
    "3 axes, amp": ({"axes": 3, "patch": (32, 32, 32)}, BF16),
    "3 axes, amp, checkpointing": ({"axes": 3, "patch": (24, 32, 32), "checkpointed_stages": 1}, BF16),
}


#: Those that the others nearly stand for.
LEFT_TO_THE_SLOW_RUN = {
    "sgd", "exclusive", "ignore, exclusive", "amp, colour", "amp, uneven accumulation", "3 axes, exclusive", "residual",
    "residual, amp",
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LEFT_TO_THE_SLOW_RUN else name for name in CONFIGURATIONS]
)
def test_the_trace_is_what_the_allocator_hands_out(name: str) -> None:
    built, trained = CONFIGURATIONS[name]
    options = {"precision": "fp32", **trained}
    if options["precision"] == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor does not multiply bf16")
    exclusive = built.get("exclusive", False)
    given = stage(**{"axes": 2, **built})
    traced = trace_step(given, exclusive=exclusive, device_type="cpu", **options).peak
    assert traced == pytest.approx(allocated_peak(given, exclusive=exclusive, **options), rel=0.05)
