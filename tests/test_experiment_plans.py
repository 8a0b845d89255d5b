"""The plans that come with autoseg load, and are what their README says."""

from __future__ import annotations

import pytest

from autoseg.errors import UsageError
from autoseg.experiment_plans import load_plan, names
from autoseg.labels import LabelSpace
from autoseg.plan import PLAN_VERSION
from autoseg.planners.view import shown


@pytest.mark.parametrize("name", names())
def test_every_plan_loads_in_this_version(name: str) -> None:
    plan = load_plan(name)
    assert plan.version == PLAN_VERSION
    assert all(stage.memory.peak_bytes <= 0.92 * plan.budget.memory_bytes for stage in plan.stages.values())


def test_handbone_on_a_v100_sees_the_whole_hand() -> None:
    plan = load_plan("HandBone_v100-32gb")
    stage = plan.stages["2d"]
    assert plan.budget.name == "v100-32gb"
    assert plan.labels == LabelSpace(classes=plan.labels.classes, exclusive=False)
    assert plan.labels.num_classes == 29
    assert (stage.patch, stage.precision, stage.checkpointed_stages) == ((2048, 2048), "fp16", 0)
    assert stage.batch >= 3
    assert stage.mirror_axes == (1,)  # hands point up: along x only
    assert stage.iterations == 100 * 640 // stage.batch


def test_handbone_on_16_gb_recomputes_and_on_8_gb_takes_two_stages() -> None:
    # Activations of the whole hand with a batch of 2 take 16 GiB: on 16 one stage is recomputed, on 8 not even four suffice.
    stage = load_plan("HandBone_16gb").stages["2d"]
    assert (stage.patch, stage.batch, stage.checkpointed_stages) == ((2048, 2048), 2, 1)
    small = load_plan("HandBone_8gb").stages
    assert list(small) == ["2d", "2d_lowres", "2d_cascade"]
    assert shown(small["2d"]) < 1
    assert shown(small["2d_lowres"]) == 1
    assert small["2d_cascade"].previous == "2d_lowres"
    assert small["2d_cascade"].network.in_channels == 1 + 29


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="HandBone_v100-32gb"):
        load_plan("HandBone")
