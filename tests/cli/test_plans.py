"""A person in the loop: plans are shown, compared, overridden, kept side by side, edited by hand, and loaded by name."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoseg import experiment_plans
from autoseg.cli.tables import convolutions, differences, plan_lines
from autoseg.demo import write_phantom
from autoseg.io.json_files import load_json, save_json
from autoseg.plan import Plan
from autoseg.workspace import Workspace
from tests import small
from tests.cli.conftest import Autoseg
from tests.trainers.make import NAME, write_raw

SHIPPED = "HandBone_v100-32gb"
PLANNING = ("plan_and_preprocess", "--gpu-memory", 4, "--workers", 1)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blobs with the plan "default" for 4 GiB; write nothing into it."""
    from autoseg.cli import cli

    root = tmp_path_factory.mktemp("planned")
    write_raw(root / "raw" / NAME)
    cli.main([*map(str, PLANNING), "-w", str(root)], standalone_mode=False)
    return root


@pytest.fixture
def workspace(planned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(planned, tmp_path / "w", copy_function=shutil.copy2))


def plan_file(root: Path, name: str = "default") -> Path:
    return Workspace(root=root).plan_file(NAME, name)


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> bytes:
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")
    return file.read_bytes()


def test_a_plan_that_is_written_right_now_is_none(autoseg: Autoseg, workspace: Path) -> None:
    plan_file(workspace, ".tmp-1-0badcafe1-small").write_text("{", encoding="utf-8")
    assert ".tmp-" not in autoseg("plan", "list", "-w", workspace).out
    done = autoseg("train", "2d", 0, "--plan", "large", "-w", workspace)
    assert "has no plan large; there are default." in done.err
    done = autoseg("check", "-w", workspace)
    assert (done.code, "1 plan, " in done.out) == (0, True), done


def test_a_plan_is_shown_with_its_reasons(autoseg: Autoseg, planned: Path) -> None:
    done = autoseg("plan", "show", "-w", planned)
    assert done.code == 0
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    plan = load_json(plan_file(planned), Plan)
    stage = plan.stages["2d"]
    assert lines[0] == f"Plan default of Blobs ({plan_file(planned)})"
    assert f"patch {' x '.join(map(str, stage.patch))}" in lines
    assert f"batch {stage.batch}" in lines
    assert "precision fp16" in lines
    assert any(line.startswith("memory ") and "of 4.00 GiB" in line for line in lines)
    assert {"context 0.49 GiB", "workspace 0.50 GiB"} <= set(lines)  # 500 and 512 MiB, the allowances for CUDA
    assert any(line.startswith("budget 4 GiB, 4.0 GiB") for line in lines)
    text = " ".join(lines)
    assert all(" ".join(reason.split()) in text for reason in (*plan.reasons.values(), *stage.reasons.values()))
    assert max(map(len, done.out.splitlines()[1:])) <= 100


def test_stages_stand_side_by_side() -> None:
    net = small.network(convs=2, decoder_convs=1)
    first, second = small.stage(), small.stage(name="2d_lowres", batch=7, checkpointed_stages=2, mirror_axes=(), network=net)
    lines = list(plan_lines(small.plan(stages={"2d": first, "2d_lowres": second})))
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines[: lines.index("Reasons")]]
    cells = {row[0]: row[1:] for row in rows}
    assert cells["2d"] == ["2d_lowres"]
    assert cells["batch"] == ["2", "7"]
    assert cells["checkpointing"] == ["none", "finest 2 stages computed twice"]
    assert cells["flips"] == ["axis 0, 1", "none"]
    assert cells["convolutions"] == ["1 in each stage", "2 in each stage, 1 in the decoder's"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"convs": 2}, "2 in each stage"),
        ({"convs": 2, "decoder_convs": 2}, "2 in each stage"),
        ({"convs": 2, "decoder_convs": 3}, "2 in each stage, 3 in the decoder's"),
        ({"convs": 1, "blocks": (1, 3, 3)}, "residual blocks 1 3*2, 1 in each stage of the decoder"),
        ({"convs": 1, "decoder_convs": 2, "blocks": (1, 3, 3)}, "residual blocks 1 3*2, 2 in each stage of the decoder"),
    ],
)
def test_convolutions_in_words(changes: dict[str, Any], said: str) -> None:
    assert convolutions(small.network(**changes)) == said


