"""Plans, recipes and budgets: files that a person may edit, so every slip of the pen is named."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.budget import GIB, GPUS, Budget, Precision, memory_budget, named_gpu, usable_precision
from autoseg.errors import FileFormatError, UsageError
from autoseg.io.json_files import from_json, load_json, save_json, to_json
from autoseg.plan import Plan, contradictions, length_words
from autoseg.recipe import NO_AUGMENTATION, Recipe, epoch_length, recipe_for
from tests import small

#: Free dictionaries of names; everything else in a plan is a dataclass with fixed keys.
FREE = ("stages", "parts", "reasons", "class_weights", "case_weights", "loss_weights", "transforms")


@pytest.mark.parametrize("labels", [small.OVERLAPPING, small.EXCLUSIVE])
@pytest.mark.parametrize("axes", [2, 3])
def test_a_plan_survives_its_file(tmp_path: Path, labels: Any, axes: int) -> None:
    plan = small.plan(labels, axes)
    save_json(tmp_path / "plan.json", plan)
    assert load_json(tmp_path / "plan.json", Plan) == plan


def test_a_decoder_of_as_many_convolutions_is_none_of_its_own(tmp_path: Path) -> None:
    plan = small.plan(stages={"2d": small.stage(network=small.network(convs=2))})
    content = json.loads(to_json(plan))
    content["stages"]["2d"]["network"]["decoder_convs"] = 2
    (tmp_path / "plan.json").write_text(json.dumps(content), encoding="utf-8")
    assert load_json(tmp_path / "plan.json", Plan) == plan
    light = replace(plan.stages["2d"].network, decoder_convs=1)
    assert (light.convs_up, replace(light, convs=1), replace(light, decoder_convs=2)) == (1, small.network(), plan.stages["2d"].network)


@given(lr=st.floats(1e-12, 1e3), share=st.floats(0, 1), scaling=st.tuples(st.floats(0.1, 1), st.floats(1, 10)))
def test_numbers_survive_to_the_last_bit(lr: float, share: float, scaling: tuple[float, float]) -> None:
    recipe = small.recipe(lr=lr, foreground_share=share, augmentation=replace(NO_AUGMENTATION, scaling=scaling))
    assert from_json(to_json(recipe), Recipe, source="r") == recipe


def objects(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of all JSON objects that stand for a dataclass."""
    if isinstance(node, dict):
        if not (path and path[-1] in FREE):
            yield path
        for key, value in node.items():
            yield from objects(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from objects(value, (*path, index))


def test_an_unknown_key_is_refused_wherever_it_stands() -> None:
    text = to_json(small.plan())
    paths = list(objects(json.loads(text)))
    assert len(paths) >= 8  # plan, labels, normalization, budget, stage, network, memory, recipe, augmentation
    for path in paths:
        content = json.loads(text)
        node = content
        for step in path:
            node = node[step]
        node["surplus"] = 1
        with pytest.raises(FileFormatError, match=r"(?s)^plan\.json is damaged or was edited wrongly:.*surplus: unknown key"):
            from_json(json.dumps(content), Plan, source="plan.json")


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        *steps, last = path.split(".")
        for step in steps:
            content = content[step]
        content[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("name", 3, "name: must be a valid string"),
        ("unit", "inch", "unit: must be 'mm' or 'pixel'"),
        ("budget.memory_bytes", 0, "budget: memory_bytes must be positive, got 0"),
        ("budget.hours", -1, "budget: hours must be positive, got -1.0"),
        ("labels.classes", [], "labels: classes must name at least one class"),
        ("stages.2d.patch", [16, 18], r"stages.2d: 2d: patch \(16, 18\) must be a multiple of \(4, 4\)"),
        ("stages.2d.patch", [16], r"stages.2d: 2d: patch \(16,\) must have the net's 2 axes"),
        ("stages.2d.batch", 0, "stages.2d: 2d: batch, iterations and iterations_per_epoch must be at least 1"),
        ("stages.2d.precision", "fp8", "stages.2d.precision: must be 'fp32', 'fp16' or 'bf16'"),
        ("stages.2d.network.features", [8], "stages.2d.network: features, strides and kernels need one entry per stage"),
        ("stages.2d.network.strides", [[2, 2], [2, 2], [2, 2]], "stages.2d.network: the first stage must not stride"),
        ("stages.2d.network.strides", [[1, 1], [0, 2], [2, 2]], "stages.2d.network: strides and kernels must be at least 1"),
        ("stages.2d.network.strides", [[1, 1], [2], [2, 2]], "stages.2d.network: strides and kernels need one entry per axis"),
        ("stages.2d.network.kernels", [[3, 3], [3, -3], [3, 3]], "stages.2d.network: strides and kernels must be at least 1"),
        ("stages.2d.recipe.lr", 0, "stages.2d.recipe: lr must be positive, got 0.0"),
        ("stages.2d.recipe.warmup", 1, r"stages.2d.recipe: warmup must lie in \[0, 1\)"),
        ("stages.2d.recipe.foreground_share", 2, r"stages.2d.recipe: foreground_share must lie in \[0, 1\]"),
        ("stages.2d.recipe.min_foreground", -0.1, r"stages.2d.recipe: min_foreground must lie in \[0, 1\], got -0.1"),
        ("stages.2d.recipe.class_weights", {"b c": -1}, "stages.2d.recipe: class_weights must be positive, got -1.0 for b c"),
        ("stages.2d.recipe.schedule", "ramp", "stages.2d.recipe.schedule: must be 'poly', 'cosine', 'step', "),
        ("stages.2d.recipe.augmentation.transforms", {"x": 2}, "transforms must have probabilities, from 0 to 1, got 2.0 for x"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(path: str, value: Any, said: str) -> None:
    content = json.loads(to_json(small.plan()))
    _set(path, value)(content)
    with pytest.raises(FileFormatError, match=said):
        from_json(json.dumps(content), Plan, source="plan.json")


def cascade(**changes: Any) -> Plan:
    """Two stages: a coarse one, and one that gets its probabilities of two classes behind one image channel."""
    given: dict[str, Any] = {"name": "2d_cascade", "previous": "2d_lowres", "network": small.network(in_channels=3), **changes}
    return small.plan(stages={"2d_lowres": small.stage(name="2d_lowres"), "2d_cascade": small.stage(**given)})


def test_a_cascade_counts_its_channels() -> None:
    plan = cascade()
    assert contradictions(plan) == []
    first, second = plan.stages.values()
    assert (first.num_image_channels, first.num_previous_channels) == (1, 0)
    assert (second.num_image_channels, second.num_previous_channels) == (1, 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"network": small.network(in_channels=1)},
            "network.in_channels must be 3, one for each normalization and one for each class of the stage before, got 1",
        ),
        ({"previous": "2d"}, "previous must be another stage of the plan (2d_lowres), got '2d'"),
        ({"previous": "2d_cascade"}, "previous must be another stage of the plan (2d_lowres), got '2d_cascade'"),
        ({"previous": None}, "network.in_channels must be 1, one for each normalization, got 3"),
    ],
)
def test_a_cascade_that_does_not_fit_is_named(changes: dict[str, Any], said: str) -> None:
    assert contradictions(cascade(**changes)) == [f"stages.2d_cascade: {said}"]


