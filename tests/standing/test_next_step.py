"""What to type next, for each state that a data set can be in."""

from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.budget import Budget, memory_budget, named_gpu
from autoseg.io.processes import this_process
from autoseg.plan import Plan
from autoseg.standing import Standing, next_step
from autoseg.standing.dataset import PlanStanding, PredictionStanding
from autoseg.standing.fold import FoldStanding, State
from autoseg.standing.next_step import first_config
from autoseg.standing.run import RunStanding
from autoseg.workspace import Workspace
from tests import small

NUM_CASES, NUM_FOLDS = 10, 5


def plan(*stages: str, name: str = "default") -> Plan:
    """A plan with these configurations; NAME<BEFORE is a cascade's second stage."""
    pairs = [text.partition("<")[::2] for text in stages or ("2d",)]
    made = {config: replace(small.stage(), name=config, previous=before or None) for config, before in pairs}
    return replace(small.plan(), name=name, stages=made)


def known(made: Plan, prepared: int = NUM_CASES) -> PlanStanding:
    return PlanStanding(plan=made, prepared=dict.fromkeys(made.stages, prepared))


NOT_BEGUN: State = "not begun"


def run(*states: State, config: str = "2d", plan_name: str = "default", trainer: str = "default") -> RunStanding:
    """The folds 0, 1 ... in these states; the others are not begun."""
    every = (*states, *((NOT_BEGUN,) * (NUM_FOLDS - len(states))))
    folds = tuple(FoldStanding(name=str(k), state=state) for k, state in enumerate(every))
    return RunStanding(plan=plan_name, config=config, trainer=trainer, folds=folds)


DONE: tuple[State, ...] = ("done", "done", "done", "done", "done")


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Standing:
    """Planned and prepared, nothing trained; -w is the current folder."""
    monkeypatch.chdir(tmp_path)
    place = Workspace(root=Path())
    (place.raw / "Hand Bone").mkdir(parents=True)
    return Standing(
        place=place, name="Hand Bone", folder=place.raw / "Hand Bone", num_labelled=NUM_CASES, num_test=2, is_measured=True,
        num_cases=NUM_CASES, num_folds=NUM_FOLDS, preparer=None, plans=(known(plan()),), runs=(), predictions=(), is_selected=False,
        is_reported=False, notes=(),
    )  # fmt: skip


def typed(standing: Standing) -> str:
    """The command without -d."""
    return next_step(standing)[0].removesuffix(" -d 'Hand Bone'")


def test_in_order(standing: Standing) -> None:
    assert typed(replace(standing, plans=())) == "autoseg plan_and_preprocess"
    assert typed(replace(standing, plans=(known(plan(), prepared=9),))).startswith("autoseg plan_and_preprocess")
    assert typed(standing) == "autoseg train 2d fold0..4"
    standing = replace(standing, runs=(run("done", "done"),))
    assert typed(standing) == "autoseg train 2d fold2..4"
    standing = replace(standing, runs=(run(*DONE),))
    assert typed(standing) == "autoseg predict --ensemble"
    standing = replace(standing, predictions=(PredictionStanding(folder=Path("p"), num_done=2, is_running=False),))
    assert typed(standing) == "autoseg report"
    command, why = next_step(replace(standing, is_reported=True))
    assert (command, why.partition(";")[0]) == ("", "nothing is left to do")


def test_names_are_quoted_and_the_workspace_is_named(standing: Standing, tmp_path: Path) -> None:
    assert next_step(standing)[0] == "autoseg train 2d fold0..4 -d 'Hand Bone'"
    elsewhere = replace(standing, place=Workspace(root=tmp_path))
    assert next_step(elsewhere)[0] == f"autoseg train 2d fold0..4 -d 'Hand Bone' -w {tmp_path}"


