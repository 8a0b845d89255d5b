"""Depth, strides, kernels and widths of a U-Net for a patch: nnU-Net's rules for any number of axes."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.budget import Budget
from autoseg.plan import Network

#: No axis is pooled below this edge; a bottleneck of 4 x 4 still has a neighbourhood.
MIN_EDGE = 4
BASE_FEATURES = 32
MAX_FEATURES = {2: 512, 3: 320}
#: Axes whose spacing is at least this many times the finest are neither pooled nor convolved across.
COARSE_FACTOR = 2.0
#: Convolutions in each stage (nnU-Net).
CONVS = 2
#: Residual blocks of an encoder's stages, the last number for all that follow; its decoder has one convolution a stage (nnU-Net's ResEnc
#: presets, arXiv 2404.09556).
RESIDUAL_BLOCKS, RESIDUAL_CONVS = (1, 3, 4, 6), 1
#: Convolutions in each stage of the decoder of a net that a processor trains; the encoder keeps nnU-Net's two.
PROCESSOR_CONVS = 1


def pooling(patch: Sequence[int], spacing: Sequence[float]) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """Strides and kernels, an entry per stage, the finest first.

    Parameters
    ----------
    patch : sequence of int
        Desired edge lengths.
    spacing : sequence of float
        Of the same axes.

    Returns
    -------
    strides, kernels
        An axis is halved while its edge stays at least 4 and its spacing is within a factor of two of the finest axis; the
        kernel is 3 along an axis from the stage on at which its spacing is within that factor, 1 before.

    Examples
    --------
    >>> pooling((16, 16), (1.0, 1.0))
    (((1, 1), (2, 2), (2, 2)), ((3, 3), (3, 3), (3, 3)))
    """
    edges, steps = [float(p) for p in patch], [float(s) for s in spacing]
    strides = [(1,) * len(edges)]
    kernels = [_kernel(steps, (1,) * len(edges))]
    while True:
        poolable = [axis for axis, edge in enumerate(edges) if edge >= 2 * MIN_EDGE]
        if not poolable:
            break
        finest = min(steps[axis] for axis in poolable)
        chosen = {axis for axis in poolable if steps[axis] < COARSE_FACTOR * finest}
        stride = tuple(2 if axis in chosen else 1 for axis in range(len(edges)))
        edges = [edge / s for edge, s in zip(edges, stride, strict=True)]
        steps = [step * s for step, s in zip(steps, stride, strict=True)]
        strides.append(stride)
        kernels.append(_kernel(steps, kernels[-1]))
    return tuple(strides), tuple(kernels)


def _kernel(spacing: Sequence[float], before: Sequence[int]) -> tuple[int, ...]:
    finest = min(spacing)
    return tuple(3 if k == 3 or s < COARSE_FACTOR * finest else 1 for s, k in zip(spacing, before, strict=True))


def decide_decoder(budget: Budget, *, residual: bool) -> tuple[int | None, dict[str, str]]:
    """Convolutions in each stage of the decoder where they are others than the encoder's, and the reason under its field's name.

    On a processor the time of a step is what is short. One instead of two takes 13 to 23 % of it away; mean Dice at equal iterations
    changed by -0.0006 to +0.0026, in 2D and 3D (benchmarks/README.md, "A lighter decoder"). Trainings of a GPU's length are not measured:
    there it stays at nnU-Net's two. Decoders of residual nets have one anyway.
    """
    if budget.kind != "cpu" or residual:
        return None, {}
    why = f"{PROCESSOR_CONVS} in each stage of the decoder, fewer than nnU-Net's 2: a processor's steps are slow, and this shortens them"
    return PROCESSOR_CONVS, {"network.decoder_convs": why}


def unet(
    patch: Sequence[int],
    spacing: Sequence[float],
    *,
    in_channels: int,
    num_heads: int,
    residual: bool = False,
    decoder_convs: int | None = None,
) -> tuple[tuple[int, ...], Network]:
    """The net for a desired patch, and the patch rounded up to what the net can pool.

    Rounding up keeps the whole image in view: what is beyond its border is mirrored.
    """
    strides, kernels = pooling(patch, spacing)
    num_axes = len(strides[0])
    features = tuple(min(MAX_FEATURES[num_axes], BASE_FEATURES * 2**stage) for stage in range(len(strides)))
    if len(strides) < 2:
        # Nothing to pool: two stages at full resolution still make an encoder and a decoder.
        strides, kernels, features = (strides[0], strides[0]), (kernels[0], kernels[0]), (BASE_FEATURES, BASE_FEATURES)
    blocks = [RESIDUAL_BLOCKS[min(stage, len(RESIDUAL_BLOCKS) - 1)] for stage in range(len(features))] if residual else []
    network = Network(
        in_channels=in_channels,
        num_heads=num_heads,
        features=features,
        strides=strides,
        kernels=kernels,
        convs=RESIDUAL_CONVS if residual else CONVS,
        blocks=tuple(blocks),
        decoder_convs=decoder_convs,
    )
    rounded = tuple(-(-max(p, MIN_EDGE) // m) * m for p, m in zip(patch, network.multiple, strict=True))
    return rounded, network
