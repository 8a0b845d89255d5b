"""Target spacing, slicing axis and median shape."""

import pytest

from autoseg.fingerprint import Fingerprint
from autoseg.planners.spacing import decide_spacing
from tests.fingerprint.make import case_facts, fingerprint


def volumes(*spacings: tuple[float, ...], shape: tuple[int, ...] = (40, 100, 100)) -> Fingerprint:
    return fingerprint([case_facts(f"c{i}", shape=shape, spacing=s, unit="mm") for i, s in enumerate(spacings)])


def test_pixels_are_left_alone() -> None:
    decision = decide_spacing(fingerprint([case_facts("a", shape=(60, 80)), case_facts("b", shape=(80, 80))]), net_axes=2)
    assert not decision.resample
    assert decision.image_shape == (70, 80)
    assert decision.slice_axis is None


def test_equal_spacings_within_one_per_cent() -> None:
    assert not decide_spacing(volumes((1, 1, 1), (1.005, 1, 1), (1, 1, 0.995)), net_axes=3).resample
    assert decide_spacing(volumes((1, 1, 1), (1.02, 1, 1), (1, 1, 1)), net_axes=3).resample


def test_isotropic_data_take_the_median() -> None:
    decision = decide_spacing(volumes((1, 1, 1), (1.5, 1.5, 1.5), (2, 2, 2)), net_axes=3)
    assert decision.spacing == (1.5, 1.5, 1.5)
    assert decision.image_shape == (40, 100, 100)


def test_a_coarse_axis_takes_the_tenth_percentile() -> None:
    spacings = [(float(z), 0.8, 0.8) for z in range(3, 14)]
    decision = decide_spacing(volumes(*spacings), net_axes=3)
    assert decision.spacing == pytest.approx((4.0, 0.8, 0.8))
    assert "coarse" in decision.reasons["spacing"]


def test_the_coarse_axis_never_gets_finer_than_the_others() -> None:
    decision = decide_spacing(volumes((0.5, 1, 1), *[(4, 1, 1)] * 4, (4, 1.2, 1.2)), net_axes=3)
    assert decision.spacing[0] >= 1


def test_volumes_are_sliced_across_the_coarsest_axis() -> None:
    decision = decide_spacing(volumes((0.8, 5, 0.8), (0.8, 3, 0.8)), net_axes=2)
    assert decision.slice_axis == 1
    assert not decision.resample  # in the plane they agree
    assert decision.image_shape == (40, 100, 100)


def test_slices_keep_their_number_when_planes_are_resampled() -> None:
    decision = decide_spacing(volumes((5, 0.5, 0.5), (5, 1, 1), (5, 1, 1)), net_axes=2)
    assert decision.slice_axis == 0
    assert decision.resample
    assert decision.image_shape == (40, 100, 100)


def test_isotropic_volumes_are_sliced_across_their_shortest_axis() -> None:
    decision = decide_spacing(volumes((1, 1, 1), shape=(36, 50, 35)), net_axes=2)
    assert decision.slice_axis == 2
    assert "fewest" in decision.reasons["slice_axis"]


def test_cropping_makes_the_median_smaller() -> None:
    cases = [case_facts("a", shape=(64, 64), nonzero_box=((10, 40), (0, 64)))]
    assert decide_spacing(fingerprint(cases), net_axes=2, crop=True).image_shape == (30, 64)
