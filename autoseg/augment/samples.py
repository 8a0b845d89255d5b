"""From crops of cases to a batch on the device: normalise, warp, flip, then the intensity transforms.

In a cascade the previous stage's K probabilities follow the image's channels; they are warped and flipped along, and nothing else of
what happens to the image happens to them.

Shapes: N samples, C channels of the image, S codes, K classes, P the patch's axes, B the axes of the source box that a sample reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.augment.draws import SampleDraw
from autoseg.augment.intensity import augment_intensity_
from autoseg.augment.normalization import Intensity
from autoseg.augment.pinned import to_device
from autoseg.augment.previous import previous_channels
from autoseg.augment.warp import flip_and_warp


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """What one forward pass sees.

    Parameters
    ----------
    images : fp32 Tensor, (N, C, P), or (N, C + K, P) in a cascade
        Normalised and augmented; the previous stage's probabilities in [0, 1].
    codes : int32 Tensor, (N, P)
    table : bool Tensor, (N, S, K)
        Padded to the largest of the batch.
    ignore : bool Tensor, (N, S), or None if nothing is unlabelled
    """

    images: Tensor
    codes: Tensor
    table: Tensor
    ignore: Tensor | None


@dataclass(frozen=True, kw_only=True, eq=False)
class RawSample:
    """A crop as a worker cut it, and what is to be done to it.

    Parameters
    ----------
    image : array (C, B), the stored dtype
    codes : array (B), uint8 or uint16
    table : array (S, K), bool
    ignore : array (S,), bool
    intensity : Intensity
        Of the sample's case.
    draw : SampleDraw
    centre : tuple of float
        Position of the patch's centre inside the box.
    previous : array (K, B), uint8, or None
        255 times the previous stage's probabilities, in a cascade.
    """

    image: NDArray[Any]
    codes: NDArray[Any]
    table: NDArray[np.bool_]
    ignore: NDArray[np.bool_]
    intensity: Intensity
    draw: SampleDraw
    centre: tuple[float, ...]
    previous: NDArray[np.uint8] | None = None


def make_batch(samples: Sequence[RawSample], patch: tuple[int, ...], *, device: torch.device, swap: tuple[int, ...] = ()) -> Batch:
    """Augmented batch on the device.

    Parameters
    ----------
    samples : sequence of RawSample
    patch : tuple of int
        P.
    device : torch.device
    swap : tuple of int
        The class whose place each class takes when an odd number of axes is flipped; empty: none change.
    """
    first = samples[0]
    num = len(first.image)
    channels = num + (0 if first.previous is None else len(first.previous))
    # Filled in place: a list of samples and their stack would be twice the memory, which with the previous channels counts.
    images = torch.empty((len(samples), channels, *patch), device=device)
    codes = torch.empty((len(samples), *patch), dtype=torch.int32, device=device)
    for sample, image_out, codes_out in zip(samples, images, codes, strict=True):
        _fill(sample, image_out[:num], codes_out)
        augment_intensity_(image_out[:num], sample.draw, sample.intensity)
        if sample.previous is not None:
            stored = to_device(_transferable(sample.previous), device)
            previous_channels(stored, sample.draw, patch, sample.centre, swap=swap, out=image_out[num:])
    table, ignore = _tables(samples, swap)
    has_ignored = bool(ignore.any())
    return Batch(
        images=images,
        codes=codes,
        table=to_device(torch.from_numpy(table), device),
        ignore=to_device(torch.from_numpy(ignore), device) if has_ignored else None,
    )


def _fill(sample: RawSample, image_out: Tensor, codes_out: Tensor) -> None:
    """Move a sample to the device and into its places in the batch, warped, flipped and clipped, in the stored units."""
    device = image_out.device
    image = to_device(_transferable(sample.image), device)
    codes = to_device(_transferable(sample.codes), device)
    if sample.draw.is_warped:
        image = image.to(torch.float32, copy=sample.intensity.clips)
        # Before pixels are mixed: what lies outside the limits is no grey value.
        sample.intensity.clip_(image)
    flip_and_warp(image, codes, sample.draw, sample.centre, image_out=image_out, codes_out=codes_out)
    if not sample.draw.is_warped:
        sample.intensity.clip_(image_out)


def _transferable(array: NDArray[Any]) -> Tensor:
    # torch computes little with unsigned integers above 8 bit; int32 holds uint16. The narrow dtypes travel as they are.
    if array.dtype == np.uint16:
        array = array.astype(np.int32)
    elif array.dtype == np.uint32 or array.dtype.kind not in "iuf":
        array = array.astype(np.float64 if array.dtype == np.uint32 else np.float32)
    return torch.from_numpy(np.ascontiguousarray(array))


def _tables(samples: Sequence[RawSample], swap: tuple[int, ...]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    sets = max(len(s.table) for s in samples)
    num_classes = samples[0].table.shape[1]
    table = np.zeros((len(samples), sets, num_classes), np.bool_)
    ignore = np.zeros((len(samples), sets), np.bool_)
    for i, sample in enumerate(samples):
        # Flipping an odd number of axes turns a left hand into a right one: where classes have sides they change names.
        mirrored = bool(swap) and len(sample.draw.flips) % 2 == 1
        table[i, : len(sample.table)] = sample.table[:, list(swap)] if mirrored else sample.table
        ignore[i, : len(sample.ignore)] = sample.ignore
    return table, ignore
