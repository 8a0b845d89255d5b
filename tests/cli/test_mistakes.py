"""What a person may get wrong: one message that says what to do, exit code 2, no traceback."""

import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autoseg import stopwatch
from autoseg.budget import named_gpu
from autoseg.cli.progress import duration
from autoseg.cli.train import check_memory
from autoseg.errors import DeviceError, FileFormatError, UsageError
from autoseg.io.json_files import load_json, save_json
from autoseg.plan import Plan
from autoseg.workspace import SUMMARY, Workspace
from tests.cli.conftest import Autoseg
from tests.io.make import make_maps, write_json
from tests.trainers.make import NAME, plan_and_prepare, write_raw


@pytest.fixture(scope="module")
def raw_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("raw_only")
    write_raw(root / "raw" / NAME)
    return root


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("planned")
    plan_and_prepare(root)
    return root


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("plan_and_preprocess -d Nothing", "-d Nothing: no such data set"),
        ("plan_and_preprocess --gpu gtx", "--gpu gtx is not known. Known are v100-32gb"),
        ("plan_and_preprocess --gpu cpu --gpu-memory 8", "--gpu and --gpu-memory exclude each other"),
        ("plan_and_preprocess --gpu-memory -1", "--gpu-memory must be positive"),
        ("plan_and_preprocess --hours 0", "--hours must be positive, got 0"),
        ("plan_and_preprocess --workers 0", "Invalid value for '--workers'"),
        ("plan_and_preprocess --hours soon", "'soon' is not a valid float"),
        ("plan_and_preprocess --gpu cpu --configs 3d", "--configs 3d is not a configuration"),
        ("train 2d fold0", f"{NAME} has no plan default. Make it: autoseg plan_and_preprocess -d {NAME}"),
        ("train 2d fold0 --epochs 1 --hours 1", "--epochs and --hours exclude each other"),
        ("train 2d fold0 --hours -1", "--hours must be positive, got -1"),
        ("train 2d fold0 --trainer adam", "--trainer adam is not known; there are default"),
        ("train 2d fold0 --seed -1", "Invalid value for '--seed'"),
        ("train 2d", "Missing argument 'FOLDS"),
        ("train 2d fold0 --bach 3", "No such option"),
        ("predict --step 0", "--step must lie above 0"),
        ("predict --ensemble --folds 0", "--ensemble and --folds exclude each other"),
        ("predict --ensemble", "autoseg train"),
        ("predict -i nowhere.png", "nowhere.png"),
        ("demo make --size 12", "size"),
        ("demo score", "HandBone"),
        ("trian 2d fold0", "No such command 'trian'"),
    ],
)
def test_one_message_and_exit_code_2(autoseg: Autoseg, raw_only: Path, arguments: str, said: str) -> None:
    words = arguments.split()
    place = [] if words[0] == "trian" else ["-w", raw_only]
    done = autoseg(*words, *place)
    assert done.code == 2, done
    assert said in done.err
    assert "Traceback" not in done.err + done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("train 3d fold0", "3d is no configuration of plan default; it has 2d."),
        ("train 2d fold7", "there is no fold7: the data set is split into 5 folds, fold0..4."),
        ("train 2d five", "five names no folds"),
        ("train 2d fold0 --plan other", f"{NAME} has no plan other; there are default."),
        ("train 2d fold0 --device gpu", "--device gpu is not understood"),
        ("train 2d fold0 --device cuda:77", "--device cuda:77"),
        ("train 2d fold0 --batch 0", "--batch must be at least 1, got 0"),
    ],
)
def test_mistakes_with_a_plan(autoseg: Autoseg, planned: Path, arguments: str, said: str) -> None:
    done = autoseg(*arguments.split(), "-w", planned)
    assert done.code == 2, done
    assert said in done.err
    assert not (planned / "results").exists()


def test_commands_that_are_shown_work_as_they_are_typed(autoseg: Autoseg, planned: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(planned, tmp_path / "w"))
    (root / "raw" / NAME).rename(root / "raw/left hand")
    again = f"-d 'left hand' -w {root}"
    done = autoseg("train", "2d", "0", "--plan", "a b", "-w", root)
    assert f"Make it: autoseg plan_and_preprocess --plan 'a b' {again}." in done.err
    assert f"(autoseg plan_and_preprocess {again} makes one)" in autoseg("plan", "show", "none", "-w", root).err
    (root / "preprocessed" / NAME).rename(root / "preprocessed/left hand")
    place = Workspace(root=root)
    file = place.plan_file("left hand", "default")
    plan = replace(load_json(file, Plan), dataset="left hand")
    save_json(file, replace(plan, labels=replace(plan.labels, classes=("x", "y"))))
    assert f"autoseg plan_and_preprocess --plan NAME {again}, or" in autoseg("train", "2d", "0", "-w", root).err
    save_json(file, plan)
    place.splits_file("left hand").unlink()
    assert f"autoseg status {again} gives" in autoseg("train", "2d", "0", "-w", root).err


