"""Rows decided as they finish are the whole image decided at once, to the last bit."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autoseg.augment import Intensity
from autoseg.case import Case, LoadedCase
from autoseg.geometry import Geometry
from autoseg.infer.case import Item, Model, segment, segment_all
from autoseg.infer.decide import are_inside, most_probable
from autoseg.infer.nets import load_net, plan_window
from autoseg.infer.window import predict_image
from autoseg.labels import LabelSpace
from autoseg.preprocess.prepare import prepare
from autoseg.preprocess.prepared import Prepared
from tests.infer.plans import EXCLUSIVE, OVERLAPPING, random_checkpoint, tiny_plan


def model(labels: LabelSpace, thresholds: tuple[float, ...] = ()) -> Model:
    plan = tiny_plan(labels)
    window = plan_window(plan, "2d", torch.device("cpu"))
    return Model(labels=labels, nets=(load_net(random_checkpoint(plan), torch.device("cpu")),), window=window, thresholds=thresholds)


def prepared(labels: LabelSpace, *shape: int) -> Prepared:
    plan = tiny_plan(labels)
    image = np.random.default_rng(shape[0]).integers(0, 2, (1, *shape), np.uint8)
    loaded = LoadedCase(case=Case(name="a", images=()), image=image, geometry=Geometry.pixels(shape), labels=None)
    return prepare(loaded, plan, stage=plan.stages["2d"])


def whole(of: Model, case: Prepared) -> NDArray[np.float32]:
    return predict_image(of.nets, case.image, of.window, Intensity.of(case.meta))


@pytest.mark.parametrize("thresholds", [(), (0.45, 0.55)])
def test_overlapping_rows(thresholds: tuple[float, ...]) -> None:
    of, case = model(OVERLAPPING, thresholds), prepared(OVERLAPPING, 61, 40)
    got = segment(of, case.image, case.meta, probabilities=True)
    expected = whole(of, case)
    limits = np.array(thresholds or (0.5, 0.5), np.float32)[:, None, None]
    assert 0.02 < (expected > limits).mean() < 0.98
    np.testing.assert_array_equal(got.array, expected > limits)
    np.testing.assert_array_equal(got.probabilities, np.rint(expected * np.float32(255)))


def test_exclusive_rows() -> None:
    of, case = model(EXCLUSIVE), prepared(EXCLUSIVE, 61, 40)
    got = segment(of, case.image, case.meta, probabilities=True)
    expected = whole(of, case)
    np.testing.assert_array_equal(got.map(), np.array((0, *EXCLUSIVE.values))[expected.argmax(axis=0)])
    np.testing.assert_array_equal(got.probabilities, np.rint(expected[1:] * np.float32(255)))


def test_images_that_share_batches_do_not_mix() -> None:
    of = model(OVERLAPPING)
    cases = [prepared(OVERLAPPING, *shape) for shape in ((16, 16), (9, 12), (40, 30), (16, 16), (5, 33))]
    together = list(segment_all(of, [Item(image=case.image, meta=case.meta) for case in cases]))
    assert of.window.batch > 20
    for case, got in zip(cases, together, strict=True):
        assert got.geometry.shape == case.meta.geometry.shape
        alone = np.asarray(segment(of, case.image, case.meta).array)
        assert (np.asarray(got.array) == alone).mean() > 0.999  # a batch of another size is summed in another order


def test_equals_and_limits() -> None:
    values = torch.tensor([[0.5, 0.2], [0.5, 0.8]])
    assert most_probable(values).tolist() == [0, 1]
    assert are_inside(values).tolist() == [[False, False], [False, True]]
    assert are_inside(values, (0.1, 0.9)).tolist() == [[True, True], [False, False]]
