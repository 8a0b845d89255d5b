"""Draws are functions of (seed, fold, iteration, sample) and of nothing else."""

from dataclasses import fields, replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.augment import SampleDraw, draw_sample, sample_rng
from autoseg.augment.draws import FOLD_ALL, coarse_axis, fold_number, rotation_matrix
from autoseg.recipe import NO_AUGMENTATION, STRONG_AUGMENTATION, Augmentation

#: Everything is drawn in every sample.
ALWAYS = Augmentation(
    rotation_p=1, scaling_p=1, noise_p=1, blur_p=1, brightness_p=1, contrast_p=1, lowres_p=1, gamma_p=1, gamma_inverted_p=1, flip_p=1,
    previous_morphology_p=1, previous_removal_p=1, previous_refill_p=1, elastic_p=1, grid_distortion_p=1, clahe_p=1, dropout_p=1,
)  # fmt: skip


def draw(
    place: tuple[int, str, int, int] = (0, "0", 0, 0),
    augmentation: Augmentation = ALWAYS,
    axes: int = 2,
    rotation: float = 30,
    previous: int = 8,
) -> SampleDraw:
    return draw_sample(
        sample_rng(*place), augmentation, num_channels=3, num_axes=axes, mirror_axes=tuple(range(axes)), rotation=rotation,
        num_previous=previous,
    )  # fmt: skip


def values(drawn: SampleDraw) -> dict[str, Any]:
    got = {field.name: getattr(drawn, field.name) for field in fields(drawn)}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in got.items()}


def test_folds_have_numbers() -> None:
    assert [fold_number(fold) for fold in ("0", "4", "all")] == [0, 4, FOLD_ALL]


def test_a_previous_stage_shifts_no_other_draw() -> None:
    with_it, without = values(draw((1, "2", 3, 4))), values(draw((1, "2", 3, 4), previous=0))
    assert (without.pop("previous_morphology"), without.pop("previous_removal")) == ((), ())
    assert {name: with_it[name] for name in without} == without


def test_the_previous_stages_classes() -> None:
    some = [draw((0, "0", k, 0), Augmentation(), previous=8) for k in range(1000)]
    a = Augmentation()
    reshaped = [s.previous_morphology for s in some if s.previous_morphology]
    # Half of eight classes are chosen: none in 1 of 256.
    assert len(reshaped) / 1000 == pytest.approx(a.previous_morphology_p, abs=0.05)
    assert np.mean([len(chosen) for chosen in reshaped]) == pytest.approx(4, abs=0.3)
    assert {k for chosen in reshaped for k, _, _ in chosen} == set(range(8))
    assert {operation for chosen in reshaped for _, operation, _ in chosen} == {"erosion", "dilation", "opening", "closing"}
    assert {radius for chosen in reshaped for _, _, radius in chosen} == set(range(1, 9))
    thinned = [s.previous_removal for s in some if s.previous_removal]
    assert len(thinned) / 1000 == pytest.approx(a.previous_removal_p, abs=0.04)
    assert np.mean([len(chosen) for chosen in thinned]) == pytest.approx(4, abs=0.3)
    assert {removal.channel for chosen in thinned for removal in chosen} == set(range(8))
    picks = [removal.pick for chosen in thinned for removal in chosen]
    assert min(picks) >= 0
    assert max(picks) < 1
    assert np.mean(picks) == pytest.approx(0.5, abs=0.05)
    assert {removal.refill for chosen in thinned for removal in chosen} == {None}


def test_a_component_that_is_refilled_goes_to_another_class() -> None:
    often = replace(ALWAYS, previous_refill_p=0.5)
    some = [removal for k in range(400) for removal in draw((0, "0", k, 0), often, previous=4).previous_removal]
    given = [removal for removal in some if removal.refill is not None]
    assert len(given) / len(some) == pytest.approx(0.5, abs=0.07)
    assert {(removal.channel, removal.refill) for removal in given} == {(a, b) for a in range(4) for b in range(4) if a != b}
    alone = [removal.refill for k in range(20) for removal in draw((0, "0", k, 0), often, previous=1).previous_removal]
    assert alone
    assert set(alone) == {None}


def test_the_same_place_gives_the_same_draw_whatever_was_drawn_before() -> None:
    first = values(draw((1, "2", 3, 4)))
    for k in range(5):
        draw((1, "2", 3, k))
        np.random.random()
    assert values(draw((1, "2", 3, 4))) == first


def test_every_part_of_the_place_counts() -> None:
    places = [(0, "0", 0, 0), (1, "0", 0, 0), (0, "1", 0, 0), (0, "all", 0, 0), (0, "0", 1, 0), (0, "0", 0, 1)]
    seeds = {draw(place).noise_seed for place in places}
    assert len(seeds) == len(places)


