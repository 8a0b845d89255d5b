"""Each candidate on a planted case in which it must win, and on others in which it must not be switched on."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.ensemble import HALF
from autoseg.errors import DataError
from autoseg.geometry import Geometry
from autoseg.io import parallel
from autoseg.io.probabilities import read_probabilities
from autoseg.postprocess import Cleaning
from autoseg.select.apply import decide
from autoseg.select.candidates import list_options
from autoseg.select.counting import count_dice
from autoseg.select.search import select
from autoseg.select.selection import Selection
from tests.select.planted import (
    SIZE,
    Floats,
    Masks,
    Planted,
    Say,
    disjoint,
    noise,
    plant,
    rash,
    right,
    shared,
    squares,
    sure,
    two_of_a_class,
    unsure,
    with_specks,
)


def knows(*classes: int) -> Say:
    """Right in these classes, and not to be trusted in the others."""
    return lambda rng, masks: np.stack([sure(mask) if k in classes else rng.random(mask.shape) for k, mask in enumerate(masks)])


def shy(_: np.random.Generator, masks: Masks) -> Floats:
    """Class 0 is found with a probability of 0.3 only, beside 0.1 around it."""
    around = np.stack([ndimage.binary_dilation(mask, iterations=2) for mask in masks])
    timid = np.where(masks, 0.3, np.where(around, 0.1, 0.02))
    return np.concatenate([timid[:1], sure(masks[1:])])


def with_stray(_: np.random.Generator, masks: Masks) -> Floats:
    """Class 0 has a second component, hardly smaller than itself: larger than itself in other cases, so that no size tells them apart."""
    edge = round(float(masks[0].sum()) ** 0.5) - 1
    stray = np.zeros_like(masks)
    stray[0, :edge, :edge] = True
    return sure(masks | stray)


def with_holes(_: np.random.Generator, masks: Masks) -> Floats:
    """Class 0 lacks its inside."""
    inside = ndimage.binary_erosion(masks[0], iterations=2)
    return sure(np.concatenate([masks[:1] & ~inside, masks[1:]]))


def one_of_any_size(rng: np.random.Generator) -> Masks:
    """A square of 3 to 9 pixels, and another class."""
    masks, edge = squares(rng, 2), int(rng.integers(3, 10))
    masks[0] = False
    masks[0, 12 : 12 + edge, 12 : 12 + edge] = True
    return masks


def choose(planted: Planted) -> Selection:
    return select(planted.judges)


def ons(selection: Selection) -> set[tuple[str, str]]:
    return {(trial.candidate, trial.class_name) for trial in selection.tried if trial.is_on}


def predicted(planted: Planted, selection: Selection) -> list[NDArray[np.bool_]]:
    """Every case as a prediction with the selection gives it, (K, y, x)."""
    labels, found = planted.judges.members[0].labels, []
    for judged in planted.judges.cases:
        stored = [read_probabilities(judged.files[m]) for m in selection.combination.used]
        result = decide(selection, labels, Geometry.pixels((SIZE, SIZE)), stored)
        found.append(np.stack([mask for _, mask in result.masks()]))
    return found


@pytest.mark.parametrize("exclusive", [False, True])
def test_one_good_member_is_kept_alone(tmp_path: Path, exclusive: bool) -> None:
    planted = plant(tmp_path, [noise, right, noise], truth=disjoint if exclusive else lambda rng: squares(rng, 2), exclusive=exclusive)
    selection = choose(planted)
    assert selection.ensemble == "best member"
    assert [member.run for member in selection.used] == ["default/2d-1"]
    assert ons(selection) == set()
    assert selection.members[1].dice == 1.0
    assert all(trial.why_not for trial in selection.tried)


def test_the_mean_wins_where_errors_are_independent(tmp_path: Path) -> None:
    selection = choose(plant(tmp_path, [unsure] * 3))
    assert selection.ensemble == "soft vote"
    assert ("soft vote", "") in ons(selection)
    assert ("hard vote", "") not in ons(selection)
    assert selection.total.difference is not None
    assert selection.total.difference > 0.05


def test_the_mean_of_exclusive_classes(tmp_path: Path) -> None:
    selection = choose(plant(tmp_path, [shared(unsure)] * 3, truth=disjoint, exclusive=True))
    assert ("soft vote", "") in ons(selection)
    assert selection.thresholds == ()


@pytest.mark.parametrize("exclusive", [False, True])
def test_the_majority_wins_where_errors_are_certain(tmp_path: Path, exclusive: bool) -> None:
    members = [shared(rash) if exclusive else rash] * 3
    selection = choose(plant(tmp_path, members, truth=disjoint, exclusive=exclusive))
    assert selection.ensemble == "hard vote"
    assert selection.combination.kind == "hard"


@pytest.mark.parametrize("exclusive", [False, True])
def test_each_class_by_the_member_that_knows_it(tmp_path: Path, exclusive: bool) -> None:
    members = [halves(0), halves(1)] if exclusive else [knows(0), knows(1)]
    selection = choose(plant(tmp_path, members, truth=disjoint, exclusive=exclusive))
    assert selection.ensemble == "class-wise"
    for k, weights in enumerate(selection.combination.weights):
        assert weights[k] >= 0.75
    assert selection.total.mean_b is not None
    assert selection.total.mean_b > 0.98


def halves(known: int) -> Say:
    """Exclusive classes: sees one class, and takes half of the other's pixels for background."""

    def say(rng: np.random.Generator, masks: Masks) -> Floats:
        seen = masks.copy()
        seen[1 - known] &= rng.random(masks.shape[1:]) < 0.5
        return sure(seen)

    return say


