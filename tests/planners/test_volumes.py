"""Plans of volumes: which configurations, which patch, which low resolution; and the Decathlon's golden plans."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from autoseg.budget import memory_budget, named_gpu
from autoseg.errors import UsageError
from autoseg.fingerprint import Fingerprint
from autoseg.planners import Request, make_plan
from autoseg.planners.candidates import shrink, smaller_patches, with_voxels
from autoseg.planners.limits import beyond_limits
from autoseg.planners.residual import make_residual_plan
from autoseg.planners.search import FILL, Traces
from tests.planners.decathlon import DECATHLON, GOLDEN, GPU, described, golden_entry
from tests.planners.sets import SETS, whole

GOLDEN_ROWS = json.loads(GOLDEN.read_text())


def volumes(shape: tuple[int, int, int], spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Fingerprint:
    """20 cases of this shape."""
    found = described("04 Hippocampus")
    box = tuple((0, n) for n in shape)
    cases = tuple(replace(case, shape=shape, spacing=spacing, nonzero_box=box, labelled=math.prod(shape)) for case in found.cases[:20])
    return replace(found, cases=cases)


def test_a_patch_that_covers_a_quarter_needs_no_first_stage() -> None:
    plan = make_plan(volumes((24, 32, 32)), memory_budget(8), Request())
    assert list(plan.stages) == ["2d", "3d_fullres"]
    assert plan.stages["3d_fullres"].patch == (24, 32, 32)
    assert plan.stages["2d"].slice_axis == 0


def test_a_large_volume_gets_a_low_resolution_and_a_cascade() -> None:
    traces: Traces = {}
    plan = make_plan(volumes((200, 200, 200)), memory_budget(4), Request(traces=traces))
    assert list(plan.stages) == ["2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"]
    full, low, second = (plan.stages[name] for name in ("3d_fullres", "3d_lowres", "3d_cascade_fullres"))
    assert math.prod(full.patch) < 200**3 / 4
    # The full patch's voxels are a quarter of the image's at the low resolution; one step of 3 % finer they are less.
    assert math.prod(low.image_shape) <= 4 * math.prod(full.patch) < math.prod(round(n * 1.03) for n in low.image_shape) * 1.02
    assert low.spacing == pytest.approx((low.spacing[0],) * 3)
    assert low.resample
    assert low.reasons["spacing"].startswith(f"{low.spacing[0]:.3g} times the full resolution's")
    assert (second.previous, second.spacing, second.network.in_channels) == ("3d_lowres", full.spacing, 1 + 2)
    for stage in plan.stages.values():
        assert stage.memory.peak_bytes <= FILL * stage.memory.budget_bytes


def test_a_first_stage_that_is_asked_for_has_half_the_voxels_at_most() -> None:
    plan = make_plan(volumes((32, 32, 32)), memory_budget(8), Request(configs=("3d_cascade_fullres",)))
    assert list(plan.stages) == ["3d_lowres", "3d_cascade_fullres"]
    assert math.prod(plan.stages["3d_lowres"].image_shape) <= 32**3 / 2


def test_a_coarse_axis_keeps_its_spacing_and_the_reason_says_so() -> None:
    plan = make_plan(volumes((12, 40, 40), (5.0, 0.7, 0.7)), memory_budget(8), Request(configs=("3d_cascade_fullres",)))
    low = plan.stages["3d_lowres"]
    assert low.spacing[0] == 5.0
    assert low.reasons["spacing"].startswith(f"1 x {low.spacing[1] / 0.7:.3g} x {low.spacing[2] / 0.7:.3g} times the full resolution's")


def test_pictures_have_no_third_axis() -> None:
    with pytest.raises(UsageError, match="--configs 3d_lowres is for volumes, and made holds 2D images; for those there are 2d, 2d_lowres"):
        make_plan(SETS["512 RGB"], memory_budget(8), Request(configs=("3d_lowres",)))


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 64, 64)])
def test_a_few_slices_make_a_plan_that_can_be_trained(shape: tuple[int, int, int]) -> None:
    plan = make_plan(volumes(shape, (10.0, 0.5, 0.5)), memory_budget(8), Request())
    for stage in plan.stages.values():
        assert beyond_limits(stage, plan.budget, plan.labels) == []
    assert plan.stages["3d_fullres"].patch[0] == 4  # the rest is mirrored


def test_patches_are_cut_to_equal_lengths_in_mm() -> None:
    stage = replace(whole((40, 256, 256)), spacing=(4.0, 1.0, 1.0), image_shape=(40, 256, 256))
    # 160 mm are 40 slices; 128 mm are 32.
    assert shrink(stage, 160).patch[0] == 40
    assert shrink(stage, 128).patch == (32, 128, 128)
    sizes = [math.prod(candidate.patch) for candidate in smaller_patches(stage)]
    assert sizes == sorted(sizes, reverse=True)
    assert min(min(candidate.patch) for candidate in smaller_patches(stage)) >= 4


def test_coarse_axes_are_spared_until_the_others_are_half_as_fine() -> None:
    stage = replace(whole((40, 256, 256)), spacing=(4.0, 1.0, 1.0), image_shape=(40, 256, 256))
    low = with_voxels(stage, 40 * 150 * 150)
    assert low.spacing[0] == 4.0
    assert 256 / 150.5 <= low.spacing[1] < 256 / 150 * 1.04
    lower = with_voxels(stage, 20 * 64 * 64)
    assert lower.spacing[0] > 4.0
    assert lower.spacing[0] / lower.spacing[1] == pytest.approx(2, rel=0.04)


def test_a_volume_counts_as_often_as_a_patch_fits_into_it() -> None:
    # 16 training volumes of 64 ** 3 hold 128 patches of 32 ** 3: 6,400 iterations of batch 2 would be too few, so 10,000; 800 hold more.
    plan = make_plan(volumes((64, 64, 64)), memory_budget(8), Request(configs=("3d_fullres",)))
    stage = plan.stages["3d_fullres"]
    patches = math.prod(stage.image_shape) / math.prod(stage.patch)
    assert stage.reasons["length"].startswith("each of 16 " if patches <= 1 else f"each of {round(16 * patches)} patches")


def test_residual_encoders() -> None:
    plan = make_residual_plan(volumes((64, 64, 64)), memory_budget(8), Request(configs=("2d", "3d_fullres")))
    assert plan.planner == "resenc"
    for stage in plan.stages.values():
        assert stage.network.blocks == (1, 3, 4, 6, 6)[: len(stage.network.features)]
        assert stage.network.convs == 1
        assert stage.memory.peak_bytes <= FILL * stage.memory.budget_bytes
    plain = make_plan(volumes((64, 64, 64)), memory_budget(8), Request(configs=("2d",)))
    # Of one batch the residual net takes more: its encoder has 22 convolutions a side where the plain one has 8.
    assert plain.stages["2d"].memory.peak_bytes / plain.stages["2d"].batch < plan.stages["2d"].memory.peak_bytes / plan.stages["2d"].batch


@pytest.mark.parametrize("name", ["04 Hippocampus", "05 Prostate"])
def test_golden_plans(name: str) -> None:
    check_golden(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in DECATHLON if name not in ("04 Hippocampus", "05 Prostate")])
def test_all_golden_plans(name: str) -> None:
    check_golden(name)


def check_golden(name: str) -> None:
    """`python -m benchmarks.decathlon --golden` writes them."""
    plan = make_plan(described(name), named_gpu(GPU), Request())
    made: list[dict[str, Any]] = [golden_entry(name, stage) for stage in plan.stages.values() if stage.name.startswith("3d")]
    assert made == [row for row in GOLDEN_ROWS if row["data"] == name]
    for stage in plan.stages.values():
        assert stage.memory.peak_bytes <= FILL * stage.memory.budget_bytes
        assert all(features % 8 == 0 for features in stage.network.features)
        if stage.name.startswith("3d"):
            # No axis is convolved across while its spacing is over twice the finest.
            spacing = list(stage.net_spacing)
            for stride, kernel in zip(stage.network.strides, stage.network.kernels, strict=True):
                spacing = [s * f for s, f in zip(spacing, stride, strict=True)]
                assert all(k == 3 for s, k in zip(spacing, kernel, strict=True) if s < 2 * min(spacing))


def test_kernels_on_an_uneven_grid() -> None:
    rows = {row["data"]: row for row in GOLDEN_ROWS if row["stage"] == "3d_fullres"}
    assert rows["05 Prostate"]["kernels"][0] == [1, 3, 3]
    assert rows["05 Prostate"]["strides"][1] == [1, 2, 2]
    assert rows["01 BrainTumour"]["kernels"][0] == [3, 3, 3]
