"""The whole plan of a stand-in for HandBone, decision by decision with its reason."""

import math
from dataclasses import replace
from typing import Any

import pytest

from autoseg.budget import Budget, memory_budget, named_gpu
from autoseg.errors import PlanError, UsageError
from autoseg.fingerprint import ClassContext, ClassFacts, Context, Fingerprint
from autoseg.memory import training_memory
from autoseg.plan import Plan, Stage, contradictions
from autoseg.planners import PLANNERS, Request, make_plan, stages
from autoseg.planners.residual import make_residual_plan
from tests import small
from tests.fingerprint.make import case_facts, fingerprint

CPU_BUDGET = Budget(name="cpu", kind="cpu", memory_bytes=2**33, hours=0.1)


def hands(size: int = 128, people: int = 20) -> Fingerprint:
    """Two bones that share a tenth of the smaller one; two images a person."""
    bones = (
        ClassFacts(area=size * size // 10, components=1, extent=(size // 3,) * 2, centroid=(size * 0.4, size * 0.5)),
        ClassFacts(area=size * size // 50, components=1, extent=(size // 8,) * 2, centroid=(size * 0.6, size * 0.5)),
    )
    cases = [
        case_facts(f"ID{p:03d}_{side}", group=f"ID{p:03d}", shape=(size, size), nonzero_box=((0, size),) * 2, classes=bones)
        for p in range(people)
        for side in "LR"
    ]
    shared = sum(len(cases) * bone.area // 10 for bone in bones[1:])
    areas = [len(cases) * bone.area for bone in bones]
    return fingerprint(cases, ("Pisiform", "Triquetrum"), overlap=((areas[0], shared), (shared, areas[1])), priors=(0.1, 0.02))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(hands(), named_gpu("v100-32gb"), Request())


def test_the_table_of_planners() -> None:
    assert {"default": make_plan, "resenc": make_residual_plan} == PLANNERS


def test_a_plan_says_what_was_decided(plan: Plan) -> None:
    stage = plan.stages["2d"]
    assert not plan.labels.exclusive  # 10 % of the smaller class is shared
    assert (stage.patch, stage.image_shape, stage.resample, stage.slice_axis) == ((128, 128), (128, 128), False, None)
    assert stage.precision == "fp16"  # compute capability 7.0
    assert len(stage.network.features) == 6  # edges 128 to 4
    assert stage.network.num_heads == 2
    assert stage.batch == 2  # 5 % of 40 images
    assert (stage.iterations, stage.iterations_per_epoch, stage.recipe.optimizer) == (10_000, 250, "sgd")
    assert stage.recipe.loss == "dice_bce"
    assert stage.priors == (0.1, 0.02)
    assert stage.step_s is None
    assert stage.memory.peak_bytes < 0.92 * stage.memory.budget_bytes


def test_every_decision_has_its_reason(plan: Plan) -> None:
    assert plan.reasons.keys() >= {"labels", "normalization", "crop"}
    reasons = plan.stages["2d"].reasons
    assert reasons.keys() >= {"patch", "batch", "memory", "length", "recipe", "pose", "spacing"}
    assert reasons["patch"] == "the whole image at full resolution"
    assert "each of 32 training images about 100 times" in reasons["length"]  # four of five folds of 40
    assert all(plan.reasons.values())
    assert all(reasons.values())


def test_a_processor_gets_a_lighter_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = (timed(monkeypatch, per_pixel).stages["2d"] for per_pixel in (1e-9, 1e-5))
    assert math.prod(cut.patch) < math.prod(whole.patch)
    for stage in (whole, cut):
        assert (stage.network.convs, stage.network.decoder_convs) == (2, 1)
        assert "1 in each stage of the decoder" in stage.reasons["network.decoder_convs"]


def test_a_gpu_gets_nnunets_decoder(plan: Plan) -> None:
    stage = plan.stages["2d"]
    assert (stage.network.convs, stage.network.decoder_convs, stage.network.convs_up) == (2, None, 2)
    assert "network.decoder_convs" not in stage.reasons


def test_residual_nets_are_the_same_on_a_processor() -> None:
    budget = replace(CPU_BUDGET, hours=None)
    stage = make_residual_plan(hands(size=48), budget, Request()).stages["2d"]
    assert (stage.network.decoder_convs, stage.network.convs_up) == (None, 1)
    assert "network.decoder_convs" not in stage.reasons


def test_exclusive_classes_get_a_background_and_softmax() -> None:
    facts = hands()
    apart = replace(facts, overlap=((facts.overlap[0][0], 0), (0, facts.overlap[1][1])))
    plan = make_plan(apart, named_gpu("v100-32gb"), Request())
    assert plan.labels.exclusive
    assert plan.stages["2d"].network.num_heads == 3
    assert plan.stages["2d"].recipe.loss == "dice_ce"


def test_odd_sizes_are_rounded_up_to_what_the_net_pools() -> None:
    patch = make_plan(hands(size=100), memory_budget(4), Request()).stages["2d"].patch
    assert patch == (112, 112)


def test_a_small_budget_is_refused() -> None:
    with pytest.raises(PlanError, match=r"a budget of 0\.5 GiB is too small"):
        make_plan(hands(size=48), memory_budget(0.5), Request())


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("3d", "is not a configuration; there are 2d, "),
        ("3d_fullres", "is for volumes, and made holds 2D images; for those there are 2d, 2d_lowres, 2d_cascade"),
    ],
)
def test_unknown_configurations(config: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"--configs {config} {said}"):
        make_plan(hands(), memory_budget(4), Request(configs=(config,)))


def timed(monkeypatch: pytest.MonkeyPatch, per_pixel: float, hours: float = 0.1, **facts: Any) -> Plan:
    """Steps cost so many seconds per pixel and sample."""

    def measure(stage: Stage, device: Any, *, exclusive: bool) -> float:
        return per_pixel * int(stage.batch) * math.prod(stage.patch)

    monkeypatch.setattr(stages, "measure_step", measure)
    return make_plan(hands(**facts), replace(CPU_BUDGET, hours=hours), Request(device=small.CPU))


def test_short_time_shrinks_the_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    # 72 s a fold, 64.8 for steps: 0.162 s each for 400, of 2 samples of at most 8100 pixels: 90 x 90.
    stage = timed(monkeypatch, 1e-5).stages["2d"]
    assert 64 <= stage.patch[0] <= 90
    assert stage.patch[0] == stage.patch[1]
    assert stage.step_s == pytest.approx(1e-5 * 2 * stage.patch[0] ** 2)
    assert "the largest of which at least 400 steps fit" in stage.reasons["patch"]
    assert stage.recipe.optimizer == "adamw"
    assert "AdamW" in stage.reasons["recipe"]


def test_the_whole_image_is_called_so_where_the_time_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = timed(monkeypatch, 1e-9).stages["2d"]
    assert stage.patch == stage.net_shape
    assert stage.reasons["patch"].startswith("the whole image at full resolution: ")


def test_what_is_traced_is_what_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    for plan in (timed(monkeypatch, 1e-5), timed(monkeypatch, 1e-7)):
        stage = plan.stages["2d"]
        expected = training_memory(
            stage, exclusive=False, precision=stage.precision, device_type="cpu", budget_bytes=plan.budget.memory_bytes
        )
        assert stage.memory == expected


def test_hours_without_the_device_decide_no_patch() -> None:
    plan = make_plan(hands(), replace(named_gpu("v100-32gb"), hours=0.001), Request())
    assert plan.stages["2d"].patch == (128, 128)
    assert "no step could be measured" in plan.reasons["hours"]


def with_context(needed: float) -> Fingerprint:
    facts = hands()
    alike = tuple(ClassContext(extent=(0.3, 0.3), look_alikes=(1 - k,), needed=needed) for k in range(2))
    return replace(facts, context=Context(classes=alike, windows=(needed,), accuracy=(1.0,), cases=40))


def test_a_patch_that_shows_enough_needs_no_cascade(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "measure_step", lambda stage, device, exclusive: 1e-5 * stage.batch * math.prod(stage.patch))
    plan = make_plan(with_context(0.2), CPU_BUDGET, Request(device=small.CPU))
    assert plan.stages.keys() == {"2d"}  # 80 of 128 pixels show 62 %; 40 % are asked for
    assert "this patch shows" in plan.stages["2d"].reasons["view"]


def test_what_a_patch_cannot_show_a_low_resolution_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "measure_step", lambda stage, device, exclusive: 1e-5 * stage.batch * math.prod(stage.patch))
    plan = make_plan(with_context(0.5), CPU_BUDGET, Request(device=small.CPU))
    assert list(plan.stages) == ["2d", "2d_lowres", "2d_cascade"]
    full, low, second = plan.stages.values()
    assert not full.resample
    assert low.resample
    assert low.spacing[0] >= math.sqrt(2)
    assert all(p >= n for p, n in zip(low.patch, low.image_shape, strict=True))  # the whole image
    assert low.previous is None
    assert second.previous == "2d_lowres"
    assert second.network.in_channels == 1 + 2
    assert (second.spacing, second.resample, second.image_shape) == (full.spacing, full.resample, full.image_shape)
    assert contradictions(plan) == []
    for stage in plan.stages.values():
        assert stage.reasons.keys() >= {"patch", "batch", "memory", "length", "recipe", "pose", "spacing", "view"}
        assert (stage.network.convs, stage.network.convs_up) == (2, 1)  # as for a processor