def test_a_plan_as_its_file(autoseg: Autoseg, planned: Path) -> None:
    assert autoseg("plan", "show", "--json", "-w", planned).out == plan_file(planned).read_text(encoding="utf-8")
    assert autoseg("plan", "show", plan_file(planned), "--json", "-w", "/").out == plan_file(planned).read_text(encoding="utf-8")


def test_a_plan_that_comes_with_autoseg_is_shown_anywhere(autoseg: Autoseg, planned: Path, tmp_path: Path) -> None:
    for place in (planned, tmp_path):
        done = autoseg("plan", "show", SHIPPED, "-w", place)
        assert done.code == 0
        assert "comes with autoseg" in done.out
        assert "2048 x 2048" in done.out


def test_unknown_plans_are_answered_with_what_there_is(autoseg: Autoseg, planned: Path, tmp_path: Path) -> None:
    done = autoseg("plan", "show", "nothing", "-w", planned)
    assert done.code == 2
    assert "there is no plan nothing: Blobs has default; with autoseg come" in done.err
    assert SHIPPED in done.err
    done = autoseg("plan", "show", "nothing", "-w", tmp_path)
    assert done.code == 2
    assert "holds no data set" in done.err
    assert SHIPPED in done.err
    done = autoseg("plan", "show", tmp_path / "none.json")
    assert (done.code, str(tmp_path / "none.json") in done.err) == (2, True)


def test_plans_are_listed(autoseg: Autoseg, workspace: Path) -> None:
    plan_file(workspace, "broken").write_text("{", encoding="utf-8")
    done = autoseg("plan", "list", "-w", workspace)
    assert done.code == 0
    rows = [line.split() for line in done.out.splitlines()]
    default = next(row for row in rows if row[0] == "default")
    assert default[1:5] == ["4", "GiB", "2d", "32"]
    assert next(row for row in rows if row[0] == SHIPPED)[-3:] == ["of", "31.75", "GiB"]
    assert "broken" in done.out


def test_two_plans_are_compared(autoseg: Autoseg, workspace: Path) -> None:
    shutil.copy(plan_file(workspace), plan_file(workspace, "other"))
    done = autoseg("plan", "diff", "default", "other", "-w", workspace)
    assert (done.code, done.out.splitlines()[-1]) == (0, "Both plans decide the same.")

    def change(content: dict[str, Any]) -> None:
        content["stages"]["2d"].update(batch=5, priors=[0.25, 0.125])
        content["stages"]["2d"]["reasons"]["batch"] = "because"

    edit(plan_file(workspace, "other"), change)
    was = load_json(plan_file(workspace), Plan).stages["2d"]
    done = autoseg("plan", "diff", "default", "other", "-w", workspace)
    assert done.code == 0
    assert done.out.splitlines()[2:] == [
        f"stages.2d.batch: {was.batch} -> 5", f"stages.2d.priors: {json.dumps(list(was.priors))} -> [0.25, 0.125]"
    ]  # fmt: skip
    assert 'stages.2d.reasons.batch: "' in autoseg("plan", "diff", "default", "other", "--reasons", "-w", workspace).out


