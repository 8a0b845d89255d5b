"""A new case through two stages whose answers are known: the first cuts the image at a brightness, the second repeats what it is told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoseg.case import Case, LoadedCase
from autoseg.errors import UsageError
from autoseg.geometry import Geometry
from autoseg.infer.cascade import prepare_stages, segment_stages
from autoseg.infer.case import Model, Previous
from autoseg.infer.load import find_previous
from autoseg.infer.nets import plan_window
from autoseg.infer.record import checksum
from autoseg.infer.segmentation import Segmentation
from autoseg.io import scratch
from autoseg.labels import LabelSpace
from autoseg.plan import Plan
from tests.infer.plans import EXCLUSIVE, OVERLAPPING, Thresholds, blocks, tiny_plan

CPU = torch.device("cpu")


class Repeats(nn.Module):
    """Says again what the previous channels say, whatever the image: class 0 at odds of p, the background at 1 - the sum."""

    def __init__(self, labels: LabelSpace) -> None:
        super().__init__()
        self.exclusive = labels.exclusive

    def forward(self, x: Tensor) -> list[Tensor]:
        said = x[:, 1:].clamp(1e-6, 1 - 1e-6)
        if not self.exclusive:
            return [said.logit()]
        return [torch.cat([(1 - x[:, 1:].sum(1, keepdim=True)).clamp(1e-6), said], dim=1).log()]


def second_plan(plan: Plan) -> Plan:
    """The stage behind a plan's only one, on the images' own grid."""
    (first,) = plan.stages.values()
    stage = replace(first, name="2d_cascade", previous=first.name, resample=False, network=replace(first.network, in_channels=3))
    return replace(plan, stages={"2d_cascade": stage})


def predict(plan: Plan, image: NDArray[np.uint8], spacing: tuple[float, ...]) -> Segmentation:
    (first,) = plan.stages
    last = second_plan(plan)
    before = Model(labels=plan.labels, nets=(Thresholds(plan.labels),), window=plan_window(plan, first, CPU))
    model = Model(
        labels=plan.labels,
        nets=(Repeats(plan.labels),),
        window=plan_window(last, "2d_cascade", CPU),
        previous=Previous(plan=plan, stage=first, model=before),
    )
    geometry = replace(Geometry.pixels(image.shape[1:]), spacing=spacing, unit="mm")
    loaded = LoadedCase(case=Case(name="a", images=()), image=image, geometry=geometry, labels=None)
    prepared = prepare_stages(model, loaded, last, "2d_cascade")
    assert len(prepared) == 2
    return segment_stages(model, prepared, probabilities=True)


def margin(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels whose neighbours are all alike."""
    grown = np.zeros_like(mask)
    for axis in range(mask.ndim):
        for step in (-2, -1, 1, 2):
            grown |= np.roll(mask, step, axis) != mask
    return ~grown


@pytest.mark.parametrize("labels", [OVERLAPPING, EXCLUSIVE])
@pytest.mark.parametrize(
    ("shape", "options"),
    [((40, 27), {}), ((9, 40), {"crop": True}), ((12, 20, 18), {"num_axes": 3}), ((12, 20, 18), {"num_axes": 3, "slice_axis": 2})],
)
def test_what_the_first_stage_says_comes_through(labels: LabelSpace, shape: tuple[int, ...], options: dict[str, int]) -> None:
    image = blocks(*shape)
    masks = dict(predict(tiny_plan(labels, **options), image, (1.0,) * len(shape)).masks())  # type: ignore[arg-type]
    bright, some = image[0] > 150, image[0] > 50
    np.testing.assert_array_equal(masks["bright"], bright)
    second = masks["middle"] if labels.exclusive else masks["손/any"]
    np.testing.assert_array_equal(second, some & ~bright if labels.exclusive else some)


@pytest.mark.parametrize("labels", [OVERLAPPING, EXCLUSIVE])
def test_channels_that_are_too_large_for_memory_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, labels: LabelSpace) -> None:
    image, spacing = blocks(12, 20, 18), (1.0, 0.9, 1.1)
    plan = tiny_plan(labels, num_axes=3, spacing=(1.0, 1.0, 1.0))
    usual = predict(plan, image, spacing)
    monkeypatch.setattr(scratch, "LARGE", 1)
    monkeypatch.setattr(scratch, "is_in_memory", lambda folder: False)
    same = predict(plan, image, spacing)
    assert isinstance(same.probabilities, np.memmap)
    assert usual.probabilities is not None
    np.testing.assert_array_equal(same.probabilities, usual.probabilities)
    np.testing.assert_array_equal(np.asarray(same.array), np.asarray(usual.array))


def test_a_coarse_first_stage_comes_through_but_for_its_edges() -> None:
    image = blocks(48, 64)
    plan = tiny_plan(OVERLAPPING, spacing=(2.0, 2.0))
    result = predict(plan, image, (1.0, 1.0))
    for name, expected in (("bright", image[0] > 150), ("손/any", image[0] > 50)):
        inside = margin(expected)
        assert 0.5 < inside.mean() < 1
        np.testing.assert_array_equal(dict(result.masks())[name][inside], expected[inside])


def plant(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True)
    file = folder / "checkpoint_last.safetensors"
    file.write_text(content)
    return file


def test_nets_before_are_found_by_what_they_hold(tmp_path: Path) -> None:
    ours = [plant(tmp_path / f"2d_lowres-sgd/fold{k}", str(k)) for k in range(3)]
    plant(tmp_path / "2d_lowres-default/fold0", "of no use")
    copied = plant(tmp_path / "2d_lowres-other/fold9", "1")
    cascade = [plant(tmp_path / f"2d_cascade-sgd/fold{k}", "") for k in range(3)]
    wanted = {path: (checksum(ours[k]),) for k, path in enumerate(cascade)}
    assert find_previous("2d_lowres", wanted) == ours
    assert find_previous("2d_lowres", {cascade[2]: (checksum(ours[2]),)}) == ours[2:]
    assert find_previous("2d_lowres", {cascade[0]: tuple(checksum(file) for file in ours)}) == ours
    ours[1].unlink()
    assert find_previous("2d_lowres", wanted) == [ours[0], ours[2], copied]


def test_a_net_before_that_is_missing_or_changed_is_named(tmp_path: Path) -> None:
    before = [plant(tmp_path / f"2d_lowres-sgd/fold{k}", str(k)) for k in range(2)]
    sums = tuple(checksum(file) for file in before)
    one, everything = plant(tmp_path / "2d_cascade-sgd/fold1", ""), plant(tmp_path / "2d_cascade-sgd/fold_all", "")
    before[1].write_text("trained again")
    again = r"autoseg train 2d_cascade {} --trainer sgd --restart\."
    with pytest.raises(
        UsageError, match=rf"fold 1 of 2d_cascade-sgd .*2d_lowres-sgd/fold1/.* has changed since\. .*{again.format('fold1')}"
    ):
        find_previous("2d_lowres", {one: sums[1:]})
    before[1].unlink()
    with pytest.raises(UsageError, match=rf"fold all of .*needs fold 1 .*fold1/.* is missing\. Put .*{again.format('fold_all')}"):
        find_previous("2d_lowres", {everything: sums})
    with pytest.raises(UsageError, match="needs fold 1 of 2d_lowres"):
        find_previous("2d_lowres", {one: ()})  # trained by hand, without a stage before
