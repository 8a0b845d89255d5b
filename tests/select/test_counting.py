"""What is counted of a case, against the same done one candidate at a time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.ensemble import Combination, combine_exclusive
from autoseg.io.probabilities import read_probabilities
from autoseg.labels import encode_masks
from autoseg.metrics.overlap import count_masks, dice
from autoseg.postprocess import Cleaning, clean_map, clean_mask
from autoseg.select.cleaning import _Class
from autoseg.select.counting import Curves, Pieces, Setup, Variant, count_dice, dice_curves, list_components
from autoseg.select.nested import Sample
from tests.select.planted import Floats, Masks, Planted, plant, squares

SOFT = Combination(kind="soft", weights=((0.25, 0.75), (1.0, 0.0)))
HARD = Combination(kind="hard", weights=((0.5, 0.5), (0.5, 0.5)))


def smooth(rng: np.random.Generator, masks: Masks) -> Floats:
    """Blobs with holes and strays."""
    field = ndimage.gaussian_filter(rng.random(masks.shape), (0, 1.2, 1.2))
    return np.asarray(np.clip((field - field.mean()) * 4 + 0.35 + 0.2 * masks, 0, 1))


def some_missing(rng: np.random.Generator) -> Masks:
    masks = squares(rng, 2)
    masks[1] &= rng.random() < 0.5
    return masks


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return plant(tmp_path, [smooth, smooth], truth=some_missing, num_cases=5)


def one_by_one(masks: list[NDArray[np.bool_]], truth: Masks) -> list[float]:
    """Dice of each class by counting, 1 where both are empty."""
    return [1.0 if not (a.any() or b.any()) else 2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in zip(masks, truth, strict=True)]


def combined(planted: Planted, n: int, combination: Combination) -> NDArray[np.uint8]:
    """The formula of the module's docstring, written out."""
    said = np.stack([read_probabilities(file) for file in planted.judges.cases[n].files]).astype(float)
    if combination.kind == "soft":
        return np.asarray(np.rint(np.einsum("mkyx,km->kyx", said, np.array(combination.weights))), np.uint8)
    votes = (said >= 128).sum(axis=0)
    return np.asarray(np.where(votes == 1, np.rint(said.mean(axis=0)), np.where(votes == 2, 255, 0)), np.uint8)


def test_dice_and_curves(planted: Planted) -> None:
    setup = planted.judges.setup
    for n, judged in enumerate(planted.judges.cases):
        dice_found, curves = count_dice(setup, [SOFT, HARD], judged), dice_curves(setup, [SOFT, HARD], judged)
        assert isinstance(curves, Curves)
        np.testing.assert_array_equal(curves.there, planted.truths[n].sum(axis=(1, 2)))
        for v, combination in enumerate((SOFT, HARD)):
            values = combined(planted, n, combination)
            for t in (2, 60, 100, 128, 200, 255):
                expected = one_by_one([plane >= t for plane in values], planted.truths[n])
                np.testing.assert_allclose(curves.dice[v, :, t], expected, atol=1e-6)
                if t == 128:
                    np.testing.assert_allclose(np.asarray(dice_found)[v], expected)


def test_exclusive_classes_are_counted_from_one_map(planted: Planted) -> None:
    setup = Setup(dataset=planted.judges.setup.dataset, exclusive=True)
    for n, judged in enumerate(planted.judges.cases):
        decided = combine_exclusive([read_probabilities(file) for file in judged.files], SOFT)
        expected = one_by_one([decided == 1, decided == 2], planted.truths[n])
        np.testing.assert_allclose(np.asarray(count_dice(setup, [SOFT], judged))[0], expected)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("cleaning", [Cleaning(), Cleaning(largest=True), Cleaning(min_size=8), Cleaning(fill_holes=True, min_size=32)])
def test_components_give_the_dice_of_cleaned_masks(planted: Planted, cleaning: Cleaning, exclusive: bool) -> None:
    setup = replace(planted.judges.setup, exclusive=exclusive)
    variant = Variant(combination=SOFT, thresholds=() if exclusive else (128, 90))
    pieces = [list_components(setup, [variant], judged) for judged in planted.judges.cases]
    for k in (0, 1):
        rows = [np.column_stack([np.full(len(each.rows), n), each.rows]) for n, each in enumerate(pieces) if isinstance(each, Pieces)]
        own = np.concatenate(rows)
        evidence = _Class(
            sample=Sample(folds=np.arange(5), units=tuple(range(5))), name="a", place=[0] * 6, rows=own[own[:, 2] == k],
            largest=np.stack([each.largest[:, k] for each in pieces if isinstance(each, Pieces)]),
            there=np.array([truth[k].sum() for truth in planted.truths]), unit=["pixel"],
        )  # fmt: skip
        for n, judged in enumerate(planted.judges.cases):
            if exclusive:
                decided = combine_exclusive([read_probabilities(file) for file in judged.files], SOFT)
                done = [Cleaning(), Cleaning()]
                done[k] = cleaning
                mask = clean_map(decided, done) == k + 1
            else:
                mask = clean_mask(combined(planted, n, SOFT)[k] >= variant.thresholds[k], cleaning)
            assert evidence.dice(0, cleaning)[n] == pytest.approx(one_by_one([mask], planted.truths[n][k : k + 1])[0])


def test_the_usual_dice_where_it_is_defined(planted: Planted) -> None:
    """Two ways to the same number: the metrics' own, which leaves out what is empty on both sides."""
    for n, judged in enumerate(planted.judges.cases):
        values, truth = combined(planted, n, HARD), planted.truths[n]
        usual = dice(count_masks(iter(values >= 128), encode_masks(truth, truth.shape[1:])))
        found = np.asarray(count_dice(planted.judges.setup, [HARD], judged))[0]
        np.testing.assert_allclose(found, np.where(np.isnan(usual), 1.0, usual))
