"""Sums and looks of predictions, counted by hand."""

import numpy as np
import pytest
import torch

from autoseg.infer import sums as module
from autoseg.infer.blend import Band
from autoseg.infer.certainty import Certainty, Sums, certainty_of_bytes, decided_masks
from autoseg.infer.sums import Tally, sums_of


def two_classes() -> torch.Tensor:
    """(2, 4, 4): the first class is sure in four pixels, at 0.8 in two and at 0.4 in one; the second is nowhere."""
    planes = torch.zeros(2, 4, 4)
    planes[0, 0, :] = 1.0
    planes[0, 1, :2] = 0.8
    planes[0, 3, 3] = 0.4
    return planes


def test_sums_of_overlapping_classes() -> None:
    sums = sums_of(two_classes(), exclusive=False)
    assert sums.area.tolist() == [6, 0]
    assert sums.mass.tolist() == [pytest.approx(4 + 2 * 0.8 + 0.4), 0]
    assert sums.inside.tolist() == [pytest.approx(4 + 2 * 0.8), 0]


def test_noise_does_not_count() -> None:
    # 1/255 stands for a sigmoid that never reaches 0; over a large image it would outweigh a bone.
    assert sums_of(torch.full((1, 8, 8), 1.4 / 255), exclusive=False).mass.tolist() == [0]
    assert sums_of(torch.full((1, 8, 8), 1.6 / 255), exclusive=False).mass.tolist() == [pytest.approx(64 * 2 / 255)]


def test_exclusive_classes_leave_the_background_out() -> None:
    heads = torch.tensor([0.5, 0.3, 0.2]).view(3, 1, 1).repeat(1, 2, 2)
    heads[:, 0, 0] = torch.tensor([0.2, 0.4, 0.4])  # of equals the earlier
    sums = sums_of(heads, exclusive=True)
    assert sums.area.tolist() == [1, 0]
    assert sums.inside.tolist() == [pytest.approx(0.4), 0]


def test_parts_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = torch.rand(3, 8, 5, generator=torch.Generator().manual_seed(0))
    whole = sums_of(probabilities, exclusive=False)
    monkeypatch.setattr(module, "CHUNK", (30, 30))  # two rows at once
    tally = Tally(exclusive=False)
    bands = [Band(slice(0, 3), probabilities[:, :3]), Band(slice(3, 8), probabilities[:, 3:])]
    assert list(tally.watch(bands)) == bands
    assert tally.sums is not None
    for name in ("area", "mass", "inside"):
        assert np.allclose(getattr(tally.sums, name), getattr(whole, name))


def test_stored_bytes_give_the_same() -> None:
    probabilities = torch.rand(3, 8, 5, generator=torch.Generator().manual_seed(1))
    stored = (probabilities * 255).round().to(torch.uint8).numpy()
    masks = (probabilities > 0.5).numpy()
    found, expected = certainty_of_bytes(stored, exclusive=False), Certainty.of(sums_of(probabilities, exclusive=False), masks)
    for name in ("area", "self_dice", "largest", "shared"):
        assert np.allclose(getattr(found, name), getattr(expected, name))


def test_self_dice() -> None:
    sums = Sums(area=np.array([10.0, 0.0, 0.0]), mass=np.array([12.0, 3.0, 0.0]), inside=np.array([9.0, 0.0, 0.0]))
    found = Certainty.of(sums, np.zeros((3, 2, 2), np.bool_))
    assert found.self_dice[:2].tolist() == [18 / 22, 0]
    assert np.isnan(found.self_dice[2])


def test_pieces_and_pixels_of_two_classes() -> None:
    first, second = np.zeros((2, 8, 8), np.bool_)
    first[:2, :3] = True  # six pixels
    first[2, 3] = True  # touches by its corner
    first[6, 6] = True  # a piece of its own
    second[0, :2] = True  # two of which the first claims too
    second[7, 0] = True
    found = certainty_of_bytes(np.stack([first, second, np.zeros((8, 8), np.bool_)]).astype(np.uint8) * 255, exclusive=False)
    assert found.largest.tolist() == [7 / 8, 2 / 3, 1]
    assert found.shared.tolist() == [2 / 8, 2 / 3, 0]


def test_the_background_is_what_classes_leave() -> None:
    stored = np.array([[[100, 100]], [[90, 40]]], np.uint8)  # the background has 65 and 115
    assert decided_masks(stored, exclusive=True).tolist() == [[[True, False]], [[False, False]]]
    assert decided_masks(np.array([[[127, 128]]], np.uint8), exclusive=False).tolist() == [[[False, True]]]


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        Certainty(area=np.zeros(2), self_dice=np.zeros(3), largest=np.zeros(2), shared=np.zeros(2))
