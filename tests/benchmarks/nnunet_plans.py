"""What nnU-Net's planner writes, as far as the benchmarks read it."""

from __future__ import annotations

from typing import Any


def nnunet_plans(**changes: Any) -> dict[str, Any]:
    """What nnU-Net's planner would write of the net and patch of tests/small.py."""
    net = {
        "features_per_stage": [4, 8, 12],
        "strides": [[1, 1], [2, 2], [2, 2]],
        "kernel_sizes": [[3, 3]] * 3,
        "n_conv_per_stage": [1] * 3,
        "n_conv_per_stage_decoder": [1] * 2,
    }
    sizes: dict[str, Any] = {"patch_size": [16, 16], "batch_size": 2}
    given = {name: value for name, value in changes.items() if name in sizes}
    architecture = {"arch_kwargs": net | {name: value for name, value in changes.items() if name not in sizes}}
    return {"configurations": {"2d": sizes | given | {"architecture": architecture}}}
