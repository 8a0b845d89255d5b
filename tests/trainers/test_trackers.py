"""Trackers get every epoch's numbers; the packages themselves are replaced by recorders."""

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from autoseg import extensions
from autoseg.cli import cli
from autoseg.errors import UsageError
from autoseg.trainers.trackers import TRACKERS, TrackedRun, Tracker, Trackers, find_tracker
from tests.trainers.make import NAME

COMMAND = ["train", "2d", "fold0", "--epochs", "3", "--iterations-per-epoch", "2"]


class Recorder:
    """Anything with methods; keeps what they are called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*arguments: Any, **named: Any) -> "Recorder":
            self.calls.append((name, arguments, named))
            return self

        return call

    def of(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(arguments, named) for called, arguments, named in self.calls if called == name]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Stands for all three packages."""
    made = Recorder()
    for name in ("torch.utils.tensorboard", "wandb", "mlflow"):
        module = ModuleType(name)
        for function in ("SummaryWriter", "init", "set_experiment", "start_run", "log_params", "log_metrics", "end_run"):
            setattr(module, function, getattr(made, function))
        monkeypatch.setitem(sys.modules, name, module)
    return made


def run_in(folder: Path, iteration: int = 0) -> TrackedRun:
    return TrackedRun(folder=folder, dataset="D", run="default/2d-sgd", fold="fold0", settings={"lr": "0.01"}, iteration=iteration)


def test_tensorboard(recorder: Recorder, tmp_path: Path) -> None:
    writer = TRACKERS["tensorboard"](run_in(tmp_path, iteration=7))
    writer.write(9, {"loss": 0.5, "lr": 0.1})
    writer.close()
    # What a killed run wrote after the checkpoint at iteration 7 is dropped.
    assert recorder.of("SummaryWriter") == [((str(tmp_path / "tensorboard"),), {"purge_step": 8})]
    assert recorder.of("add_scalar") == [(("loss", 0.5, 9), {}), (("lr", 0.1, 9), {})]
    assert len(recorder.of("close")) == 1


def test_wandb(recorder: Recorder, tmp_path: Path) -> None:
    writer = TRACKERS["wandb"](run_in(tmp_path))
    writer.write(9, {"loss": 0.5})
    writer.close()
    ((_, named),) = recorder.of("init")
    assert (named["project"], named["group"], named["name"], named["config"]) == ("D", "default/2d-sgd", "fold0", {"lr": "0.01"})
    assert recorder.of("log") == [(({"loss": 0.5},), {"step": 9})]
    assert len(recorder.of("finish")) == 1


def test_mlflow(recorder: Recorder, tmp_path: Path) -> None:
    writer = TRACKERS["mlflow"](run_in(tmp_path))
    writer.write(9, {"loss": 0.5})
    writer.close()
    assert recorder.calls == [
        ("set_experiment", ("D",), {}),
        ("start_run", (), {"run_name": "default/2d-sgd fold0"}),
        ("log_params", ({"lr": "0.01"},), {}),
        ("log_metrics", ({"loss": 0.5},), {"step": 9}),
        ("end_run", (), {}),
    ]


def test_a_training_gives_them_what_it_writes_to_metrics(workspace: Path, recorder: Recorder) -> None:
    cli.main([*COMMAND, "--track", "wandb", "--track", "mlflow", "-w", str(workspace)], standalone_mode=False)
    folder = workspace / "results" / NAME / "default" / "2d-default" / "fold0"
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    expected = [({name: value for name, value in row.items() if name != "iteration"}, row["iteration"]) for row in rows]
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["mean"]
    expected.append(({f"validation_{name}": value for name, value in summary.items() if isinstance(value, float)}, rows[-1]["iteration"]))
    assert len(expected) == 4
    for name in ("log", "log_metrics"):
        assert [(arguments[0], named["step"]) for arguments, named in recorder.of(name)] == expected
    assert len(recorder.of("finish")) == len(recorder.of("end_run")) == 1
    # A finished fold opens nothing.
    before = len(recorder.calls)
    cli.main([*COMMAND, "--track", "wandb", "-w", str(workspace)], standalone_mode=False)
    assert len(recorder.calls) == before


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "tensorboard"), ("wandb", "wandb"), ("mlflow", "mlflow")])
def test_a_missing_package_is_named_before_anything_begins(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(UsageError, match=rf"--track {name}: {package} is not installed.*pip install 'autoseg\[tracking\]'"):
        cli.main([*COMMAND, "--track", name, "-w", str(workspace)], standalone_mode=False)
    assert not (workspace / "results").exists()


def test_an_unknown_one_lists_the_known() -> None:
    with pytest.raises(UsageError, match=r"--track neptune is not known; there are tensorboard, wandb, mlflow"):
        find_tracker("neptune")


class Failing(Tracker):
    """Fails at its second epoch."""

    module = "json"
    written: list[int] = []  # noqa: RUF012 - of the class, which the test reads

    def write(self, iteration: int, values: Mapping[str, float]) -> None:
        if self.written:
            raise OSError("the network is gone")
        self.written.append(iteration)


def test_one_that_fails_is_dropped_and_the_others_go_on(recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(TRACKERS, "failing", Failing)
    said: list[str] = []
    both = Trackers(("failing", "wandb"), said.append)
    both.open(run_in(tmp_path))
    for iteration in (1, 2, 3):
        both.write(iteration, {"loss": 1.0, "note": "no number", "val_dice": None, "iteration": iteration})
    both.close()
    assert Failing.written == [1]
    assert said == ["--track failing failed and is dropped: the network is gone. metrics.jsonl goes on."]
    assert recorder.of("log") == [(({"loss": 1.0},), {"step": k}) for k in (1, 2, 3)]


def test_one_that_cannot_begin_ends_the_command(recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(**named: Any) -> None:
        raise ValueError("no login")

    monkeypatch.setattr(sys.modules["wandb"], "init", refuse)
    with pytest.raises(UsageError, match=r"--track wandb could not begin: no login. See to it"):
        Trackers(("wandb",), print).open(run_in(tmp_path))


def test_other_packages_add_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    point = SimpleNamespace(name="theirs", load=lambda: Failing)
    taken = EntryPoint(name="wandb", value="nowhere:Nothing", group="autoseg.trackers")
    monkeypatch.setattr(extensions, "installed", lambda kind: {"theirs": point, "wandb": taken} if kind == "trackers" else {})
    assert find_tracker("theirs") is Failing


def test_without_the_option_nothing_is_imported() -> None:
    asked = ("tensorboard", "torch.utils.tensorboard", "wandb", "mlflow")
    script = f"import sys, autoseg.trainers; print([name for name in {asked} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