def test_stages_before_each_other_are_named() -> None:
    plan = cascade()
    circle = replace(plan.stages["2d_lowres"], previous="2d_cascade", network=small.network(in_channels=3))
    problems = contradictions(replace(plan, stages={**plan.stages, "2d_lowres": circle}))
    assert problems[0] == "stages.2d_lowres: previous must not lead back to 2d_lowres, got 2d_cascade -> 2d_lowres"
    assert len(problems) == 2


def test_the_radius_of_the_previous_stages_shapes_is_checked() -> None:
    for radius in ((0, 3), (4, 3)):
        with pytest.raises(ValueError, match="previous_radius must be two ascending numbers of at least 1"):
            replace(NO_AUGMENTATION, previous_radius=radius)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("elastic_magnitude", (0.0, 0.5), "from 0 to 0.4, got"),  # a volume could fold
        ("elastic_intervals", (0, 3), "of at least 1, got"), ("grid_distortion", (0.0, 1.0), "from 0 to 0.9, got"),
        ("clahe_clip", (0.5, 2.0), "of at least 1, got"), ("dropout_rectangles", (3, 2), "of at least 1, got"),
        ("dropout_size", (0.1, 1.5), "from 0 to 1, got"),
    ],
)  # fmt: skip
def test_ranges_of_strong_augmentation_are_checked(field: str, value: Any, message: str) -> None:
    given: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=f"{field} must be two ascending numbers {message}"):
        replace(NO_AUGMENTATION, **given)


def test_a_missing_key_is_named() -> None:
    content = json.loads(to_json(small.plan()))
    del content["stages"]["2d"]["spacing"]
    with pytest.raises(FileFormatError, match=r"stages.2d.spacing: is missing"):
        from_json(json.dumps(content), Plan, source="plan.json")


