"""Bounds of a training step's memory by hand, from the numbers of a net alone: what a trace must lie between.

For one sample in half precision. A stage of a U-Net holds feature maps of f channels and P pixels. Going down, each of its two convolutions
leaves its output (which the norm's backward needs) and the activation after it (which the next convolution's backward needs). Going up,
the upsampled map and the skip are joined (2 f), and two more convolutions leave as much as on the way down. Heads leave logits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from autoseg.memory import CUDA_CONTEXT_BYTES, CUDNN_WORKSPACE_BYTES
from autoseg.plan import Network, Stage

HALF, FULL = 2, 4


def levels(stage: Stage) -> Iterator[tuple[int, int]]:
    """Pixels of a batch and features, the finest first."""
    pixels = stage.batch * math.prod(stage.patch)
    for stride, features in zip(stage.network.strides, stage.network.features, strict=True):
        pixels //= math.prod(stride)
        yield pixels, features


def num_weights(network: Network) -> int:
    """Weights of the convolutions; norms and biases, a thousandth of them, are left out."""
    total, before = 0, network.in_channels
    for features, kernel in zip(network.features, network.kernels, strict=True):
        total += math.prod(kernel) * features * (before + (network.convs - 1) * features)
        before = features
    pairs = zip(network.features[:-1], network.features[1:], network.kernels[:-1], network.strides[1:], strict=True)
    for features, coarse, kernel, stride in pairs:
        total += math.prod(stride) * coarse * features  # transposed convolution
        total += math.prod(kernel) * features * (2 * features + (network.convs_up - 1) * features)
    return total


def at_least(stage: Stage) -> int:
    """Weights, gradients and momentum in fp32; the finest stage's maps on the way down and up, unless they are recomputed; its logits."""
    pixels, features = next(levels(stage))
    maps = (2 * stage.network.convs + 2 + 2 * stage.network.convs_up) * features if not stage.checkpointed_stages else 2 * features
    of_pixels = pixels * (maps * HALF + stage.network.num_heads * HALF)
    return 3 * FULL * num_weights(stage.network) + of_pixels + CUDA_CONTEXT_BYTES + CUDNN_WORKSPACE_BYTES


def at_most(stage: Stage) -> int:
    """Everything at once and nothing freed: AdamW's two states, half copies of the weights, all maps of all stages with the upsampled ones,
    one more set of the finest stage's maps for its gradients in fp32, and ten fp32 copies of every scale's heads in the loss."""
    total = (5 * FULL + HALF) * num_weights(stage.network)
    convs, up = stage.network.convs, stage.network.convs_up
    for level, (pixels, features) in enumerate(levels(stage)):
        total += pixels * (2 * convs + 3 + 2 * up) * features * HALF
        if level == 0:
            total += pixels * 6 * features * FULL
        total += pixels * 10 * stage.network.num_heads * FULL
    return total + CUDA_CONTEXT_BYTES + CUDNN_WORKSPACE_BYTES
