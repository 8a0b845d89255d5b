"""--set: what was set stays as set, what follows is decided anew, and what cannot be built is refused by name."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from autoseg.budget import GIB, Budget, memory_budget
from autoseg.errors import PlanError, UsageError
from autoseg.fingerprint import Fingerprint, Intensity
from autoseg.memory import step_key, training_memory
from autoseg.nets import NETS
from autoseg.nets.unet import build_unet
from autoseg.plan import Memory, Network, Normalization, Plan, Stage, contradictions
from autoseg.planners import Request, make_plan
from autoseg.planners.overrides import apply_overrides
from autoseg.planners.search import Tracer
from autoseg.planners.topology import unet
from autoseg.preprocess.store import plan_key
from autoseg.recipe import Augmentation, recipe_for
from autoseg.trainers.options import TrainOptions, apply_options
from tests import small
from tests.fingerprint.make import case_facts, fingerprint

#: 40 images of 128 x 128, whose middle 96 x 96 is not zero.
FACTS = fingerprint([case_facts(f"case{k}", shape=(128, 128), nonzero_box=((16, 112),) * 2) for k in range(40)], ("a",))
IN_MM = replace(FACTS, unit="mm", cases=tuple(replace(case, unit="mm") for case in FACTS.cases))
BUDGET = memory_budget(8)
#: 30,000 bytes for each pixel of a batch and half of them if anything is recomputed: 8 GiB hold 17 patches of 128 x 128.
PER_PIXEL = 30_000


class Formula(Tracer):
    """Memory in closed form."""

    def __init__(self, budget: Budget = BUDGET) -> None:
        super().__init__(budget, exclusive=True)

    def memory(self, stage: Stage) -> Memory:
        """Bytes for each pixel of a batch."""
        used = stage.batch * math.prod(stage.patch) * PER_PIXEL * 0.5**stage.checkpointed_stages
        return Memory(peak_bytes=int(used), budget_bytes=self.budget.memory_bytes)


def plan_for(facts: Fingerprint = FACTS, edge: int = 96, **changes: Any) -> Plan:
    """One stage on the whole image, cropped to what is not zero."""
    patch, network = unet((edge, edge), (1.0, 1.0), in_channels=1, num_heads=2)
    stage = small.stage(
        exclusive=True, patch=patch, network=network, batch=2, image_shape=(96, 96), spacing=(1.0, 1.0), precision="fp16", mirror_axes=(1,),
        recipe=recipe_for("dice_ce", 10_000), iterations=10_000, iterations_per_epoch=250, priors=(0.1,), resample=False,
        reasons={"patch": "the whole image", "batch": "2: few images", "length": "100 times", "pose": "measured"}, **changes,
    )  # fmt: skip
    labels = replace(small.EXCLUSIVE, classes=("a",), values=(1,))
    return small.plan(labels, fingerprint=facts.checksum(), crop_to_nonzero=True, budget=BUDGET, unit=facts.unit, stages={"2d": stage})


def overridden(*texts: str, facts: Fingerprint = FACTS, plan: Plan | None = None, tracer: Tracer | None = None) -> Stage:
    made = apply_overrides(plan or plan_for(facts), texts, facts, tracer=tracer or Formula())
    assert made.overrides == texts
    assert contradictions(made) == []
    return made.stages["2d"]


def test_a_patch_brings_its_net_and_the_batch_that_fits() -> None:
    stage = overridden("2d.patch=64,32")
    patch, network = unet((64, 32), (1.0, 1.0), in_channels=1, num_heads=2)
    assert (stage.patch, stage.network) == (patch, network) == ((64, 32), network)
    # 5 % of 40 cropped images of 96 x 96 are 18,432 pixels, nine patches; each of 32 training images a hundred times.
    assert (stage.batch, stage.checkpointed_stages, stage.iterations) == (9, 0, 10_000)
    assert stage.memory.peak_bytes == 9 * 64 * 32 * PER_PIXEL
    assert stage.reasons["patch"] == "set by --set 2d.patch=64,32"
    assert stage.reasons["batch"] == "9: 5 % of the data set's pixels allow 9"
    assert stage.reasons["memory"] == f"{stage.memory.peak_bytes / GIB:.2f} GiB traced of 8.0 GiB"
    assert stage.reasons["pose"] == "measured"


def test_memory_limits_the_batch_before_the_data_do() -> None:
    # One patch takes 0.98 GB; 92 % of 6 GiB hold six of them.
    many = replace(FACTS, cases=FACTS.cases * 100)
    budget = memory_budget(6)
    plan = replace(plan_for(many, 32), budget=budget)
    stage = overridden("2d.patch=128,256", facts=many, plan=plan, tracer=Formula(budget))
    assert stage.batch == 6
    assert stage.reasons["batch"] == "6: one more would exceed 92% of the memory"


def test_what_does_not_fit_is_computed_twice() -> None:
    # Two patches of 512 x 256 take 7.9 GB of 7.5; half of that fits.
    stage = overridden("2d.patch=512,256", tracer=Formula(memory_budget(7)), plan=replace(plan_for(), budget=memory_budget(7)))
    assert (stage.batch, stage.checkpointed_stages) == (2, 1)
    assert stage.reasons["checkpointed_stages"] == "1: the fewest that are computed twice for the batch to fit"


def test_a_batch_is_kept_as_set_and_decides_the_length() -> None:
    facts = replace(FACTS, cases=FACTS.cases * 20)
    stage = overridden("2d.batch=4", facts=facts)
    assert (stage.batch, stage.patch) == (4, (96, 96))
    assert stage.iterations == 100 * 640 // 4  # four of five folds of 800 images
    assert stage.reasons["batch"] == "set by --set 2d.batch=4"
    assert stage.memory.peak_bytes == 4 * 96 * 96 * PER_PIXEL
    both = overridden("2d.batch=4", "2d.iterations=77", facts=facts)
    assert (both.iterations, both.iterations_per_epoch, both.reasons["length"]) == (77, 1, "set by --set 2d.iterations=77")


def test_the_memory_is_that_of_a_real_trace() -> None:
    facts = replace(FACTS, cases=FACTS.cases[:10])
    plan = make_plan(facts, BUDGET, Request())
    made = apply_overrides(plan, ("2d.patch=32,32", "2d.batch=3"), facts)
    stage = made.stages["2d"]
    expected = training_memory(stage, exclusive=True, precision="fp16", device_type="cuda", budget_bytes=BUDGET.memory_bytes)
    assert stage.memory == expected
    assert plan.overrides == ()


def test_a_timed_batch_takes_no_longer_than_before() -> None:
    plan = plan_for(step_s=0.5)
    stage = overridden("2d.patch=32,32", plan=plan)
    assert stage.batch == 2 * 96 * 96 // (32 * 32)  # the pixels of a step stay
    assert stage.step_s is None  # not measured
    assert overridden("2d.rotation_degrees=10", plan=plan).step_s == 0.5
    more = replace(FACTS, cases=FACTS.cases * 2)
    words = overridden("2d.patch=32,32", plan=plan, facts=more).reasons["batch"]
    assert words == "18: a larger one would hold more pixels than the step that was timed for the hours, and take longer"
    length = overridden("2d.recipe.optimizer=adamw", plan=plan).reasons["length"]
    assert "those before --set: a step of what was set has not been measured" in length
    timed = replace(plan, budget=replace(plan.budget, hours=0.1))
    length = overridden("2d.batch=3", plan=timed).reasons["length"]
    assert length.endswith("; the time may end the training before: a step of what was set has not been measured")


def test_single_fields() -> None:
    stage = overridden(
        "2d.rotation_degrees=12.5", "2d.mirror_axes=none", "2d.recipe.lr=1e-3", "2d.recipe.augmentation.rotation_p=0",
        "2d.recipe.augmentation.scaling=0.9,1.1", "2d.recipe.augmentation.backend=workers",
    )  # fmt: skip
    assert (stage.rotation_degrees, stage.mirror_axes) == (12.5, ())
    augmentation = Augmentation(rotation_p=0, scaling=(0.9, 1.1), backend="workers")
    assert stage.recipe == replace(recipe_for("dice_ce", 10_000), lr=1e-3, augmentation=augmentation)
    assert stage.reasons["recipe.lr"] == "set by --set 2d.recipe.lr=1e-3"
    assert stage.reasons["batch"] == "2: few images"


def test_an_optimizer_brings_its_rate_and_a_short_training_its_optimizer() -> None:
    short = recipe_for("dice_ce", 100)
    stage = overridden("2d.recipe.optimizer=adamw")
    assert (stage.recipe, stage.reasons["recipe"]) == (replace(short, pinned=True), "set by --set 2d.recipe.optimizer=adamw")
    assert overridden("2d.recipe.optimizer=adamw", "2d.recipe.lr=0.5").recipe == replace(short, lr=0.5, pinned=True)
    assert overridden("2d.iterations=1000").recipe == short
    assert overridden("2d.iterations=1000", "2d.recipe.lr=0.5").recipe.lr == 0.5


@pytest.mark.parametrize(("optimizer", "epochs"), [("adamw", 40), ("sgd", 1)])
def test_an_optimizer_that_was_set_is_trained_whatever_the_length(optimizer: str, epochs: int) -> None:
    """40 epochs of 250 would take SGD by themselves, one epoch AdamW."""
    plan = apply_overrides(plan_for(), [f"2d.recipe.optimizer={optimizer}"], FACTS, tracer=Formula())
    options = TrainOptions(epochs=epochs, iterations_per_epoch=250)
    trained = apply_options(plan, plan.stages["2d"], options, expected=lambda stage: stage.iterations)
    assert (trained.iterations, trained.recipe.optimizer) == (250 * epochs, optimizer)
    free = plan_for()
    assert apply_options(free, free.stages["2d"], options, expected=lambda stage: stage.iterations).recipe.optimizer != optimizer


def test_weights_of_classes_and_another_loss() -> None:
    stage = overridden('2d.recipe.class_weights={"a": 3}', "2d.recipe.loss_weights.a=2.5", "2d.recipe.loss=tversky")
    assert (stage.recipe.class_weights, stage.recipe.loss_weights, stage.recipe.loss) == ({"a": 3.0}, {"a": 2.5}, "tversky")
    labels = replace(small.EXCLUSIVE, classes=("no. 1",), values=(1,))
    stage = overridden("2d.recipe.loss_weights.no. 1=2", plan=replace(plan_for(), labels=labels))
    assert stage.recipe.loss_weights == {"no. 1": 2.0}


def test_a_shallower_net() -> None:
    stage = overridden("2d.network.features=8,16,24", "2d.network.convs=1")
    assert stage.network == Network(
        in_channels=1, num_heads=2, features=(8, 16, 24), strides=((1, 1), (2, 2), (2, 2)), kernels=((3, 3),) * 3, convs=1
    )
    assert stage.patch == (96, 96)
    assert stage.batch == 2  # 5 % of 40 images, found anew
    both = overridden("2d.network.features=8,16", "2d.patch=64,64")
    assert (both.network.features, both.network.multiple, both.patch) == ((8, 16), (2, 2), (64, 64))


def test_a_lighter_decoder_is_another_step() -> None:
    plain, light = overridden(), overridden("2d.network.decoder_convs=1")
    assert light.network == replace(plain.network, decoder_convs=1)
    assert step_key(light) != step_key(replace(light, network=plain.network))
    assert "set by" in light.reasons["network.decoder_convs"]


def test_a_processors_decoder_stays_until_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    base = plan_for()
    planned = base.stages["2d"]
    light = replace(planned.network, decoder_convs=1)
    reasons = {**planned.reasons, "network.decoder_convs": "1, as steps are slow"}
    plan = replace(base, stages={"2d": replace(planned, network=light, reasons=reasons)})
    cut = overridden("2d.patch=64,32", plan=plan)
    assert (cut.network.decoder_convs, cut.reasons["network.decoder_convs"]) == (1, "1, as steps are slow")
    for value in ("2", "none"):
        full = overridden(f"2d.network.decoder_convs={value}", plan=plan)
        assert full.network == planned.network
        assert full.network.convs_up == 2
        assert "set by" in full.reasons["network.decoder_convs"]
    more = overridden("2d.network.convs=3", plan=plan)
    assert (more.network.convs, more.network.convs_up) == (3, 1)
    # What was decided of the planned net says nothing of another one.
    given = json.dumps({"in_channels": 1, "num_heads": 2, "features": [8, 8], "strides": [[1, 1], [2, 2]], "kernels": [[3, 3], [3, 3]]})
    other = overridden(f"2d.network={given}", plan=plan)
    assert "set by" in other.reasons["network"]
    assert "network.decoder_convs" not in other.reasons
    monkeypatch.setitem(NETS, "flat", build_unet)
    foreign = overridden("2d.network.kind=flat", plan=plan)
    assert "set by" in foreign.reasons["network.kind"]
    assert "network.decoder_convs" not in foreign.reasons


def test_a_net_of_ones_own_takes_patches_that_the_planners_would_not() -> None:
    stage = overridden(
        "2d.patch=60,36", "2d.network.strides=[[1,1],[2,2],[3,3]]", "2d.network.kernels=[[3,3],[3,3],[3,3]]", "2d.network.features=8,8,8"
    )
    assert (stage.patch, stage.network.multiple) == ((60, 36), (6, 6))


def test_the_store_of_prepared_cases_follows_the_grid() -> None:
    plan = plan_for(IN_MM)
    for texts, shape in ((("2d.spacing=2,2",), (48, 48)), (("crop_to_nonzero=false",), (128, 128))):
        made = apply_overrides(plan, texts, IN_MM, tracer=Formula())
        stage = made.stages["2d"]
        # The whole image stays the patch, which the net rounds up.
        assert (stage.image_shape, stage.patch) == (shape, unit_patch(shape))
        assert plan_key(made, stage) != plan_key(plan, plan.stages["2d"])
    assert made.reasons["crop"] == "set by --set crop_to_nonzero=false"
    made = apply_overrides(plan, ("2d.batch=3",), IN_MM, tracer=Formula())
    assert plan_key(made, made.stages["2d"]) == plan_key(plan, plan.stages["2d"])


def unit_patch(shape: tuple[int, ...]) -> tuple[int, ...]:
    return unet(shape, (1.0, 1.0), in_channels=1, num_heads=2)[0]


def test_a_finer_grid_on_which_the_whole_image_does_not_fit_keeps_the_patch() -> None:
    stage = overridden("2d.spacing=0.05,0.05", facts=IN_MM)
    assert (stage.image_shape, stage.patch, stage.resample) == ((1920, 1920), (96, 96), True)
    assert stage.reasons["patch"] == "as large as before on the grid that was set"


def test_ct_takes_the_foregrounds_constants() -> None:
    bone = Intensity(minimum=-1000, maximum=2000, mean=100, std=50, percentile_00_5=-80, median=90, percentile_99_5=400)
    made = apply_overrides(plan_for(), ("normalization.0.kind=ct", "normalization.0.lower=-5"), replace(FACTS, foreground=(bone,)))
    assert made.normalization == (Normalization(kind="ct", lower=-5, upper=400, mean=100, std=50),)


def test_equalised_images_need_no_other_memory() -> None:
    plan = plan_for()
    made = apply_overrides(plan, ("normalization.0.kind=clahe",), FACTS)
    assert made.normalization == (Normalization(kind="clahe"),)
    assert made.stages == plan.stages
    assert made.reasons["normalization.0.kind"] == "set by --set normalization.0.kind=clahe"


def test_other_stages_stay_and_a_cascade_stays_whole() -> None:
    plan = make_plan(FACTS, BUDGET, Request(configs=("2d", "2d_lowres", "2d_cascade")))
    made = apply_overrides(plan, ("2d_lowres.patch=32,32", "2d_lowres.batch=2"), FACTS)
    assert contradictions(made) == []
    assert made.stages["2d_lowres"].patch == (32, 32)
    assert {name: made.stages[name] for name in ("2d", "2d_cascade")} == {name: plan.stages[name] for name in ("2d", "2d_cascade")}
    second = apply_overrides(plan, ("2d_cascade.patch=64,64",), FACTS).stages["2d_cascade"]
    assert (second.previous, second.network.in_channels, second.patch) == ("2d_lowres", 2, (64, 64))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2d.patch", r"--set 2d.patch: say PATH=VALUE"),
        ("2d.pach=64,64", r"--set 2d.pach=64,64: there is no field 2d.pach; the nearest are 2d.patch"),
        ("patch=64,64", r"there is no field patch; the nearest are .*2d\.patch"),
        ("2d.recipe.learning_rate=1", r"there is no field 2d.recipe.learning_rate; the nearest are 2d.recipe"),
        ("xyzzy=1", r"there is no field xyzzy; fields are crop_to_nonzero, .*2d.batch"),
        ("3d_fullres.batch=2", r"--set 3d_fullres.batch=2: the plan has no configuration 3d_fullres; it has 2d"),
        ("2d.batch=four", r"--set 2d.batch=four: must be a valid integer.*'four'"),
        ("2d.batch=0", r"--set 2d.batch=0: must be at least 1"),
        ("2d.patch=64", r"--set 2d.patch=64: must hold 2 sizes of at least 4"),
        ("2d.patch=64,2", r"must hold 2 sizes of at least 4"),
        ("2d.patch=[64,", r"--set 2d.patch=\[64,: not valid JSON"),
        ("2d.patch=100,64", r"--set 2d.patch=100,64: the net for it pools by 16 x 16; the nearest patches are 96,64 and 112,64\."),
        ("2d.network.features=8", r"--set 2d.network.features=8: must hold 2 to 5 numbers"),
        ("2d.network.features=0,8", r"network.features must be at least 1 each, got 0,8"),
        ("2d.network.strides=[[1,1],[5,5],[2,2],[2,2],[2,2]]", r"the net pools by 40 x 40, of which the patch 96 x 96 must be a multiple"),
        ("2d.network.kernels=[[3,3]]", r"features, strides and kernels need one entry per stage"),
        ("2d.network.num_heads=3", r"2d.network.num_heads cannot be set: it follows from the data set"),
        ("2d.memory.peak_bytes=1", r"2d.memory.peak_bytes cannot be set: it is measured"),
        ("labels.exclusive=false", r"labels.exclusive cannot be set: it is what the data set holds"),
        ("budget.hours=2", r"budget.hours cannot be set: --gpu, --gpu-memory and --hours give it"),
        ("name=x", r"name cannot be set: --plan NAME gives it"),
        ("2d=3", r"2d cannot be set: set their fields"),
        ("2d.precision=fp8", r"--set 2d.precision=fp8: must be 'fp32', 'fp16' or 'bf16', got 'fp8'"),
        ("2d.precision=bf16", r"precision 8 GiB computes in fp16 or fp32, got bf16"),
        ("2d.mirror_axes=0,2", r"mirror_axes must name axes of the net, each once, of 0 to 1, got 0,2"),
        ("2d.mirror_swap=1", r"mirror_swap must give the partner"),
        ("2d.rotation_degrees=-3", r"rotation_degrees must lie in 0 to 180, got -3"),
        ("2d.rotation_degrees=nan", r"--set 2d.rotation_degrees=nan: must be finite"),
        ("2d.checkpointed_stages=9", r"checkpointed_stages must lie in 0 to 5"),
        ("2d.recipe.loss=dice_bce", r"--set 2d.recipe.loss=dice_bce: dice_bce is not for classes that exclude each other"),
        ("2d.recipe.class_weights.b=2", r"class_weights names b, which is no class; classes are a"),
        ("2d.recipe.class_weights.a=-2", r"class_weights must be positive"),
        ("2d.recipe.lr=-1", r"--set 2d.recipe.lr=-1: lr must be positive, got -1"),
        ("2d.recipe.augmentation.rotation_p=2", r"rotation_p is a probability and must lie in 0 to 1, got 2"),
        ("2d.recipe.augmentation.scaling=1.4,0.7", r"scaling must be two ascending numbers"),
        ("2d.spacing=1,0", r"--set 2d.spacing=1,0: must hold 2 positive numbers"),
        ("2d.iterations=0", r"--set 2d.iterations=0: .*must be at least 1"),
        ("2d.priors=0.1,0.1", r"priors must hold 1 numbers, one for each class, got 2"),
        ("normalization.1.kind=unit", r"--set normalization.1.kind=unit: there is no item 1, only 0 to 0"),
        ("normalization.0.kind=rank", r"must be 'zscore', 'ct', 'unit' or 'clahe', got 'rank'"),
        ("crop_to_nonzero=maybe", r"--set crop_to_nonzero=maybe: must be a valid boolean"),
    ],
)
def test_what_cannot_be_set(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        overridden(text)
    assert "\n" not in str(caught.value) or "contradict" in str(caught.value)


def test_a_field_twice() -> None:
    with pytest.raises(UsageError, match=r"--set stages.2d.batch=3: given twice, also as --set 2d.batch=2"):
        overridden("2d.batch=2", "stages.2d.batch=3")


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("2d.patch=4096,4096", r"58\.6 GiB \(traced\)"),  # two patches, a sixteenth of them kept
        ("2d.batch=40", r"10\.3 GiB \(traced\)"),
        ("2d.batch=1000000", r"about 257,492 GiB"),
    ],
)
def test_more_than_the_memory_holds(text: str, needed: str) -> None:
    with pytest.raises(PlanError, match=rf"--set {text}: 2d with patch .* needs {needed}, but 8 GiB has 8.0 GiB. Set a smaller"):
        overridden(text)


def test_a_large_batch_is_never_traced_far_beyond_the_memory() -> None:
    seen: list[int] = []

    class Watching(Formula):
        def memory(self, stage: Stage) -> Memory:
            seen.append(stage.batch)
            return super().memory(stage)

    with pytest.raises(PlanError):
        overridden("2d.batch=1000000", tracer=Watching())
    assert max(seen) == 2


@pytest.mark.parametrize("change", [lambda plan: plan, lambda plan: replace(plan, reasons={})])
def test_no_settings_change_nothing(change: Callable[[Plan], Plan]) -> None:
    plan = change(plan_for())
    assert apply_overrides(plan, (), FACTS) == plan
