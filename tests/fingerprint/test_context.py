"""Context measured on sets whose answer is known: discs told apart by nothing but a landmark at a known distance."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from autoseg.case import LoadedCase
from autoseg.fingerprint import CaseFacts, Context
from autoseg.fingerprint.context import WINDOWS, measure_context, needed_share
from autoseg.fingerprint.instance import View, view_of
from autoseg.fingerprint.likeness import unrelated
from autoseg.fingerprint.measure_case import measure_loaded
from tests.fingerprint.make import case_facts, loaded

Measured = tuple[list[CaseFacts], list[View]]


def disc(shape: tuple[int, ...], middle: Sequence[float], radius: float) -> NDArray[np.bool_]:
    grid = np.indices(shape).reshape(len(shape), -1).T - np.array(middle)
    return np.asarray((grid**2).sum(1) <= radius**2).reshape(shape)


def scene(
    name: str, places: Sequence[Sequence[float]], *, size: int = 64, radii: Sequence[float] = (3, 3), grey: Sequence[float] = (200, 200),
    landmark: Sequence[float] | None = None, mirrored: bool = False, noise: float = 0.0, group: str | None = None,
) -> LoadedCase:  # fmt: skip
    """Discs of a class each at `places`, and a bright unlabelled landmark of radius 2, on grey 50."""
    shape = (size,) * len(places[0])
    masks = [disc(shape, place, radius) for place, radius in zip(places, radii, strict=True)]
    image = 50 + noise * np.random.default_rng(int(name)).normal(size=shape)
    for mask, value in zip(masks, grey, strict=True):
        image[mask] += value - 50
    if landmark is not None:
        image[disc(shape, landmark, 2)] += 205
    if mirrored:
        image, masks = image[..., ::-1], [mask[..., ::-1] for mask in masks]
    return loaded(name, image[None].astype(np.float32), masks, group=group)


def views(cases: Sequence[LoadedCase]) -> Measured:
    facts = [measure_loaded(case, Path("/made"))[0] for case in cases]
    return facts, [view_of(case, one) for case, one in zip(cases, facts, strict=True)]


def context(facts: Sequence[CaseFacts], seen: Sequence[View]) -> Context | None:
    return measure_context(facts, seen, unrelated(facts, None), channels=1)


def measured(cases: Sequence[LoadedCase]) -> Context:
    found = context(*views(cases))
    assert found is not None
    return found


def shifts(count: int, axes: int = 2) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(-2, 3, (count, axes))


def pair(distance: int, *, count: int = 16, noise: float = 0.0) -> list[LoadedCase]:
    """A disc `distance` pixels left and one right of a landmark of 5 pixels: alike in every window that shows none of it."""
    places = [(32 + y, 32 + x) for y, x in shifts(count)]
    return [
        scene(str(i), [(y, x - distance), (y, x + distance)], landmark=(y, x), noise=noise) for i, (y, x) in enumerate(places)
    ]  # fmt: skip


@lru_cache
def near_pair() -> Measured:
    return views(pair(8))


@pytest.mark.parametrize(("distance", "blind", "seeing"), [(8, 1 / 8, 3 / 16), (14, 1 / 4, 3 / 8)])
@pytest.mark.parametrize("noise", [0, 5])
def test_what_is_needed_is_the_distance_of_the_landmark(distance: int, blind: float, seeing: float, noise: float) -> None:
    found = measured(pair(distance, noise=noise))
    edge = 2 * (distance - 2.5) / 64  # of the smallest window that touches it
    assert blind < edge < seeing
    assert [one.look_alikes for one in found.classes] == [(1,), (0,)]
    assert [one.needed for one in found.classes] == pytest.approx([edge, edge], abs=0.02)
    assert found.needed_share == max(one.needed or 0 for one in found.classes)
    assert (found.num_look_alikes, found.cases, found.windows) == (2, 16, WINDOWS)
    assert found.accuracy[WINDOWS.index(blind)] == pytest.approx(0.5, abs=0 if noise == 0 else 0.25)
    assert found.accuracy[WINDOWS.index(seeing)] == 1


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_row_is_told_by_its_neighbours_in_either_mirror_image(mirrored: bool) -> None:
    # Landmark, disc, disc, disc, each 10 pixels from the next: the first two differ in what they have on the left, the last has
    # nothing on the right. A neighbour comes into sight at 2 (10 - 3.5) / 64 = 0.20 of the image's edge.
    row = [
        scene(
            str(i), [(32 + y, 17 + x + 10 * k) for k in (1, 2, 3)], radii=(3,) * 3, grey=(200,) * 3, landmark=(32 + y, 17 + x),
            mirrored=mirrored and i % 2 == 1,
        )
        for i, (y, x) in enumerate(shifts(16))
    ]  # fmt: skip
    found = measured(row)
    assert [one.look_alikes for one in found.classes] == [(1, 2), (0, 2), (0, 1)]
    assert all(one.needed is not None and 0.2 < one.needed <= 0.25 for one in found.classes)


def test_volumes() -> None:
    places = [(16 + z, 16 + y, 16 + x) for z, y, x in shifts(10, axes=3)]
    cases = [
        scene(str(i), [(z - 8, y, x), (z + 8, y, x)], size=32, landmark=(z, y, x)) for i, (z, y, x) in enumerate(places)
    ]  # fmt: skip
    found = measured(cases)
    assert [one.needed for one in found.classes] == pytest.approx([2 * (8 - 2.5) / 32] * 2, abs=0.03)


@pytest.mark.parametrize(("radii", "grey"), [((3, 5), (200, 200)), ((3, 3), (200, 120))])
def test_size_or_intensity_tells_classes_apart(radii: tuple[float, float], grey: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    found = measured([scene(str(i), rng.integers(8, 56, (2, 2)).tolist(), radii=radii, grey=grey) for i in range(16)])
    assert [one.look_alikes for one in found.classes] == [(), ()]
    assert [one.needed for one in found.classes] == [None, None]
    assert (found.needed_share, found.num_look_alikes, found.accuracy) == (0, 0, ())


def test_twins_that_nothing_tells_apart_need_no_window() -> None:
    rng = np.random.default_rng(2)
    cases = [scene(str(i), [(20, x), (44, x)][:: rng.choice([-1, 1])], noise=5) for i, x in enumerate(rng.integers(30, 34, 20))]
    found = measured(cases)
    assert found.num_look_alikes == 2
    assert [one.needed for one in found.classes] == [None, None]
    assert found.needed_share == 0


@pytest.mark.parametrize("count", [10, 40])
def test_noise_needs_no_window(count: int) -> None:
    rng = np.random.default_rng(0)
    facts = [case_facts(str(i), classes=(None,) * 12) for i in range(count)]
    seen = [
        View(
            picture=rng.normal(size=(128, 128)).astype(np.float32), shape=rng.normal(size=(12, 3)), look=rng.normal(size=(1, 12, 3)),
            place=rng.random((12, 2)),
        )
        for _ in facts
    ]  # fmt: skip
    found = context(facts, seen)
    assert found is not None
    assert (found.num_look_alikes, found.needed_share) == (12, 0)
    assert max(found.accuracy) < 0.2


def test_extent_is_the_median_share_of_the_image() -> None:
    facts, _ = near_pair()
    found = context(*near_pair())
    assert facts[0].classes[0] is not None
    assert found is not None
    assert found.classes[0].extent == pytest.approx((7 / 64, 7 / 64), abs=1e-4)  # radius 3: 7 pixels


def test_too_few_unrelated_cases() -> None:
    facts, seen = near_pair()
    assert context(facts[:7], seen[:7]) is None
    assert context(facts[:8], seen[:8]) is not None
    assert measure_context(facts, seen, np.zeros((16, 16), np.bool_), channels=1) is None


def test_relatives_do_not_name_each_other() -> None:
    # Two pictures a person, equal to the pixel; which disc is which is drawn for each person: only relatives could tell.
    rng = np.random.default_rng(3)
    cases = []
    for person in range(20):
        places = [(20, 32), (44, 32)][:: rng.choice([-1, 1])]
        at = rng.integers(10, 54, 2).tolist()
        cases += [scene(str(2 * person + i), places, landmark=at, group=str(person)) for i in (0, 1)]
    facts, seen = views(cases)
    strangers = measure_context(facts, seen, unrelated(facts, None), channels=1)
    relatives = measure_context(facts, seen, ~np.eye(40, dtype=np.bool_), channels=1)
    assert strangers is not None
    assert relatives is not None
    assert relatives.accuracy[-1] == 1
    assert strangers.accuracy[-1] < 0.8


def test_the_order_of_cases_means_nothing() -> None:
    facts, seen = views(pair(8, noise=20))
    order = np.random.default_rng(0).permutation(16)
    assert context([facts[i] for i in order], [seen[i] for i in order]) == context(facts, seen)


def test_an_absent_class_has_no_extent_and_no_look_alike() -> None:
    cases = []
    for i, (y, x) in enumerate(shifts(10)):
        masks = [disc((64, 64), (32 + y, 24 + x), 3), np.zeros((64, 64), np.bool_)]
        cases.append(loaded(str(i), np.where(masks[0], 200.0, 50.0)[None].astype(np.float32), masks))
    found = measured(cases)
    assert found.classes[1].extent is None
    assert [one.look_alikes for one in found.classes] == [(), ()]


def needed(*accuracy: float, chance: float = 0.5, windows: int = 100) -> float | None:
    """All classes of the family are told equally well."""
    values = np.array(accuracy if len(accuracy) > 1 else accuracy * len(WINDOWS))
    return needed_share(values, values, chance=chance, windows=windows)


def test_the_smallest_window_lies_between_two_that_were_tried() -> None:
    # Chance 0.5 up to 1/4, then perfect: 0.975 = 0.95 of the way, 0.95 of the step from 1/4 to 3/8
    assert needed(0.5, 0.5, 0.5, 0.5, 1, 1, 1, 1) == pytest.approx(1 / 4 + 0.95 / 8, abs=1e-4)


def test_a_smallest_window_that_is_enough() -> None:
    assert needed(0.99, 1, 1, 1, 1, 1, 1, 1) == 1 / 16


def test_a_gain_within_one_standard_error_counts_as_none() -> None:
    flat = (0.81, 0.81, 0.9, 0.81, 0.81, 0.81, 0.81, 0.81)
    assert needed(*flat, chance=0.2, windows=9) == 1 / 16  # sqrt(0.9 * 0.1 / 9) = 0.1
    assert (needed(*flat, chance=0.2, windows=9000) or 0) > 1 / 8


def test_accuracy_at_chance_is_no_measurement() -> None:
    # Two classes of 50 windows: a standard error of sqrt(0.25 / 100) = 0.05
    assert needed(0.64, windows=50) is None  # 2.8 of them
    assert needed(0.66, windows=50) is not None  # 3.2
    assert needed(0.58, windows=10000) is None  # a sixth of the way to certainty


def test_a_lucky_class_among_many_is_no_measurement() -> None:
    lucky = np.array([0.1, 0.1, 0.1, 0.5, 0.1, 0.1, 0.1, 0.1])
    assert needed_share(lucky, np.full(8, 0.11), chance=0.1, windows=10) is None