def test_differences_of_every_kind() -> None:
    a = small.plan()
    assert differences(a, replace(a, name="other")) == []
    assert differences(a, replace(a, reasons={"x": "y"})) == []
    assert differences(a, replace(a, reasons={"labels": "y"}), reasons=True) == ['reasons.labels: "they overlap" -> "y"']
    stage = a.stages["2d"]
    more = replace(a, stages={**a.stages, "2d_lowres": replace(stage, name="2d_lowres")})
    assert "stages.2d_lowres.patch: (absent) -> [16, 16]" in differences(a, more)
    assert "stages.2d_lowres.patch: [16, 16] -> (absent)" in differences(more, a)
    none = replace(a, stages={"2d": replace(stage, mirror_axes=())})
    assert differences(a, none) == ["stages.2d.mirror_axes: [0, 1] -> []"]
    long = replace(a, stages={"2d": replace(stage, priors=(0.5,) * 30)})
    other = replace(a, stages={"2d": replace(stage, priors=(*(0.5,) * 29, 0.25))})
    assert differences(long, other) == ["stages.2d.priors: 1 of 30 values differ, the first at 29: 0.5 -> 0.25"]


def test_the_schema_is_printed_or_written(autoseg: Autoseg, tmp_path: Path) -> None:
    printed = autoseg("plan", "schema").out
    assert json.loads(printed)["title"] == "Plan"
    assert autoseg("plan", "schema", "-o", tmp_path / "plan.schema.json").code == 0
    assert (tmp_path / "plan.schema.json").read_text(encoding="utf-8") == printed


def test_what_was_set_stands_in_the_plan_and_is_planned_once(autoseg: Autoseg, workspace: Path) -> None:
    settings = ("--set", "2d.patch=16,16", "--set", "2d.recipe.lr=0.03")
    done = autoseg(*PLANNING, *settings, "-w", workspace)
    assert done.code == 0, done.err
    assert "patch: set by --set 2d.patch=16,16" in done.out
    assert "GiB traced of 4.0 GiB" in done.out
    assert "replaces the one with nothing set; --plan NAME keeps both" in done.out
    plan = load_json(plan_file(workspace), Plan)
    assert plan.overrides == ("2d.patch=16,16", "2d.recipe.lr=0.03")
    assert (plan.stages["2d"].patch, plan.stages["2d"].recipe.lr) == ((16, 16), 0.03)
    before = plan_file(workspace).stat().st_mtime_ns
    assert "Plan: unchanged" in autoseg(*PLANNING, *settings[2:], *settings[:2], "-w", workspace).out  # in another order
    assert plan_file(workspace).stat().st_mtime_ns == before
    done = autoseg(*PLANNING, "-w", workspace)
    assert "replaces the one with --set 2d.patch=16,16 --set 2d.recipe.lr=0.03" in done.out
    assert load_json(plan_file(workspace), Plan).overrides == ()


def test_another_grid_prepares_cases_anew(autoseg: Autoseg, workspace: Path) -> None:
    done = autoseg(*PLANNING, "--set", "crop_to_nonzero=true", "--set", "2d.batch=2", "-w", workspace)
    assert done.code == 0, done.err
    assert load_json(plan_file(workspace), Plan).crop_to_nonzero
    assert len(list((workspace / "preprocessed" / NAME / "cases").iterdir())) == 2


def test_plans_side_by_side_and_their_results(autoseg: Autoseg, workspace: Path) -> None:
    default = plan_file(workspace).read_bytes()
    done = autoseg(*PLANNING, "--plan", "small", "--set", "2d.patch=16,16", "--set", "2d.network.features=4,8", "-w", workspace)
    assert done.code == 0, done.err
    assert "autoseg train 2d fold0..4 --plan small" in done.out
    assert plan_file(workspace).read_bytes() == default
    train = ("train", "2d", "0", "--device", "cpu", "--epochs", 1, "--iterations-per-epoch", 1, "-w", workspace, "--plan")
    # A copied file is a plan of its own, under the file's name.
    shutil.copy(plan_file(workspace, "small"), plan_file(workspace, "copy"))
    for name in ("small", "copy"):
        done = autoseg(*train, name)
        assert done.code == 0, done.err
        assert (workspace / "results" / NAME / name / "2d-default" / "fold0" / "summary.json").is_file()
    assert not (workspace / "results" / NAME / "default").exists()


