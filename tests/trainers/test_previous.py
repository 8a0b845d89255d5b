"""What a cascade's training asks of the stage before: every case's out-of-fold probabilities, or one clear word about what is missing."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import FileFormatError, UsageError
from autoseg.io.json_files import load_json
from autoseg.io.probabilities import write_probabilities
from autoseg.plan import Plan
from autoseg.planners.folds import Splits
from autoseg.preprocess.store import PreparedStore, plan_key
from autoseg.trainers.previous import PreviousStage, prepare_previous_stage
from autoseg.workspace import Workspace
from tests.trainers import cascade


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose first stage is finished; write nothing into it."""
    root = tmp_path_factory.mktemp("planted")
    cascade.plant_lowres(root, cascade.plan_and_prepare(root))
    return root


@pytest.fixture
def workspace(planted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(planted, tmp_path / "w", copy_function=shutil.copy2))


def plan_of(root: Path) -> Plan:
    return load_json(Workspace(root=root).plan_file(cascade.NAME, "default"), Plan)


def prepare(
    root: Path, plan: Plan | None = None, *, trainer: str = "default", calls: list[int] | None = None, needed: Sequence[str] = ()
) -> PreviousStage:
    place, plan = Workspace(root=root), plan or plan_of(root)
    splits, stage = load_json(place.splits_file(cascade.NAME), Splits), plan.stages["2d_cascade"]
    return prepare_previous_stage(
        place,
        plan,
        stage,
        trainer=trainer,
        val={str(number): fold.val for number, fold in enumerate(splits.folds)},
        needed=needed,
        store=PreparedStore(place.store_folder(cascade.NAME, plan_key(plan, stage))),
        progress=lambda done, total: None if calls is None else calls.append(total),
    )


def lowres(root: Path, fold: str) -> Path:
    return Workspace(root=root).fold_folder(cascade.NAME, "default", "2d_lowres", "default", fold)


def test_every_case_is_prepared_once(workspace: Path) -> None:
    calls: list[int] = []
    first = prepare(workspace, calls=calls)
    assert calls == [cascade.CASES] * cascade.CASES
    np.testing.assert_array_equal(first.channels.open("case03")[:], cascade.oracle("case03"))
    # Broken off in the middle, or damaged: only what is missing is made.
    shutil.rmtree(first.channels.case_folder("case05"))
    damaged = first.channels.case_folder("case07") / "previous.b2nd"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    calls.clear()
    again = prepare(workspace, calls=calls)
    assert calls == [2, 2]
    assert (again.digest, again.channels.folder) == (first.digest, first.channels.folder)
    np.testing.assert_array_equal(again.channels.open("case07")[:], cascade.oracle("case07"))


def test_another_net_of_any_fold_makes_other_channels(workspace: Path) -> None:
    first = prepare(workspace)
    cascade.save_net(lowres(workspace, "1") / "checkpoint_last.safetensors", plan_of(workspace), 7)
    calls: list[int] = []
    second = prepare(workspace, calls=calls)
    assert len(calls) == cascade.CASES
    assert second.channels.folder != first.channels.folder
    assert second.digest != first.digest
    assert second.behind("0") == first.behind("0")
    assert second.behind("1") != first.behind("1")
    assert second.behind("all") == f"{second.behind('0')},{second.behind('1')}"


def test_a_case_that_no_fold_validates_on_is_named(workspace: Path) -> None:
    prepare(workspace, needed=["case03"])
    with pytest.raises(UsageError, match=r"splits\.json: no fold validates on case99 and 1 other cases"):
        prepare(workspace, needed=["case03", "extra", "case99"])


def test_a_fold_that_is_not_finished_is_named(workspace: Path) -> None:
    (lowres(workspace, "1") / "summary.json").unlink()
    with pytest.raises(UsageError, match=r"fold 1 of it is not finished\. First: autoseg train 2d_lowres fold1\.$"):
        prepare(workspace)


def test_nothing_trained_names_the_command(workspace: Path) -> None:
    shutil.rmtree(lowres(workspace, "0").parent)
    with pytest.raises(UsageError, match=r"2d_lowres is not trained yet\. First: autoseg train 2d_lowres fold0\.\.1\.$"):
        prepare(workspace)
    with pytest.raises(UsageError, match=r"autoseg train 2d_lowres fold0\.\.1 --trainer sgd\.$"):
        prepare(workspace, trainer="sgd")
    with pytest.raises(UsageError, match=r"autoseg train 2d_lowres fold0\.\.1 --plan 'my plan' --trainer sgd\.$"):
        prepare(workspace, replace(plan_of(workspace), name="my plan"), trainer="sgd")


def test_the_only_run_of_another_trainer_is_taken(workspace: Path) -> None:
    assert prepare(workspace, trainer="sgd").run.name == "2d_lowres-default"
    cascade.plant_lowres(workspace, plan_of(workspace), trainer="adamw")
    with pytest.raises(
        UsageError, match=r"2d_lowres-adamw, 2d_lowres-default, and none of trainer sgd.*--trainer adamw, --trainer default"
    ):
        prepare(workspace, trainer="sgd")
    assert prepare(workspace).run.name == "2d_lowres-default"


def test_probabilities_that_are_missing_are_named(workspace: Path) -> None:
    (lowres(workspace, "0") / "validation" / "probabilities" / "case02.prob").unlink()
    with pytest.raises(
        UsageError, match=r"case02\.prob is missing.*Delete .*fold0/summary\.json and run autoseg train 2d_lowres fold0: it"
    ):
        prepare(workspace)


def test_probabilities_of_something_else_are_named(workspace: Path) -> None:
    file = lowres(workspace, "0") / "validation" / "probabilities" / "case02.prob"
    write_probabilities(file, np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(FileFormatError, match=r"case02\.prob is of another case or other classes: \(3, 4, 4\) instead of \(2, 40, 40\)"):
        prepare(workspace)


def test_a_stage_trained_on_other_data_is_named(workspace: Path) -> None:
    with pytest.raises(UsageError, match=r"(?s)fold0 was trained before the data set changed.*train 2d_lowres fold0,1 --restart"):
        prepare(workspace, replace(plan_of(workspace), fingerprint="other"))


def test_a_case_that_is_not_prepared_is_named(workspace: Path) -> None:
    plan = plan_of(workspace)
    folder = Workspace(root=workspace).store_folder(cascade.NAME, plan_key(plan, plan.stages["2d_cascade"]))
    shutil.rmtree(folder / "case04")
    with pytest.raises(UsageError, match=r"case04 is not prepared\. Run plan_and_preprocess again"):
        prepare(workspace)


def test_a_damaged_net_is_named_before_anything_is_trained_behind_it(workspace: Path) -> None:
    file = lowres(workspace, "1") / "checkpoint_last.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(FileFormatError, match=r"fold1/checkpoint_last\.safetensors is damaged.* autoseg train 2d_lowres fold1 --restart"):
        prepare(workspace)