def test_a_gpus_plan_without_a_gpu(autoseg: Autoseg, planned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    root = Path(shutil.copytree(planned, tmp_path / "w"))
    file = Workspace(root=root).plan_file(NAME, "default")
    save_json(file, replace(load_json(file, Plan), budget=named_gpu("v100-32gb")))
    done = autoseg("train", "2d", "fold0", "-w", root)
    assert done.code == 2
    assert "is for v100-32gb, and there is no GPU here" in done.err
    assert f"(autoseg plan_and_preprocess --gpu cpu --hours 1 -d Blobs -w {root})" in done.err
    assert "--device cpu" in done.err
    done = autoseg("train", "2d", "fold0", "--epochs", 1, "--iterations-per-epoch", 1, "--device", "cpu", "-w", root)
    assert done.code == 0, done.err
    assert "s per step:" in done.out
    assert "for 1 step. A plan" in done.out
    assert done.out.count(f"autoseg plan_and_preprocess --gpu cpu --hours 1 -d Blobs -w {root}\n") == 1


def test_other_options_on_a_run_that_exists(autoseg: Autoseg, planned: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(planned, tmp_path / "w"))
    command = ["train", "2d", "fold0", "--iterations-per-epoch", 1, "-w", root]
    assert autoseg(*command, "--epochs", 1).code == 0
    done = autoseg(*command, "--epochs", 2)
    assert done.code == 2
    assert "--epochs: 1 -> 2" in done.err
    assert "--restart" in done.err
    assert autoseg(*command, "--epochs", 2, "--restart").code == 0


def test_damaged_files_are_named(autoseg: Autoseg, planned: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(planned, tmp_path / "w"))
    place = Workspace(root=root)
    plan = place.plan_file(NAME, "default")
    whole = plan.read_text(encoding="utf-8")
    other = [whole.replace('"version": 2', f'"version": {number}') for number in (1, 3)]
    for damaged in (whole[:200], whole.replace('"batch"', '"bach"'), *other):
        plan.write_text(damaged, encoding="utf-8")
        done = autoseg("train", "2d", "fold0", "-w", root)
        assert done.code == 2, done
        assert str(plan) in done.err
    plan.write_text(whole, encoding="utf-8")
    shutil.rmtree(place.preprocessed(NAME) / "cases")
    done = autoseg("train", "2d", "fold0", "-w", root)
    assert done.code == 2
    assert "cases are not prepared" in done.err
    assert "plan_and_preprocess" in done.err


def test_debug_shows_where_it_happened(autoseg: Autoseg, raw_only: Path) -> None:
    with pytest.raises(UsageError, match="-d Nothing"):
        autoseg("--debug", "train", "2d", "0", "-d", "Nothing", "-w", raw_only)
    with pytest.raises(UsageError, match="-d Nothing"):
        autoseg("train", "2d", "0", "-d", "Nothing", "-w", raw_only, "--debug")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s"), (3600, "1 h 00 min"), (90_000, "25 h 00 min")],
)
def test_time_as_a_person_says_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize("error", [FileFormatError("case3: chunk 2 is damaged. Prepare it again."), ZeroDivisionError("a mistake of ours")])
def test_what_goes_wrong_in_a_loading_thread_reaches_the_user(
    autoseg: Autoseg, planned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    where: list[str] = []

    def damaged(*arguments: object, **options: object) -> None:
        where.append(threading.current_thread().name)
        raise error

    monkeypatch.setattr("autoseg.trainers.sampler.read_mirrored", damaged)
    command = ["train", "2d", "0", "-w", Path(shutil.copytree(planned, tmp_path / "w"))]
    if isinstance(error, FileFormatError):
        done = autoseg(*command)
        assert (done.code, str(error) in done.err) == (2, True)
    # Not ours to explain, or asked for: the exception itself, with the lines that it passed through in its thread.
    with pytest.raises(type(error), match=str(error)) as caught:
        autoseg(*command, *(["--debug"] if isinstance(error, FileFormatError) else []))
    assert {"sample", "damaged"} <= {entry.name for entry in caught.traceback}
    assert where[0].startswith("autoseg-loader")


def test_a_device_out_of_memory_is_no_traceback(autoseg: Autoseg, planned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*arguments: object, **options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr("autoseg.trainers.train_folds", too_much)
    done = autoseg("train", "2d", "0", "-w", planned)
    assert done.code == 2
    assert "the device ran out of memory" in done.err
    assert "--batch" in done.err


def test_a_machine_out_of_memory_is_no_traceback(autoseg: Autoseg, planned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*arguments: object, **options: object) -> None:
        raise MemoryError("Unable to allocate 9.00 TiB")

    monkeypatch.setattr("autoseg.trainers.train_folds", too_much)
    done = autoseg("train", "2d", "0", "-w", planned)
    assert done.code == 2
    assert "this machine ran out of memory" in done.err
    assert "Unable to allocate 9.00 TiB" in done.err


def test_a_crash_that_is_not_for_lack_of_memory_is_shown(autoseg: Autoseg, planned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("FIND was unable to find an engine to execute this computation")

    monkeypatch.setattr("autoseg.trainers.train_folds", broken)
    with pytest.raises(RuntimeError, match="unable to find an engine"):
        autoseg("train", "2d", "0", "-w", planned)


def test_a_device_with_less_memory_than_the_plan_needs(planned: Path) -> None:
    plan = load_json(Workspace(root=planned).plan_file(NAME, "default"), Plan)
    needed = plan.stages["2d"].memory.peak_bytes
    check_memory(plan, "2d", needed, "cuda:0", " -d Blobs")
    with pytest.raises(DeviceError, match=r"cuda:0 has .* GiB. Plan for it: autoseg plan_and_preprocess -d Blobs \(or --gpu-memory \d+\)"):
        check_memory(plan, "2d", needed - 1, "cuda:0", " -d Blobs")


def test_a_broken_plan_is_met_before_anything_is_measured(autoseg: Autoseg, raw_only: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(raw_only, tmp_path / "w"))
    file = Workspace(root=root).plan_file(NAME, "default")
    file.parent.mkdir(parents=True)
    file.write_text("{", encoding="utf-8")
    done = autoseg("plan_and_preprocess", "-w", root, "--workers", 1)
    assert done.code == 2
    assert str(file) in done.err
    assert len(done.out.splitlines()) == 1, done.out  # which data set


def test_check_names_the_classes_and_a_mistyped_key(autoseg: Autoseg, tmp_path: Path) -> None:
    root = make_maps(tmp_path / "raw/Two", {"x": 1}, cases=6)
    write_json(root / "dataset.json", {"label": {"x": 1}, "licence": "none"})
    done = autoseg("check", "-w", tmp_path, "--workers", 1)
    assert done.code == 0, done.out
    assert "  Classes: class 1\n" in done.out
    assert f"1 warning:\n  {root / 'dataset.json'}: 'label' is not read; is 'labels' meant?\n" in done.out


def test_a_finished_fold_is_not_timed_again(monkeypatch: pytest.MonkeyPatch, planned: Path, tmp_path: Path, autoseg: Autoseg) -> None:
    root = Path(shutil.copytree(planned, tmp_path / "w", copy_function=shutil.copy2))
    place = Workspace(root=root)
    file = place.plan_file(NAME, "default")
    save_json(file, replace(load_json(file, Plan), budget=named_gpu("v100-32gb")))
    summary = place.fold_folder(NAME, "default", "2d", "default", "0") / SUMMARY
    summary.parent.mkdir(parents=True)
    summary.touch()
    monkeypatch.setattr(stopwatch, "measure_step", lambda stage, device, *, exclusive: 0.01)
    monkeypatch.setattr("autoseg.cli.train.train_in_turn", lambda job, **given: None)
    command = ("train", "2d", "--device", "cpu", "-w", root, "--epochs", 2, "--iterations-per-epoch", 1)
    assert "Timing" not in autoseg(*command, "fold0").out
    assert "1 s for 2 steps" in autoseg(*command, "fold0..1").out
    assert "1 s for 4 steps" in autoseg(*command, "fold0..1", "--restart").out


def test_windows_is_told_where_it_runs(autoseg: Autoseg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    done = autoseg("check")
    assert done.code == 2
    assert done.err == "Error: autoseg runs on Linux and macOS; on Windows, install and run it in WSL (wsl --install).\n"