PROBABILITIES = [field.name for field in fields(Augmentation) if field.name.endswith("_p")]


@pytest.mark.parametrize("name", PROBABILITIES)
def test_switching_one_transform_off_shifts_no_other(name: str) -> None:
    belongs = {"rotation_p": "matrix", "scaling_p": "matrix", "noise_p": "noise_std", "flip_p": "flips", "blur_p": "blur_sigma"}
    belongs |= {"grid_distortion_p": "grid", "clahe_p": "clahe_clip", "previous_refill_p": "previous_removal"}
    mine = belongs.get(name, name.removesuffix("_p"))
    changed, off_switch = set(), cast(dict[str, Any], {name: 0.0})
    for iteration in range(5):
        place = (0, "0", iteration, 0)
        on, off = values(draw(place)), values(draw(place, replace(ALWAYS, **off_switch)))
        changed |= {key for key in on if on[key] != off[key]}
    assert changed == {mine}


def test_nothing_is_drawn_at_probability_zero() -> None:
    for iteration in range(20):
        drawn = draw((0, "0", iteration, 0), NO_AUGMENTATION)
        assert drawn.matrix is None
        assert drawn.flips == ()
        assert drawn.noise_std == 0
        assert not drawn.blur_sigma.any()
        assert (drawn.previous_morphology, drawn.previous_removal) == ((), ())
        assert (drawn.elastic, drawn.grid, drawn.clahe_clip, drawn.dropout) == (None, None, 0, ())
        assert all((getattr(drawn, name) == 1).all() for name in ("brightness", "contrast", "lowres", "gamma", "gamma_inverted"))


@given(st.integers(0, 10_000), st.sampled_from([2, 3]), st.floats(0, 180))
def test_matrices_rotate_and_scale_within_their_ranges(iteration: int, axes: int, rotation: float) -> None:
    matrix = draw((0, "0", iteration, 0), axes=axes, rotation=rotation).matrix
    assert matrix is not None
    scale = np.linalg.det(matrix) ** (1 / axes)
    low, high = ALWAYS.scaling
    assert low - 1e-9 <= scale <= high + 1e-9
    np.testing.assert_allclose(matrix @ matrix.T, scale**2 * np.eye(axes), atol=1e-9)
    angle = np.degrees(np.arccos(np.clip((np.trace(matrix / scale) - (axes - 2)) / 2, -1, 1)))
    assert angle <= (rotation if axes == 2 else min(180, 3 * rotation)) + 1e-4


@given(st.integers(0, 10_000))
def test_on_an_uneven_grid_turns_are_rotations_in_mm(iteration: int) -> None:
    spacing = np.array([2.0, 1.0, 0.8])
    settings: dict[str, Any] = {"num_channels": 1, "num_axes": 3, "mirror_axes": (), "rotation": 30.0}
    matrix = draw_sample(sample_rng(0, "0", iteration, 0), replace(ALWAYS, scaling=(1.2, 1.2)), spacing=spacing.tolist(), **settings).matrix
    assert matrix is not None
    in_mm = spacing[:, None] * matrix / spacing / 1.2
    np.testing.assert_allclose(in_mm @ in_mm.T, np.eye(3), atol=1e-9)
    assert np.abs(in_mm[0, 1:]).max() > 0


@pytest.mark.parametrize(
    ("spacing", "coarse"), [((5.0, 0.7, 0.7), 0), ((0.7, 0.7, 3.0), 2), ((2.0, 0.7, 0.7), None), ((5.0, 4.0, 1.0), None)]
)
def test_the_coarse_axis(spacing: tuple[float, ...], coarse: int | None) -> None:
    assert coarse_axis(spacing) == coarse


def test_a_coarse_axis_is_neither_turned_nor_scaled_nor_shifted_along() -> None:
    settings: dict[str, Any] = {"num_channels": 1, "num_axes": 3, "mirror_axes": (), "rotation": 180.0, "spacing": (5.0, 0.7, 0.7)}
    for k in range(10):
        drawn = draw_sample(sample_rng(0, "0", k, 0), ALWAYS, **settings)
        assert drawn.matrix is not None
        assert drawn.elastic is not None
        np.testing.assert_array_equal(drawn.matrix[0], [1, 0, 0])
        np.testing.assert_array_equal(drawn.matrix[:, 0], [1, 0, 0])
        assert abs(drawn.matrix[1, 2]) > 0
        assert not drawn.elastic[0].any()
        assert drawn.elastic[1:].any()
        assert drawn.coarse_axis == 0


def test_without_rotation_axes_stay() -> None:
    for iteration in range(10):
        matrix = draw((0, "0", iteration, 0), rotation=0).matrix
        assert matrix is not None
        np.testing.assert_allclose(matrix, np.eye(2) * matrix[0, 0])