def test_files_that_are_no_json(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"none\.json does not exist"):
        load_json(tmp_path / "none.json", Plan)
    (tmp_path / "cut.json").write_text(to_json(small.plan())[:100], encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"cut\.json is damaged or was edited wrongly"):
        load_json(tmp_path / "cut.json", Plan)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileFormatError, match=r"binary\.json is no UTF-8 text"):
        load_json(tmp_path / "binary.json", Plan)


def test_what_a_net_pools_by() -> None:
    strides = ((1, 1, 1), (1, 2, 2), (2, 2, 2))
    net = small.network(3, strides=strides, kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)))
    assert (net.num_axes, net.multiple) == (3, (2, 4, 4))


@pytest.mark.parametrize(
    ("capability", "bf16", "precision"),
    [((6, 1), False, "fp32"), ((7, 0), False, "fp16"), ((7, 5), False, "fp16"), ((8, 0), True, "bf16"), ((0, 0), True, "bf16"),
     ((0, 0), False, "fp32")],
)  # fmt: skip
def test_the_precision_of_a_device(capability: tuple[int, int], bf16: bool, precision: Precision) -> None:
    budget = Budget(name="x", kind="cuda" if capability[0] else "cpu", memory_bytes=1, capability=capability, bf16=bf16)
    assert budget.precision == precision


def test_named_gpus() -> None:
    v100 = named_gpu("V100-32GB", hours=2)
    assert (v100.kind, v100.memory_bytes, v100.capability, v100.precision, v100.hours) == ("cuda", 32510 * 2**20, (7, 0), "fp16", 2)
    assert {name: named_gpu(name).precision for name in GPUS if GPUS[name][1] >= (8, 0)}.keys() >= {"rtx3090", "h100"}
    assert all(named_gpu(name).precision == "bf16" for name in GPUS if GPUS[name][1] >= (8, 0))
    with pytest.raises(UsageError, match=r"--gpu gtx is not known. Known are v100-32gb, .*, cpu; .*--gpu-memory"):
        named_gpu("gtx")


def test_a_budget_in_gib() -> None:
    assert (memory_budget(11).memory_bytes, memory_budget(11).name, memory_budget(11).precision) == (11 * GIB, "11 GiB", "fp16")
    with pytest.raises(UsageError, match="--gpu-memory must be positive, got -1"):
        memory_budget(-1)


@pytest.mark.parametrize(
    ("planned", "device", "bf16", "used"),
    [("fp32", "cuda", True, "fp32"), ("fp16", "cuda", False, "fp16"), ("bf16", "cuda", False, "fp16"), ("bf16", "cuda", True, "bf16"),
     ("fp16", "cpu", False, "fp32"), ("fp16", "cpu", True, "bf16"), ("bf16", "cpu", False, "fp32"), ("fp32", "cpu", True, "fp32")],
)  # fmt: skip
def test_a_plan_on_another_device(planned: Precision, device: str, bf16: bool, used: Precision) -> None:
    assert usable_precision(planned, device, bf16=bf16) == used


def test_short_trainings_get_adamw() -> None:
    short, long = recipe_for("dice_bce", 4999), recipe_for("dice_ce", 5000)
    assert (short.optimizer, short.schedule, short.loss) == ("adamw", "cosine", "dice_bce")
    assert short.warmup > 0
    assert (long.optimizer, long.schedule, long.loss, long.momentum, long.lr) == ("sgd", "poly", "dice_ce", 0.99, 0.01)


@pytest.mark.parametrize(("iterations", "length"), [(1, 1), (39, 1), (400, 10), (10_000, 250), (250_000, 250)])
def test_epochs(iterations: int, length: int) -> None:
    assert epoch_length(iterations) == length


def test_a_length_that_the_time_ends_is_said_to_be_ended_by_it() -> None:
    stage = small.stage(iterations=10_000, iterations_per_epoch=10)
    assert length_words(stage, None) == "10,000, 10 an epoch"
    assert length_words(stage, 0.05) == "10,000, but the time ends it before; 10 an epoch"
    assert length_words(replace(stage, iterations_per_epoch=250), 9.0) == "10,000, unless the time ends it before; 250 an epoch"
    by_hand = replace(stage, reasons={"iterations_per_epoch": "set by --set 2d.iterations_per_epoch=10"})
    assert "unless" in length_words(by_hand, 9.0)
