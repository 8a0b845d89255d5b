"""The previous stage's channels in a batch: where the image's pixels go they go, and nothing else of the image's fate touches them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.augment import RawSample, draw_sample, make_batch, sample_rng, source_box
from autoseg.augment.draws import Operation
from autoseg.augment.previous import reshape
from autoseg.recipe import Augmentation
from tests import small

CLASSES = 3


def random_bytes(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (CLASSES, *shape), dtype=np.uint8)


def channels(sample: RawSample, patch: tuple[int, ...], swap: tuple[int, ...] = ()) -> NDArray[np.float32]:
    """What the net sees behind the image of a sample."""
    images = make_batch([sample], patch, device=small.CPU, swap=swap).images
    assert images.shape == (1, 1 + CLASSES, *patch)
    return images[0, 1:].numpy()


def test_bytes_become_probabilities_behind_the_image() -> None:
    previous = random_bytes((16, 16))
    sample = small.sample(classes=CLASSES, previous=previous)
    np.testing.assert_allclose(channels(sample, (16, 16)), previous / 255, atol=1e-7)
    alone = make_batch([replace(sample, previous=None)], (16, 16), device=small.CPU).images
    assert torch.equal(make_batch([sample], (16, 16), device=small.CPU).images[:, :1], alone)


@pytest.mark.parametrize(("flips", "swapped"), [((), False), ((0,), True), ((1,), True), ((0, 1), False), ((0, 1, 2), True)])
def test_classes_change_places_in_the_mirror(flips: tuple[int, ...], swapped: bool) -> None:
    shape = (4, 4, 4) if 2 in flips else (4, 6)
    previous = random_bytes(shape)
    sample = small.sample(shape, classes=CLASSES, previous=previous, draw=small.neutral(flips=flips))
    flipped = np.flip(previous / 255, tuple(axis + 1 for axis in flips))
    np.testing.assert_allclose(channels(sample, shape, swap=(2, 1, 0)), flipped[::-1] if swapped else flipped, atol=1e-7)
    np.testing.assert_allclose(channels(sample, shape), flipped, atol=1e-7)


#: What changes grey values and moves none.
INTENSITY = [f"{name}_p" for name in ("noise", "blur", "brightness", "contrast", "lowres", "gamma", "gamma_inverted", "clahe", "dropout")]


def drawn(index: int, axes: int = 2, **changes: Any) -> RawSample:
    """A sample with everything on but what `changes` says, from a box of its own size."""
    patch = (12,) * axes
    names = ["rotation", "scaling", "noise", "blur", "brightness", "contrast", "lowres", "gamma", "previous_morphology", "previous_removal"]
    names += ["elastic", "grid_distortion", "clahe", "dropout"]
    given: dict[str, Any] = {f"{name}_p": 1.0 for name in names} | changes
    draw = draw_sample(
        sample_rng(0, "0", 5, index), Augmentation(**given), num_channels=1, num_axes=axes, mirror_axes=(0, 1), rotation=90,
        num_previous=CLASSES,
    )  # fmt: skip
    box = source_box((0,) * axes, patch, draw)
    shape = tuple(b - a for a, b in zip(box.start, box.stop, strict=True))
    return small.sample(shape, seed=index, classes=CLASSES, draw=draw, centre=box.centre, previous=random_bytes(shape, seed=index))


@pytest.mark.parametrize("axes", [2, 3])
def test_what_happens_to_intensities_does_not_happen_to_them(axes: int) -> None:
    off = dict.fromkeys(INTENSITY, 0.0)
    for index in range(4):
        everything, geometry = drawn(index, axes), drawn(index, axes, **off)
        np.testing.assert_array_equal(channels(everything, (12,) * axes), channels(geometry, (12,) * axes))


@pytest.mark.parametrize("axes", [2, 3])
def test_they_are_warped_as_the_image_is(axes: int) -> None:
    alone: dict[str, Any] = dict.fromkeys((*INTENSITY, "previous_morphology_p", "previous_removal_p"), 0.0)
    sample = drawn(1, axes, **alone)
    assert sample.previous is not None
    batch = make_batch([replace(sample, image=sample.previous[:1])], (12,) * axes, device=small.CPU)
    torch.testing.assert_close(batch.images[0, 1], batch.images[0, 0] / 255, rtol=0, atol=1e-6)


@pytest.mark.parametrize("axes", [2, 3])
def test_splitting_a_batch_changes_nothing(axes: int) -> None:
    samples, patch = [drawn(index, axes) for index in range(4)], (12,) * axes
    whole = make_batch(samples, patch, device=small.CPU, swap=(1, 0, 2))
    parts = [make_batch(samples[a:b], patch, device=small.CPU, swap=(1, 0, 2)) for a, b in ((0, 1), (1, 4))]
    assert torch.equal(torch.cat([part.images for part in parts]), whole.images)


@pytest.mark.parametrize("shape", [(20, 13), (9, 11, 7)])
@pytest.mark.parametrize("radius", [1, 2, 5, 8])
def test_shapes_change_as_in_scipy(shape: tuple[int, ...], radius: int) -> None:
    x = np.random.default_rng(0).random(shape).astype(np.float32)
    size = (2 * radius + 1,) * len(shape)

    def dilate(a: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(ndimage.maximum_filter(a, size, mode="constant", cval=-1.0))

    def erode(a: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(ndimage.minimum_filter(a, size, mode="constant", cval=2.0))

    expected: dict[Operation, NDArray[np.float32]] = {
        "dilation": dilate(x), "erosion": erode(x), "opening": dilate(erode(x)), "closing": erode(dilate(x)),
    }  # fmt: skip
    for operation, values in expected.items():
        np.testing.assert_array_equal(reshape(torch.from_numpy(x), operation, radius).numpy(), values)


@pytest.mark.parametrize("operation", ["erosion", "dilation", "opening", "closing"])
def test_slices_across_a_coarse_axis_are_changed_one_by_one(operation: Operation) -> None:
    x = torch.from_numpy(np.random.default_rng(0).random((4, 9, 7)).astype(np.float32))
    whole = reshape(x, operation, 2, coarse=0)
    assert torch.equal(whole, torch.stack([reshape(part, operation, 2) for part in x]))
    assert torch.equal(reshape(x.movedim(0, 1), operation, 2, coarse=1), whole.movedim(0, 1))


def test_only_the_drawn_classes_change() -> None:
    previous = random_bytes((16, 16))
    draw = small.neutral(previous_morphology=((0, "dilation", 2),))
    got = channels(small.sample(classes=CLASSES, previous=previous, draw=draw), (16, 16))
    np.testing.assert_allclose(got[0], ndimage.maximum_filter(previous[0] / 255, 5, mode="nearest"), atol=1e-7)
    np.testing.assert_allclose(got[1:], previous[1:] / 255, atol=1e-7)


def test_the_coarse_axis_is_the_draws() -> None:
    previous = random_bytes((4, 12, 12))
    draw = small.neutral(previous_morphology=((1, "erosion", 1),), coarse_axis=0)
    got = channels(small.sample((4, 12, 12), classes=CLASSES, previous=previous, draw=draw), (4, 12, 12))
    np.testing.assert_allclose(got[1], ndimage.minimum_filter(previous[1] / 255, (1, 3, 3), mode="nearest"), atol=1e-7)