def test_a_second_stage_brings_its_first(plan: Plan) -> None:
    asked = make_plan(hands(), memory_budget(8), Request(configs=("2d_cascade",)))
    assert list(asked.stages) == ["2d_lowres", "2d_cascade"]
    assert contradictions(asked) == []


def test_a_timed_plan_leaves_recomputing_where_it_fits_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for the whole only with stages recomputed; time for a patch that fits without."""
    facts = with_context(0.5)
    whole = make_plan(facts, replace(CPU_BUDGET, hours=None), Request()).stages["2d"]
    scarce = replace(CPU_BUDGET, memory_bytes=int(whole.memory.peak_bytes / 0.93))
    tight = make_plan(facts, replace(scarce, hours=None), Request()).stages["2d"]
    assert (tight.patch, tight.checkpointed_stages > 0) == ((128, 128), True)
    monkeypatch.setattr(stages, "measure_step", lambda stage, device, exclusive: 1e-5 * stage.batch * math.prod(stage.patch))
    timed_stage = make_plan(facts, scarce, Request(device=small.CPU)).stages["2d"]
    assert timed_stage.patch[0] < 128
    assert timed_stage.checkpointed_stages == 0


def test_a_timed_plan_stays_within_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that cost nothing ask for large batches; the memory of what was traced for AdamW holds them back."""
    monkeypatch.setattr(stages, "measure_step", lambda stage, device, exclusive: 1e-9)
    facts = hands(people=80)  # 5 % of 160 images: 8
    scarce = replace(CPU_BUDGET, memory_bytes=int(make_plan(facts, CPU_BUDGET, Request()).stages["2d"].memory.peak_bytes * 0.97))
    by_memory = make_plan(facts, scarce, Request()).stages["2d"]
    timed_stage = make_plan(facts, scarce, Request(device=small.CPU)).stages["2d"]
    assert timed_stage.batch * math.prod(timed_stage.patch) <= by_memory.batch * math.prod(by_memory.patch)
    assert timed_stage.memory.peak_bytes <= 0.92 * scarce.memory_bytes


def test_images_too_small_for_two_stages_are_refused() -> None:
    with pytest.raises(PlanError, match="too small for a first stage"):
        make_plan(hands(size=32), memory_budget(4), Request(configs=("2d_cascade",)))
