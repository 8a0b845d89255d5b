"""From crops to a batch: the dtypes files come in, tables of different length, and that a batch can be split."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from autoseg.augment import Intensity, RawSample, draw_sample, make_batch, sample_rng, samples, source_box, warp
from autoseg.augment.pinned import to_device
from autoseg.recipe import Augmentation
from tests import small

CPU = small.CPU


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64, np.bool_])
def test_every_stored_dtype_arrives_as_it_is(dtype: type[Any]) -> None:
    image = np.array([[[0, 1], [1, 100]]], np.int64).astype(dtype)
    sample = small.sample((2, 2), image=image)
    batch = make_batch([sample], (2, 2), device=CPU)
    assert batch.images.dtype == torch.float32
    assert batch.images[0].tolist() == image.astype(np.float32).tolist()


def test_uint16_beyond_int16_arrives_as_it_is() -> None:
    sample = small.sample((1, 2), image=np.array([[[40_000, 65_535]]], np.uint16), codes=np.array([[300, 65_535]], np.uint16))
    sample = replace(sample, table=np.zeros((65_536, 2), bool), ignore=np.zeros(65_536, bool))
    batch = make_batch([sample], (1, 2), device=CPU)
    assert batch.images.flatten().tolist() == [40_000, 65_535]
    assert batch.codes.dtype == torch.int32
    assert batch.codes.flatten().tolist() == [300, 65_535]


def test_a_gpu_copies_from_pinned_memory_and_a_cpu_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[torch.Tensor, torch.device, bool]] = []
    given, pinned = torch.arange(6), torch.arange(6)
    assert to_device(given, CPU) is given

    def to(tensor: torch.Tensor, device: torch.device, *, non_blocking: bool) -> torch.Tensor:
        sent.append((tensor, device, non_blocking))
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned)
    monkeypatch.setattr(torch.Tensor, "to", to)
    gpu = torch.device("cuda", 1)
    to_device(given, gpu)
    ((tensor, device, non_blocking),) = sent
    assert tensor is pinned
    assert (device, non_blocking) == (gpu, True)


def test_all_that_a_batch_is_made_of_is_sent_so(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[torch.Size] = []

    def noted(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        sent.append(tensor.shape)
        return to_device(tensor, device)

    monkeypatch.setattr(samples, "to_device", noted)
    monkeypatch.setattr(warp, "to_device", noted)
    draw = small.neutral(matrix=np.eye(2), elastic=np.zeros((2, 6, 7)))
    given = small.sample((20, 20), sets=5, ignore=np.ones(5, bool), draw=draw, previous=np.zeros((3, 20, 20), np.uint8))
    make_batch([given], (16, 12), device=CPU)
    grid = [(16,), (12,), (2, 6, 7), (16, 6), (12, 7)]
    # The previous stage's channels are warped along, on the same grid.
    assert sorted(sent) == sorted([(1, 20, 20), (20, 20), (3, 20, 20), *grid, *grid, (1, 5, 2), (1, 5)])


def test_the_image_is_normalised_before_it_is_augmented() -> None:
    rule = Intensity(mean=(100.0,), std=(50.0,), lower=(0.0,), upper=(200.0,))
    image = np.full((1, 4, 4), 250, np.uint8)
    batch = make_batch(
        [small.sample((4, 4), image=image, intensity=rule, draw=small.neutral(brightness=np.array([1.5])))], (4, 4), device=CPU
    )
    assert set(batch.images.flatten().tolist()) == {(200 - 100) / 50 * 1.5}


def test_tables_are_padded_with_empty_sets() -> None:
    short, long = small.sample(sets=3, seed=1), small.sample(sets=6, seed=2)
    batch = make_batch([short, long], (16, 16), device=CPU)
    assert batch.table.shape == (2, 6, 2)
    assert batch.table[0, :3].tolist() == short.table.tolist()
    assert not batch.table[0, 3:].any()
    assert batch.table[1].tolist() == long.table.tolist()


def test_ignore_is_there_only_if_a_pixel_may_be_unlabelled() -> None:
    plain, marked = small.sample(sets=3), small.sample(sets=4, ignore=np.array([False, False, False, True]))
    assert make_batch([plain], (16, 16), device=CPU).ignore is None
    ignore = make_batch([plain, marked], (16, 16), device=CPU).ignore
    assert ignore is not None
    assert ignore.tolist() == [[False] * 4, [False, False, False, True]]


@pytest.mark.parametrize(("flips", "swapped"), [((), False), ((0,), True), ((1,), True), ((0, 1), False), ((0, 1, 2), True)])
def test_classes_change_sides_when_an_odd_number_of_axes_is_flipped(flips: tuple[int, ...], swapped: bool) -> None:
    shape = (4, 4, 4) if 2 in flips else (4, 4)
    # left, right, middle: left and right change places.
    table = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 1]], bool)
    sample = small.sample(shape, table=table, draw=small.neutral(flips=flips))
    got = make_batch([sample], shape, device=CPU, swap=(1, 0, 2)).table[0].tolist()
    assert got == (table[:, [1, 0, 2]] if swapped else table).tolist()
    assert make_batch([sample], shape, device=CPU).table[0].tolist() == table.tolist()


def drawn(index: int, axes: int) -> RawSample:
    """A sample with everything on, from a box of its own size."""
    patch = (12,) * axes
    names = ["rotation", "scaling", "noise", "blur", "brightness", "contrast", "lowres", "gamma", "elastic", "grid_distortion"]
    names += ["clahe", "dropout"]
    probabilities: dict[str, Any] = {f"{name}_p": 0.7 for name in names}
    draw = draw_sample(
        sample_rng(0, "0", 5, index), Augmentation(**probabilities), num_channels=1, num_axes=axes, mirror_axes=(0, 1), rotation=90
    )
    box = source_box((0,) * axes, patch, draw)
    shape = tuple(b - a for a, b in zip(box.start, box.stop, strict=True))
    return small.sample(shape, seed=index, draw=draw, centre=box.centre)


@pytest.mark.parametrize("axes", [2, 3])
def test_splitting_a_batch_changes_nothing(axes: int) -> None:
    samples = [drawn(index, axes) for index in range(6)]
    assert len({sample.codes.shape for sample in samples}) > 1
    patch = (12,) * axes
    whole = make_batch(samples, patch, device=CPU)
    torch.rand(3)  # the global state must not matter
    parts = [make_batch(samples[a:b], patch, device=CPU) for a, b in ((0, 1), (1, 4), (4, 6))]
    assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
    assert torch.equal(torch.cat([part.codes for part in parts]), whole.codes)
    assert torch.equal(torch.cat([part.table for part in parts]), whole.table)
