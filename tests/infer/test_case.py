"""From a prepared case to masks or a map on the original grid, with nets whose answer is known."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autoseg.case import Case, LoadedCase
from autoseg.geometry import Geometry
from autoseg.infer.case import Model, segment
from autoseg.infer.decide import Kept
from autoseg.infer.nets import head_swap, load_net, plan_window
from autoseg.infer.segmentation import Segmentation
from autoseg.labels import LabelSpace
from autoseg.plan import Plan
from autoseg.preprocess.prepare import prepare
from tests.infer.plans import EXCLUSIVE, OVERLAPPING, Thresholds, blocks, random_checkpoint, tiny_plan


def predict(plan: Plan, image: NDArray[np.uint8], spacing: tuple[float, ...] | None = None, probabilities: Kept = True) -> Segmentation:
    (stage,) = plan.stages
    geometry = Geometry.pixels(image.shape[1:])
    if spacing is not None:
        geometry = Geometry(
            shape=geometry.shape, spacing=spacing, origin=geometry.origin, direction=geometry.direction
        )  # fmt: skip
    loaded = LoadedCase(case=Case(name="a", images=()), image=image, geometry=geometry, labels=None)
    prepared = prepare(loaded, plan, stage=plan.stages[stage])
    model = Model(labels=plan.labels, nets=(Thresholds(plan.labels),), window=plan_window(plan, stage, torch.device("cpu")))
    return segment(model, prepared.image, prepared.meta, probabilities=probabilities)


CASES = [
    ((40, 27), {}),
    ((9, 40), {}),
    ((40, 27), {"crop": True}),
    ((12, 20, 18), {"num_axes": 3}),
    ((12, 20, 18), {"num_axes": 3, "slice_axis": 0}),
    ((12, 20, 18), {"num_axes": 3, "slice_axis": 2, "crop": True}),
]


@pytest.mark.parametrize(("shape", "options"), CASES)
def test_overlapping_masks_lie_where_they_should(shape: tuple[int, ...], options: dict[str, int]) -> None:
    image = blocks(*shape)
    result = predict(tiny_plan(OVERLAPPING, **options), image)  # type: ignore[arg-type]
    assert [name for name, _ in result.masks()] == ["bright", "손/any"]
    masks = dict(result.masks())
    np.testing.assert_array_equal(masks["bright"], image[0] > 150)
    np.testing.assert_array_equal(masks["손/any"], image[0] > 50)
    assert result.probabilities is not None
    np.testing.assert_array_equal(result.probabilities >= 128, result.array)


@pytest.mark.parametrize(("shape", "options"), CASES)
def test_exclusive_values_lie_where_they_should(shape: tuple[int, ...], options: dict[str, int]) -> None:
    image = blocks(*shape)
    result = predict(tiny_plan(EXCLUSIVE, **options), image)  # type: ignore[arg-type]
    expected = np.select([image[0] > 150, image[0] > 50], [7, 300], 0)
    assert result.array.dtype == np.uint16
    np.testing.assert_array_equal(result.array, expected)
    np.testing.assert_array_equal(dict(result.masks())["middle"], expected == 300)
    assert result.probabilities is not None
    np.testing.assert_array_equal(result.probabilities >= 128, np.stack([expected == 7, expected == 300]))


@pytest.mark.parametrize("labels", [OVERLAPPING, EXCLUSIVE])
@pytest.mark.parametrize(("shape", "spacing"), [((40, 28), (0.5, 1.0)), ((12, 20, 18), (1.0, 1.0, 2.0))])
def test_a_resampled_case_returns_to_its_own_grid(labels: LabelSpace, shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    image = blocks(*shape)
    result = predict(tiny_plan(labels, num_axes=len(shape), spacing=(1.0,) * len(shape)), image, spacing)
    masks = dict(result.masks())
    assert masks["bright"].shape == shape
    assert (masks["bright"] == (image[0] > 150)).mean() > 0.95
    assert result.probabilities is not None
    assert result.probabilities.shape == (2, *shape)


def test_a_checkpoints_net_predicts_what_the_net_does() -> None:
    plan = tiny_plan(OVERLAPPING)
    checkpoint = random_checkpoint(plan)
    net = load_net(checkpoint, torch.device("cpu"))
    assert not net.training
    assert not any(parameter.requires_grad for parameter in net.parameters())
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, checkpoint.weights[name])


def test_the_window_of_a_plan() -> None:
    window = plan_window(tiny_plan(EXCLUSIVE), "2d", torch.device("cpu"), step=0.25)
    assert (window.patch, window.mirror_axes, window.step, window.exclusive) == ((16, 16), (0, 1), 0.25, True)
    assert plan_window(tiny_plan(EXCLUSIVE), "2d", torch.device("cpu"), tta=False).mirror_axes == ()
    assert head_swap(EXCLUSIVE, (1, 0)) == (0, 2, 1)
    assert head_swap(OVERLAPPING, (1, 0)) == (1, 0)
    assert head_swap(OVERLAPPING, ()) == ()


@pytest.mark.parametrize(("shape", "options"), CASES)
def test_half_precision_is_the_sigmoid_itself(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    image = blocks(*shape)
    found = predict(tiny_plan(OVERLAPPING, **options), image, probabilities="half")
    assert found.probabilities is None
    assert found.halves is not None
    assert found.halves.dtype == np.float16
    x = image[0].astype(np.float64) / 10
    expected = np.stack([1 / (1 + np.exp(-(x - 15))), 1 / (1 + np.exp(-(x - 5)))])
    if options.get("crop"):
        outside = np.ones(shape, np.bool_)
        outside[tuple(slice(n // 4, 3 * n // 4) for n in shape)] = False
        expected[:, outside] = 0
    np.testing.assert_allclose(found.halves, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("labels", [OVERLAPPING, EXCLUSIVE])
@pytest.mark.parametrize("spacing", [None, (0.5, 2.0)])
def test_bytes_and_halves_say_the_same(labels: LabelSpace, spacing: tuple[float, ...] | None) -> None:
    found = predict(tiny_plan(labels, spacing=spacing and (1.0, 1.0)), blocks(40, 27), spacing, "both")
    assert found.probabilities is not None
    assert found.halves is not None
    assert found.halves.shape == found.probabilities.shape == (2, 40, 27)
    assert np.abs(found.halves.astype(np.float64) - found.probabilities / 255).max() <= 0.5 / 255 + 1e-3