def test_a_data_set_outside_raw_is_named_by_its_path(standing: Standing, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    assert next_step(replace(standing, name="elsewhere", folder=folder))[0].endswith(f" -d {folder}")


def test_a_stopped_fold_needs_its_cases(standing: Standing) -> None:
    half = replace(standing, plans=(known(plan(), prepared=0),), runs=(run("done", "killed"),))
    assert typed(half).startswith("autoseg plan_and_preprocess")


@pytest.mark.parametrize("state", ["stopped", "failed", "killed"])
def test_what_was_begun_goes_first(standing: Standing, state: State) -> None:
    assert typed(replace(standing, runs=(run("done", state, "not begun", state),))) == "autoseg train 2d fold1,3"


def test_of_a_plan_and_a_trainer(standing: Standing) -> None:
    wide = plan(name="wide")
    runs = (run(*DONE), run("stopped", plan_name="wide", trainer="sgd"))
    assert typed(replace(standing, plans=(known(plan()), known(wide)), runs=runs)) == "autoseg train 2d fold0 --plan wide --trainer sgd"


def test_a_plan_that_nobody_trains_is_no_duty(standing: Standing) -> None:
    plans = (known(plan()), known(plan(name="wide"), prepared=0))
    assert typed(replace(standing, plans=plans, runs=(run(*DONE),))) == "autoseg predict --ensemble"


def test_cases_of_a_finished_run_may_be_gone(standing: Standing) -> None:
    assert typed(replace(standing, plans=(known(plan(), prepared=0),), runs=(run(*DONE),))) == "autoseg predict --ensemble"
    half = replace(standing, plans=(known(plan(), prepared=0),), runs=(run("done"),))
    assert typed(half).startswith("autoseg plan_and_preprocess")


def test_a_cascade(standing: Standing) -> None:
    cascade = known(plan("2d", "2d_lowres", "2d_cascade<2d_lowres"))
    standing = replace(standing, plans=(cascade,))
    assert typed(standing) == "autoseg train 2d_lowres fold0..4"
    standing = replace(standing, runs=(run(*DONE, config="2d_lowres"),))
    assert typed(standing) == "autoseg train 2d_cascade fold0..4"
    standing = replace(standing, runs=(*standing.runs, run(*DONE, config="2d_cascade")))
    assert typed(standing) == "autoseg predict --ensemble"  # its first stage is no other run to choose from


def test_among_several_runs_is_chosen(standing: Standing) -> None:
    standing = replace(standing, runs=(run(*DONE), run(*DONE, trainer="sgd")))
    assert typed(standing) == "autoseg select"
    assert typed(replace(standing, is_selected=True)) == "autoseg predict --ensemble"
    assert typed(replace(standing, is_selected=True, unjudged=("default/2d-sgd",))) == "autoseg select"


def test_of_several_runs_that_nothing_judges_one_is_named(standing: Standing) -> None:
    alone = [replace(run(trainer=name), folds=(*run().folds, FoldStanding(name="all", state="done"))) for name in ("default", "sgd")]
    expected = "autoseg predict --ensemble --plan default --config 2d --trainer default"
    assert typed(replace(standing, runs=tuple(alone))) == expected


def test_what_was_never_saved_begins_anew(standing: Standing) -> None:
    made = run("killed", "done", "stopped")
    folds = (replace(made.folds[0], is_saved=False), *made.folds[1:])
    command, why = next_step(replace(standing, runs=(replace(made, folds=folds),)))
    assert command.startswith("autoseg train 2d fold0,2 ")
    assert why == "goes on where it stopped; begins anew where nothing was saved yet: fold0"
    alone = replace(made, folds=(folds[0], *run().folds[1:]))
    assert next_step(replace(standing, runs=(alone,)))[1] == "begins anew: nothing was saved yet"


def test_hours_that_are_used_up_are_not_given_again(standing: Standing) -> None:
    made = begun_with(run("done"), "--hours", "2")
    for used_h, hours in ((0.4, "2"), (2.0, "10"), (1.9, "9.5")):
        folds = (replace(made.folds[0], used_s=3600 * used_h), *made.folds[1:])
        assert typed(replace(standing, runs=(replace(made, folds=folds),))) == f"autoseg train 2d fold0..4 --hours {hours}"


def test_a_stopped_fold_of_earlier_cases_begins_anew(standing: Standing) -> None:
    made = begun_with(run("stopped"), "--epochs", "3")
    stale = replace(made, folds=(replace(made.folds[0], is_outdated=True), *made.folds[1:]))
    assert typed(replace(standing, runs=(stale,))) == "autoseg train 2d fold0 --epochs 3 --restart"


def test_the_second_stage_has_a_batch_and_a_start_of_its_own(standing: Standing) -> None:
    first = begun_with(run(*DONE, config="2d_lowres"), "--epochs", "3", "--batch", "16", "--from", "x.safetensors")
    found = replace(standing, plans=(known(plan("2d_lowres", "2d_cascade<2d_lowres")),), runs=(first,))
    assert typed(found) == "autoseg train 2d_cascade fold0..4 --epochs 3"


def test_the_plan_of_a_gpu_goes_on_without_one(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    made = replace(plan(), budget=named_gpu("t4"))
    begun = replace(standing, plans=(known(made),), runs=(begun_with(run("done", "stopped"), "--epochs", "3"),))
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("autoseg.budget.DRIVER", Path("version"))
    assert typed(begun) == "autoseg train 2d fold1 --epochs 3 --device cpu"
    Path("version").write_text("NVRM")
    assert typed(begun) == "autoseg train 2d fold1 --epochs 3"
    Path("version").unlink()
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert typed(begun) == "autoseg train 2d fold1 --epochs 3"


def test_a_broken_plan_is_mended_first(standing: Standing) -> None:
    broken = replace(standing, broken=(Path("plans/wide.json"),))
    assert typed(broken) == "autoseg train 2d fold0..4"  # nothing hangs on it
    for blocked in (replace(broken, plans=()), replace(broken, runs=(run("done", plan_name="wide"),))):
        command, why = next_step(blocked)
        assert command == ""
        assert why.startswith("mend plans/wide.json (see above), or delete it and run autoseg plan_and_preprocess --plan wide -d")


def test_a_plan_for_other_data_is_not_trained(standing: Standing) -> None:
    other = replace(known(plan()), misfits=("classes: 2 in the plan, 1 in the data",))
    found = replace(standing, plans=(other,), runs=(run("stopped"),))
    assert typed(found) == "autoseg plan_and_preprocess --plan NAME --gpu cpu"
    assert "plans/default.json is for other data: classes: 2 in the plan" in next_step(found)[1]
    assert typed(replace(found, plans=(other, known(plan(name="new"))))) == "autoseg train 2d fold0..4 --plan new"


def test_changed_cases_are_measured_again(standing: Standing) -> None:
    for runs in ((), (run("stopped"),), (run(*DONE),)):
        found = replace(standing, runs=runs, changed="no longer there: c3")
        assert typed(found) == "autoseg plan_and_preprocess --gpu cpu"
        assert next_step(found)[1].endswith("no longer there: c3")


def test_one_net_of_all_cases_is_enough(standing: Standing) -> None:
    alone = run()
    alone = replace(alone, folds=(*alone.folds, FoldStanding(name="all", state="done")))
    assert not typed(replace(standing, runs=(alone,))).startswith("autoseg train")
    begun = replace(alone, folds=(*run().folds, FoldStanding(name="all", state="stopped")))
    assert typed(replace(standing, runs=(begun,))) == "autoseg train 2d all"


def test_select_wants_every_numbered_fold(standing: Standing) -> None:
    alone = replace(run(), folds=(*run().folds, FoldStanding(name="all", state="done")))
    assert typed(replace(standing, runs=(alone,))) == "autoseg predict --ensemble"


def begun_with(made: RunStanding, *words: str) -> RunStanding:
    return replace(made, folds=tuple(replace(fold, words=words if fold.state != "not begun" else ()) for fold in made.folds))


def test_with_the_options_that_a_run_was_begun_with(standing: Standing) -> None:
    stopped = begun_with(run("done", "stopped"), "--epochs", "3", "--lr", "0.001")
    assert typed(replace(standing, runs=(stopped,))) == "autoseg train 2d fold1 --epochs 3 --lr 0.001"
    missing = begun_with(run("done", "done"), "--epochs", "3")
    assert typed(replace(standing, runs=(missing,))) == "autoseg train 2d fold2..4 --epochs 3"


def test_hours_are_for_all_folds(standing: Standing) -> None:
    stopped = begun_with(run("done", "stopped"), "--hours", "12")
    assert typed(replace(standing, runs=(stopped,))) == "autoseg train 2d fold0..4 --hours 12"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"budget": Budget(name="cpu", kind="cpu", memory_bytes=2**33, hours=0.5)}, "--gpu cpu --hours 0.5"),
        ({"budget": named_gpu("t4")}, "--gpu t4"),
        ({"budget": memory_budget(11)}, "--gpu-memory 11"),
        ({"budget": Budget(name="NVIDIA RTX A5000", kind="cuda", memory_bytes=2**34)}, ""),
        ({"name": "wide", "overrides": ("2d.batch=4", "2d.patch=64,64")}, "--plan wide --set 2d.batch=4 --set 2d.patch=64,64"),
        ({"name": "resenc", "planner": "resenc"}, "--planner resenc"),
        ({"name": "other", "planner": "resenc"}, "--planner resenc --plan other"),
    ],
)
def test_the_very_plan_is_prepared_again(standing: Standing, changes: dict[str, object], expected: str) -> None:
    made = replace(plan(), **({"budget": Budget(name="at hand", kind="cuda", memory_bytes=2**34)} | changes))  # type: ignore[arg-type]
    found = replace(standing, plans=(known(made, prepared=0),))
    assert typed(found) == f"autoseg plan_and_preprocess {expected}".rstrip()


def test_a_plan_that_comes_with_autoseg_brings_its_budget(standing: Standing) -> None:
    made = replace(plan(name="shipped"), budget=named_gpu("t4"))
    found = replace(standing, plans=(known(made, prepared=0),), shipped=("shipped",))
    assert typed(found) == "autoseg plan_and_preprocess --plan shipped"


def test_without_test_images(standing: Standing) -> None:
    done = replace(standing, runs=(run(*DONE),), is_selected=True, num_test=0)
    assert typed(done) == "autoseg predict --ensemble -i FOLDER"


@pytest.mark.parametrize("changes", [{"preparer": this_process()}, {"runs": (run("stopped", "running"),)}])
def test_while_something_runs_there_is_only_waiting(standing: Standing, changes: dict[str, object]) -> None:
    command, why = next_step(replace(standing, **changes))  # type: ignore[arg-type]
    assert command == ""
    assert "autoseg status" in why


def test_the_first_configuration() -> None:
    assert first_config(plan("2d", "3d_fullres")) == "3d_fullres"
    assert first_config(plan("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres<3d_lowres")) == "3d_lowres"
    assert first_config(plan("2d", "other")) == "2d"