def test_a_plan_edited_by_hand_is_kept(autoseg: Autoseg, workspace: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["stages"]["2d"].update(rotation_degrees=3.0, batch=3)
        content["budget"]["workers"] = 7

    mine = edit(plan_file(workspace), change)
    assert "Plan: unchanged" in autoseg(*PLANNING, "-w", workspace).out
    assert plan_file(workspace).read_bytes() == mine
    done = autoseg("plan_and_preprocess", "--gpu-memory", 5, "--workers", 1, "-w", workspace)
    assert "replaces the one for 4 GiB; --plan NAME keeps both" in done.out
    earlier = workspace / "preprocessed" / NAME / "plan_default_earlier.json"
    assert f"The earlier plan: {earlier}" in done.out
    assert earlier.read_bytes() == mine


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hands")
    write_phantom(root, people=5, size=64, seed=0, workers=1)
    return root


def test_a_plan_that_comes_with_autoseg_is_used_by_name(autoseg: Autoseg, hands: Path) -> None:
    command = ("plan_and_preprocess", "--plan", SHIPPED, "--workers", 1, "-w", hands)
    done = autoseg(*command)
    assert done.code == 0, done.err
    assert f"Plan {SHIPPED} comes with autoseg: for v100-32gb, 31.7 GiB" in done.out
    assert "made for images of 2048 x 2048, and these have 64 x 64" in done.out
    assert f"autoseg train 2d fold0..4 --plan {SHIPPED}" in done.out
    file = Workspace(root=hands).plan_file("HandBone", SHIPPED)
    plan, shipped = load_json(file, Plan), experiment_plans.load_plan(SHIPPED)
    assert plan.stages == shipped.stages
    assert plan.reasons["origin"] == f"a copy of {SHIPPED}, which comes with autoseg"
    assert "Plan: unchanged" in autoseg(*command).out
    done = autoseg("plan", "diff", SHIPPED, "default", "-w", hands)
    assert (done.code, "there is no plan default: HandBone has HandBone_v100-32gb" in done.err) == (2, True)
    # It trains under this name: a step at 2048 x 2048 is too much for a test, a smaller patch is not.
    small_one = ("--set", "2d.patch=32,32", "--set", "2d.network.features=4,8", "--set", "2d.batch=2")
    done = autoseg(*command, *small_one)
    assert done.code == 0, done.err
    done = autoseg(
        "train", "2d", "0", "--plan", SHIPPED, "--device", "cpu", "--epochs", 1, "--iterations-per-epoch", 1, "-w", hands
    )  # fmt: skip
    assert done.code == 0, done.err
    assert (hands / "results/HandBone" / SHIPPED / "2d-default/fold0/summary.json").is_file()


def test_a_plan_that_comes_with_autoseg_has_its_own_budget(autoseg: Autoseg, hands: Path) -> None:
    for option in (("--gpu", "cpu"), ("--gpu-memory", 8), ("--hours", 1), ("--configs", "2d")):
        done = autoseg("plan_and_preprocess", "--plan", SHIPPED, *option, "-w", hands)
        assert done.code == 2
        assert f"--plan {SHIPPED} comes with autoseg and was made for v100-32gb: leave out --gpu" in done.err


def test_a_plan_of_other_data_is_refused(autoseg: Autoseg, planned: Path) -> None:
    before = sorted(planned.rglob("*"))
    done = autoseg("plan_and_preprocess", "--plan", SHIPPED, "--workers", 1, "-w", planned)
    assert done.code == 2
    assert f"the plan {SHIPPED}, which comes with autoseg, is for other data than Blobs:" in done.err
    assert "classes: 29 in the plan, 2 in the data" in done.err
    assert "Traceback" not in done.err
    assert sorted(planned.rglob("*")) == before


def test_saved_plans_hold_what_was_typed(tmp_path: Path) -> None:
    plan = small.plan(overrides=("2d.batch=2",))
    save_json(tmp_path / "plan.json", plan)
    assert load_json(tmp_path / "plan.json", Plan).overrides == ("2d.batch=2",)