def test_a_threshold_for_the_class_that_needs_one(tmp_path: Path) -> None:
    planted = plant(tmp_path, [shy])
    selection = choose(planted)
    assert ons(selection) == {("threshold", "a")}
    low, usual = selection.thresholds
    assert round(0.1 * 255) < low <= round(0.3 * 255)
    assert usual == HALF
    assert (selection.total_of_class["a"].mean_a, selection.total_of_class["a"].mean_b) == (0.0, 1.0)
    for masks, truth in zip(predicted(planted, selection), planted.truths, strict=True):
        np.testing.assert_array_equal(masks, truth)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize(
    ("say", "truth", "candidate"),
    [
        (with_stray, one_of_any_size, "largest component"),
        (with_specks, two_of_a_class, "smallest size"),
        (with_holes, lambda rng: squares(rng, 2), "hole filling"),
    ],
)
def test_post_processing_of_the_class_that_needs_it(
    tmp_path: Path, say: Say, truth: Callable[[np.random.Generator], Masks], candidate: str, exclusive: bool
) -> None:
    def apart(rng: np.random.Generator) -> Masks:
        masks = truth(rng)
        return np.stack([masks[0], masks[1] & ~ndimage.binary_dilation(masks[0], iterations=3)]) if exclusive else masks

    planted = plant(tmp_path, [say], truth=apart, exclusive=exclusive)
    selection = choose(planted)
    assert (candidate, "a") in ons(selection)
    cleaning, other = selection.cleanings
    expected = {"largest component": cleaning.largest, "smallest size": cleaning.min_size > 1, "hole filling": cleaning.fill_holes}
    assert [name for name, is_on in expected.items() if is_on] == [candidate]
    assert other == Cleaning()
    for masks, wanted in zip(predicted(planted, selection), planted.truths, strict=True):
        np.testing.assert_array_equal(masks[0], wanted[0])


def test_nothing_is_switched_on_where_holes_and_pieces_are_real(tmp_path: Path) -> None:
    def ragged(rng: np.random.Generator) -> Masks:
        masks = two_of_a_class(rng)
        masks[0, 4:6, 4:6] = False
        masks[0, 22, 1:20:3] = True
        return masks

    selection = choose(plant(tmp_path, [right, right, right], truth=ragged))
    assert ons(selection) == set()
    assert not selection.changes_masks
    assert (selection.total.mean_a, selection.total.mean_b) == (1.0, 1.0)


def test_equal_members_with_the_same_errors_gain_nothing(tmp_path: Path) -> None:
    def same(_: np.random.Generator, masks: Masks) -> Floats:
        return unsure(np.random.default_rng(int(masks.sum()) + int(np.flatnonzero(masks)[0])), masks)

    selection = choose(plant(tmp_path, [same] * 3))
    assert selection.ensemble == "best member"


def test_what_a_class_invents_counts(tmp_path: Path) -> None:
    """In most cases there is nothing of class 0, and a speck is predicted: dropping it is a gain, though Dice is undefined without it."""

    def rare(rng: np.random.Generator) -> Masks:
        masks = squares(rng, 2)
        masks[0] &= rng.random() < 0.2
        return masks

    def speck(rng: np.random.Generator, masks: Masks) -> Floats:
        said = masks.copy()
        said[0, 0, 0] = True
        return sure(said)

    selection = choose(plant(tmp_path, [speck], truth=rare))
    assert selection.cleanings[0].min_size > 1
    assert selection.total_of_class["a"].mean_b == 1.0


def test_every_file_that_does_not_fit_is_named(tmp_path: Path) -> None:
    planted = plant(tmp_path, [right], num_cases=10)
    planted.judges.cases[3].files[0].write_bytes(b"nothing")
    planted.judges.cases[5].files[0].write_bytes(planted.judges.cases[5].files[0].read_bytes()[:-4])
    with pytest.raises(DataError, match="2 problems") as caught:
        choose(planted)
    assert str(planted.judges.cases[3].files[0]) in str(caught.value)
    assert "validates anew" in str(caught.value)


def test_several_processes_count_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judges = plant(tmp_path, [unsure, unsure], num_cases=10).judges
    task = partial(count_dice, judges.setup, [option.combination(2) for option in list_options(2)])
    alone = judges.run("", task)
    monkeypatch.setattr(parallel, "WORTH_S", -1e9)
    np.testing.assert_array_equal(replace(judges, workers=2).run("", task), alone)
