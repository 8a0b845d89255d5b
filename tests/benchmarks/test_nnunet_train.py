"""What is set in nnU-Net's plans, without nnU-Net."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.nnunet_train import settle, transposed


def topology(spacing: list[float], patch: list[int], shortest: int, most: int) -> tuple[Any, ...]:
    """Halves both axes while the shorter one stays at least `shortest`, as nnU-Net's rule does for equal spacings."""
    levels, edge = 0, min(patch)
    while edge >= 2 * shortest and levels < most:
        levels, edge = levels + 1, -(-edge // 2)
    padded = [-(-size // (1 << levels)) * (1 << levels) for size in patch]
    strides = ((1,) * len(spacing), *((2,) * len(spacing),) * levels)
    return [levels] * len(spacing), strides, ((3, 3),) * (levels + 1), tuple(padded), None


def configuration() -> dict[str, Any]:
    """What matters of a 2D configuration of nnU-Net's plans."""
    return {
        "spacing": [1.0, 1.0],
        "patch_size": [256, 320],
        "batch_size": 5,
        "architecture": {"arch_kwargs": {"n_stages": 7, "conv_bias": True}},
    }


def test_patch_brings_its_net() -> None:
    changed = configuration()
    settle(changed, [128, 128], 4, topology)
    net = changed["architecture"]["arch_kwargs"]
    assert (changed["patch_size"], changed["batch_size"]) == ([128, 128], 4)
    # 128 can be halved five times before it is shorter than 4: six stages.
    assert net["n_stages"] == len(net["strides"]) == len(net["kernel_sizes"]) == 6
    assert net["features_per_stage"] == [32, 64, 128, 256, 512, 512]
    assert net["n_conv_per_stage"] == [2] * 6
    assert net["n_conv_per_stage_decoder"] == [2] * 5
    assert net["conv_bias"]


def test_patch_that_would_be_padded_is_refused() -> None:
    changed = configuration()
    with pytest.raises(ValueError, match=r"pad the patch \[41, 56\] to \[48, 56\]"):
        settle(changed, [41, 56], 8, topology)
    assert changed == configuration()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_across_an_axis_and_back(axis: int) -> None:
    volume = np.zeros((2, 3, 5))
    fields = transposed(axis)
    turned = volume.transpose(fields["transpose_forward"])
    assert turned.shape == (volume.shape[axis], *np.delete(volume.shape, axis))
    assert turned.transpose(fields["transpose_backward"]).shape == volume.shape