def test_ranges_and_frequencies() -> None:
    some = [draw((0, "0", k, 0), Augmentation()) for k in range(2000)]
    a = Augmentation()
    noisy = [s.noise_std for s in some if s.noise_std]
    assert len(noisy) / 2000 == pytest.approx(a.noise_p, abs=0.02)
    assert a.noise_std[0] <= min(noisy)
    assert max(noisy) <= a.noise_std[1]
    for name, p, bounds, neutral in (
        ("blur_sigma", a.blur_p / 2, a.blur_sigma, 0), ("brightness", a.brightness_p, a.brightness, 1),
        ("contrast", a.contrast_p, a.contrast, 1), ("lowres", a.lowres_p / 2, a.lowres_scale, 1), ("gamma", a.gamma_p, a.gamma, 1),
        ("gamma_inverted", a.gamma_inverted_p, a.gamma, 1),
    ):  # fmt: skip
        drawn = np.array([getattr(s, name) for s in some])
        on = drawn[drawn != neutral]
        assert on.size / drawn.size == pytest.approx(p, abs=0.025), name
        assert bounds[0] <= on.min() < on.max() <= bounds[1], name
    for axis in (0, 1):
        assert sum(axis in s.flips for s in some) / 2000 == pytest.approx(0.5, abs=0.04)


def test_only_the_allowed_axes_are_flipped() -> None:
    for k in range(10):
        assert draw_sample(sample_rng(0, "0", k, 0), ALWAYS, num_channels=1, num_axes=3, mirror_axes=(2,), rotation=0).flips == (2,)


def test_rotation_matrices_turn_the_first_axis_to_the_second() -> None:
    np.testing.assert_allclose(rotation_matrix(3, (0, 2), np.pi / 2) @ [1, 0, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(rotation_matrix(2, (0, 1), 0.3) @ rotation_matrix(2, (0, 1), -0.3), np.eye(2), atol=1e-12)


@pytest.mark.parametrize("axes", [2, 3])
def test_ranges_of_the_strong_transforms(axes: int) -> None:
    a, num = STRONG_AUGMENTATION, 1000
    some = [draw((0, "0", k, 0), a, axes=axes) for k in range(num)]
    elastic = [s.elastic for s in some if s.elastic is not None]
    assert len(elastic) / num == pytest.approx(a.elastic_p, abs=0.05)
    assert {e.shape for e in elastic} == {(axes, *[n + 3] * axes) for n in range(a.elastic_intervals[0], a.elastic_intervals[1] + 1)}
    assert 0.9 * a.elastic_magnitude[1] < max(np.abs(e).max() for e in elastic) <= a.elastic_magnitude[1]
    grids = [s.grid for s in some if s.grid is not None]
    assert len(grids) / num == pytest.approx(a.grid_distortion_p, abs=0.05)
    np.testing.assert_allclose([g.mean(axis=1) for g in grids], 1)
    assert min(g.min() for g in grids) > 0
    clips = [s.clahe_clip for s in some if s.clahe_clip]
    assert len(clips) / num == pytest.approx(a.clahe_p, abs=0.04)
    assert a.clahe_clip[0] <= min(clips) < max(clips) <= a.clahe_clip[1]
    dropped = [s.dropout for s in some if s.dropout]
    assert len(dropped) / num == pytest.approx(a.dropout_p, abs=0.05)
    assert {len(rectangles) for rectangles in dropped} == set(range(a.dropout_rectangles[0], a.dropout_rectangles[1] + 1))
    for rectangle in (r for rectangles in dropped for r in rectangles):
        edges = np.subtract(rectangle.stop, rectangle.start)
        assert min(rectangle.start) >= 0
        assert max(rectangle.stop) <= 1
        assert a.dropout_size[0] - 1e-9 <= edges.min() <= edges.max() <= a.dropout_size[1] + 1e-9


def test_factors_and_exponents_lie_below_and_above_1_equally_often() -> None:
    # As in nnU-Net; uniform over 0.7 to 1.5 would be 0.375 below.
    gammas = np.array([draw((0, "0", k, 0)).gamma for k in range(700)])
    assert np.mean(gammas < 1) == pytest.approx(0.5, abs=0.04)
    assert np.mean(gammas < 0.85) == pytest.approx(0.25, abs=0.04)
    assert np.mean(gammas > 1.25) == pytest.approx(0.25, abs=0.04)
    # A range on one side of 1 stays what it is.
    above = np.array([draw((0, "0", k, 0), replace(ALWAYS, gamma=(1.2, 1.4))).gamma for k in range(300)])
    assert above.min() >= 1.2
    assert np.mean(above < 1.3) == pytest.approx(0.5, abs=0.06)
