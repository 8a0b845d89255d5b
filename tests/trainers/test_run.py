"""A run's folder: the same settings continue, others are refused by name."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoseg.errors import FileFormatError, RunError
from autoseg.io.json_files import save_json
from autoseg.plan import Memory
from autoseg.trainers.options import TrainOptions
from autoseg.trainers.run import RunFolder, RunRecord, TimeSpent, differences
from tests import small
from tests.infer.plans import OVERLAPPING, tiny_plan


def record(**changes: Any) -> RunRecord:
    given: dict[str, Any] = {
        "plan": "default", "config": "2d", "fold": "0", "fingerprint": "f", "cases": "c", "options": TrainOptions(epochs=3),
        "planned": small.stage(), "stage": small.stage(), "hours": None,
    }  # fmt: skip
    return RunRecord(**{**given, **changes})


def begin(run: RunFolder, **changes: Any) -> None:
    """A run that has trained something."""
    run.start(record(**changes), restart=False)
    run.last.write_bytes(b"")


def test_the_same_settings_continue(tmp_path: Path) -> None:
    run = RunFolder(path=tmp_path / "fold0")
    assert run.start(record(), restart=False) == record()
    assert run.start(record(), restart=False) == record()


def test_more_time_continues_and_is_recorded(tmp_path: Path) -> None:
    run = RunFolder(path=tmp_path)
    run.start(record(hours=1.0), restart=False)
    assert run.start(record(hours=2.0), restart=False).hours == 2.0
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["hours"] == 2.0


def test_a_new_measurement_is_no_new_plan_and_the_trained_stage_stays(tmp_path: Path) -> None:
    run = RunFolder(path=tmp_path)
    begin(run)
    planned = replace(small.stage(), reasons={"x": "y"}, step_s=3.0, memory=Memory(peak_bytes=5, budget_bytes=6))
    again = run.start(record(planned=planned, stage=replace(small.stage(), iterations=999)), restart=False)
    assert again.stage == small.stage()


def test_a_planned_decoder_differs_by_a_number() -> None:
    plain, light, said = (record(planned=small.stage(network=small.network(convs=2, decoder_convs=up))) for up in (None, 1, 2))
    assert differences(plain, said) == []
    (line,) = differences(plain, light)
    assert line.startswith("planned.network.decoder_convs: ")
    assert "None" not in line


def test_lengths_that_the_options_overrule_may_differ() -> None:
    timed_anew = replace(small.stage(), iterations=777, iterations_per_epoch=7)
    by_options = {"options": TrainOptions(epochs=3, iterations_per_epoch=5)}
    assert differences(record(**by_options), record(**by_options, planned=timed_anew)) == []
    by_epochs = {"options": TrainOptions(epochs=3)}
    (line,) = differences(record(**by_epochs), record(**by_epochs, planned=replace(small.stage(), iterations_per_epoch=7)))
    assert line.startswith("planned.iterations_per_epoch: ")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"options": TrainOptions(epochs=4)}, "--epochs: 3 -> 4"),
        ({"options": TrainOptions(epochs=3, seed=1)}, "--seed: 0 -> 1"),
        ({"options": TrainOptions(epochs=3, lr=0.5)}, "--lr: the plan's -> 0.5"),
        ({"fingerprint": "g"}, "the data set: f -> g"),
        ({"cases": "d"}, r"the fold\'s cases \(splits.json\): c -> d"),
        ({"planned": replace(small.stage(), batch=5)}, "planned.batch: 2 -> 5"),
        ({"planned": small.with_recipe(small.stage(), lr=0.5)}, "planned.recipe.lr: 0.01 -> 0.5"),
        ({"planned": replace(small.stage(), patch=(32, 16))}, r"planned.patch: \[16, 16\] -> \[32, 16\]"),
    ],
)
def test_other_settings_are_refused_with_the_difference(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    run = RunFolder(path=tmp_path / "fold0")
    begin(run)
    (run.path / "kept").write_text("")
    with pytest.raises(RunError, match=rf"(?s)fold0 holds a run with other settings.*\n  {line}\n.*--restart"):
        run.start(record(**changes), restart=False)
    assert (run.path / "kept").exists()
    assert len(differences(record(), record(**changes))) == 1


@pytest.mark.parametrize(
    ("changes", "gives"),
    [
        ({"options": TrainOptions(epochs=4)}, True),
        ({"options": TrainOptions(epochs=4), "cases": "d"}, False),
        ({"fingerprint": "g"}, False),
        ({"planned": replace(small.stage(), batch=5)}, False),
    ],
)
def test_only_what_can_be_given_is_asked_for(tmp_path: Path, changes: dict[str, Any], gives: bool) -> None:
    run = RunFolder(path=tmp_path / "my fold0")
    begin(run)
    with pytest.raises(RunError) as refused:
        run.start(record(**changes), restart=False)
    said = str(refused.value)
    assert ("Give the settings of that run" in said) == gives
    assert f"--from '{run.path}' takes its weights" in said


def test_the_plan_that_was_set_aside_is_named_where_it_is_the_runs(tmp_path: Path) -> None:
    run, plan = RunFolder(path=tmp_path / "fold0"), tiny_plan(OVERLAPPING)
    there = plan.stages["2d"]
    begin(run, planned=there, stage=there, fingerprint=plan.fingerprint)
    other, same, gone = (tmp_path / f"{name}.json" for name in ("other", "same", "gone"))
    save_json(other, replace(plan, stages={"2d": replace(there, batch=9)}))
    save_json(same, replace(plan, stages={"2d": replace(there, step_s=3.0)}))
    now = record(planned=replace(there, batch=5), fingerprint=plan.fingerprint)
    with pytest.raises(RunError, match=rf"{same} is its plan: copied to plans/default\.json it continues the run"):
        run.start(now, restart=False, earlier=[gone, other, same])
    with pytest.raises(RunError) as refused:
        run.start(now, restart=False, earlier=[other])
    assert "is its plan" not in str(refused.value)


def test_an_attempt_that_trained_nothing_binds_nobody(tmp_path: Path) -> None:
    run = RunFolder(path=tmp_path)
    run.start(record(), restart=False)
    assert run.start(record(options=TrainOptions(epochs=4)), restart=False).options.epochs == 4


def test_a_fold_whose_net_was_deleted_is_not_finished(tmp_path: Path) -> None:
    run = RunFolder(path=tmp_path)
    begin(run)
    run.summary.write_text("{}", encoding="utf-8")
    run.save_time(TimeSpent(used_s=9.0, validation_s=1.0, validation_cases=1))
    run.start(record(), restart=False)
    assert run.summary.is_file()
    run.last.unlink()
    run.start(record(), restart=False)
    assert not run.summary.exists()
    assert run.time_spent() == TimeSpent()


def test_long_values_are_cut_in_the_differences() -> None:
    planned = replace(small.stage(), priors=(0.123456,) * 30)
    (line,) = differences(record(planned=replace(planned, priors=(0.2,) * 30)), record(planned=planned))
    assert line.startswith("planned.priors: [0.2, 0.2,")
    assert len(line) < 160


def test_restart_clears_the_folder(tmp_path: Path) -> None:
    run = RunFolder(path=tmp_path / "fold0")
    run.start(record(), restart=False)
    (run.path / "validation" / "deep").mkdir(parents=True)
    (run.path / "validation" / "deep" / "file").write_text("")
    assert run.start(record(cases="d"), restart=True).cases == "d"
    assert [path.name for path in run.path.iterdir()] == ["run.json"]
    run.start(record(cases="e"), restart=True)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    (tmp_path / "checkpoint_last.safetensors").write_bytes(b"")
    with pytest.raises(FileFormatError, match=r"run\.json is damaged or was edited wrongly"):
        RunFolder(path=tmp_path).start(record(), restart=False)


def test_time_is_kept(tmp_path: Path) -> None:
    run = RunFolder(path=tmp_path)
    assert run.time_spent() == TimeSpent()
    run.save_time(TimeSpent(used_s=3.5, validation_s=1.0, validation_cases=4))
    assert run.time_spent() == TimeSpent(used_s=3.5, validation_s=1.0, validation_cases=4)


def test_lines_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    run = RunFolder(path=tmp_path)
    run.trim_metrics(0)
    assert not list(tmp_path.iterdir())
    for epoch in range(4):
        run.append_metrics({"epoch": epoch, "loss": epoch / 2})
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"epoch": 4, "lo')
    run.trim_metrics(3)
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"epoch": k, "loss": k / 2} for k in range(3)]
