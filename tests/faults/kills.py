"""Campaigns of kills: a command is killed again and again, then left alone, and must come to what an undisturbed one comes to."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import torch

from autoseg.checkpoint import load_checkpoint
from autoseg.io.json_files import load_json
from autoseg.io.probabilities import read_probabilities
from autoseg.plan import Plan
from autoseg.preprocess.store import PreparedStore
from tests.faults import child
from tests.trainers.make import NAME, plan_and_prepare, write_raw

ROOT = Path(__file__).resolve().parents[2]
PLAN = ["plan_and_preprocess", "-d", NAME, "--gpu", "cpu", "--workers", "1"]
TRAIN = ["train", "2d", "fold0", "--epochs", "4", "--iterations-per-epoch", "4", "--deterministic", "--ema", "0.9", "--patience", "50"]
TRAIN += ["--schedule", "plateau", "--optimizer", "adamw", "--lr", "0.02", "--device", "cpu"]
PREDICT = ["predict", "--folds", "fold0", "--format", "masks,rle,probabilities,npz", "--device", "cpu"]
MODES = ("half", "whole", "renamed")
#: What a clock decides in a checkpoint's progress, in metrics.jsonl and in other files.
CLOCKED = {"used_s", "step_s_sum", "wait_s_sum", "step_s", "data_wait_s"}
#: Kills of each kind in the long run, 100 in all: (kind, how many instants there are about, kills).
LONG = {
    "plan": (2, 10),
    "store write": (30, 14),
    "step": (3, 18),
    "checkpoint rename": (3, 18),
    "probability write": (2, 12),
    "export": (8, 18),
    "anywhere": (0, 10),
}
#: Kinds whose instants come after those of the others of the same command.
LATE = ("store write", "probability write", "export")


@dataclass
class Log:
    """What was interrupted, in order."""

    kills: list[tuple[str, str]] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """Kills of a kind."""
        return sum(1 for found, _ in self.kills if found == kind)


def run(workspace: Path, command: Sequence[str], order: dict[str, Any], delay_s: float | None = None) -> tuple[int, str, str]:
    """Run a command in a process of its own; its code, what it said, and what it was doing last."""
    note = workspace / "doing.txt"
    given = json.dumps({"log": str(note), **order})
    arguments = [sys.executable, "-m", "tests.faults.child", given, *command, "-w", str(workspace)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=workspace)
    if delay_s is not None:
        until = time.monotonic() + delay_s
        while time.monotonic() < until and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    said, _ = process.communicate()
    return process.returncode, said, note.read_text(encoding="utf-8") if note.is_file() else "start"


def preload() -> None:
    """Import what the commands need, once, for all processes that `run_forked` makes."""
    for name in ("autoseg.trainers", "autoseg.predictor", "autoseg.planners", "autoseg.memory", "autoseg.preprocess.dataset", "PIL.Image"):
        import_module(name)


def run_forked(workspace: Path, command: Sequence[str], order: dict[str, Any], delay_s: float | None = None) -> tuple[int, str, str]:
    """`run` in a copy of this process, which has imported everything: ten times quicker, where hundreds are to be killed."""
    note, said = workspace / "doing.txt", workspace / "said.txt"
    note.unlink(missing_ok=True)
    sys.stdout.flush()
    number = os.fork()
    if not number:
        _become(said, [json.dumps({"log": str(note), **order}), *command, "-w", str(workspace)], workspace)
    if delay_s is not None:
        time.sleep(delay_s)
        os.kill(number, signal.SIGKILL)  # not waited for yet: the number is still its own
    code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
    return code, said.read_text(encoding="utf-8"), note.read_text(encoding="utf-8") if note.is_file() else "start"


def _become(said: Path, arguments: list[str], folder: Path) -> NoReturn:
    """Run the command line in this process and end it."""
    code: object = 70
    try:
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.chdir(folder)
        sys.argv = ["autoseg", *arguments]
        child.main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code if isinstance(code, int) else 0)


def campaign(
    workspace: Path, command: Sequence[str], kinds: Sequence[str], log: Log, rng: random.Random, check: Callable[[Path], None]
) -> list[str]:
    """Kill a command once of each kind, then let it end; the kinds that the command had no instants of any more.

    `check` is called after each kill: nothing half-written may be there under a whole one's name.
    """
    left = []
    for kind in kinds:
        num = LONG[kind][0]
        order = {"at": kind, "count": rng.randint(1, num), "mode": rng.choice(MODES)} if num else {}
        code, said, doing = run_forked(workspace, command, order, None if num else rng.uniform(0.05, 1.5))
        if code == -signal.SIGKILL:
            log.kills.append((kind, doing))
            check(workspace)
        else:
            assert code == 0, said
            left.append(kind)
    code, said, _ = run_forked(workspace, command, {})
    assert code == 0, said
    leftovers = list(workspace.rglob(".[to][ml][pd]-*"))
    assert not leftovers, leftovers
    return left


def prepared_workspace(root: Path) -> Path:
    """A tiny data set, planned and prepared with a tiny net, images of 64 pixels."""
    plan_and_prepare(root)
    return root


def raw_workspace(root: Path) -> Path:
    """The raw images alone."""
    write_raw(root / "raw" / NAME, size=64)
    return root


def fold_folder(workspace: Path) -> Path:
    """Of fold 0."""
    return workspace / "results" / NAME / "default" / "2d-default" / "fold0"


def is_temporary(path: Path, root: Path) -> bool:
    """True for what a reader never looks at."""
    return any(part.startswith(".") and part != ".pieces" for part in path.relative_to(root).parts)


def check_whole(workspace: Path) -> None:
    """Everything under a final name can be read as a whole."""
    for path in workspace.rglob("*"):
        if not path.is_file() or is_temporary(path, workspace):
            continue
        if path.suffix == ".safetensors":
            load_checkpoint(path)
        elif path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".prob":
            read_probabilities(path)
        elif path.suffix == ".png":
            from PIL import Image

            with Image.open(path) as picture:
                picture.load()
    for folder in workspace.glob("preprocessed/*/cases/*"):
        store = PreparedStore(folder)
        names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        assert sorted(names) == sorted(store.names())
        assert all(store.is_sound(name) for name in names)


def plans_agree(a: Path, b: Path) -> None:
    """The same plan, splits and prepared cases."""
    plans = [load_json(w / "preprocessed" / NAME / "plans" / "default.json", Plan) for w in (a, b)]
    assert plans[0] == plans[1]
    assert len({(w / "preprocessed" / NAME / "splits.json").read_text(encoding="utf-8") for w in (a, b)}) == 1
    stores = [next(w.glob(f"preprocessed/{NAME}/cases/*")) for w in (a, b)]
    assert len({store.name for store in stores}) == 1
    files = [{path.relative_to(store): path.read_bytes() for path in store.rglob("*.b2nd")} for store in stores]
    assert files[0] == files[1]


def trainings_agree(a: Path, b: Path) -> None:
    """The same weights, average, optimizer, counters, metrics, scores, masks and probabilities, bit for bit."""
    for name in ("checkpoint_last.safetensors", "checkpoint_best.safetensors"):
        ours, theirs = (load_checkpoint(fold_folder(w) / name) for w in (a, b))
        for mine, other in ((ours.weights, theirs.weights), (ours.trained, theirs.trained), (ours.optimizer, theirs.optimizer)):
            assert mine.keys() == other.keys()
            assert not [key for key in mine if not torch.equal(mine[key], other[key])]
        assert _timeless(ours.progress) == _timeless(theirs.progress)
    rows = [(fold_folder(w) / "metrics.jsonl").read_text(encoding="utf-8").splitlines() for w in (a, b)]
    assert [_timeless(json.loads(row)) for row in rows[0]] == [_timeless(json.loads(row)) for row in rows[1]]
    _files_agree(*(fold_folder(w) / "validation" for w in (a, b)))
    for name in ("summary.json", "metrics.csv"):
        assert len({(fold_folder(w) / name).read_bytes() for w in (a, b)}) == 1


def predictions_agree(a: Path, b: Path) -> None:
    """The same files."""
    _files_agree(*(w / "results" / NAME / "predictions" / "2d-fold0" for w in (a, b)))


def _files_agree(a: Path, b: Path) -> None:
    files = [{path.relative_to(f): path.read_bytes() for path in f.rglob("*") if path.is_file()} for f in (a, b)]
    kept = [{path: data for path, data in there.items() if path.name not in ("predict.json", ".lock")} for there in files]
    assert kept[0].keys() == kept[1].keys()
    assert not [path for path in kept[0] if kept[0][path] != kept[1][path]]


def _timeless(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in CLOCKED}


def torture(root: Path, kills: dict[str, int], seed: int = 0, say: Callable[[str], None] = lambda text: None) -> Log:
    """Kill plan_and_preprocess, train and predict as often as `kills` says of each kind; AssertionError if anything is lost or differs."""
    rng, log = random.Random(seed), Log()
    preload()
    prepared = prepared_workspace(root / "prepared")
    reference, trained = raw_workspace(root / "planned"), _copy(prepared, root / "trained")
    for workspace, command in ((reference, PLAN), (trained, TRAIN)):
        code, said, _ = run_forked(workspace, command, {})
        assert code == 0, said
    predicted = _copy(trained, root / "predicted")
    assert run_forked(predicted, PREDICT, {})[0] == 0
    stages: list[tuple[list[str], list[str], Callable[[Path], Path], Callable[[Path], None]]] = [
        (PLAN, ["plan", "store write", "anywhere"], raw_workspace, lambda w: plans_agree(reference, w)),
        (
            TRAIN,
            ["step", "checkpoint rename", "probability write", "anywhere"],
            lambda w: _copy(prepared, w),
            lambda w: trainings_agree(trained, w),
        ),
        (PREDICT, ["export", "probability write", "anywhere"], lambda w: _copy(trained, w), lambda w: predictions_agree(predicted, w)),
    ]
    to_do = dict(kills)
    number = 0
    while any(to_do.values()):
        for command, kinds, make, compare in stages:
            order = [kind for kind in kinds if to_do.get(kind)] * 3
            rng.shuffle(order)
            # What is there is not made again: the plan before the cases, the steps before the validation.
            order.sort(key=lambda kind: kind in LATE)
            if not order:
                continue
            number += 1
            workspace = make(root / f"w{number}")
            before = {kind: log.count(kind) for kind in to_do}
            campaign(workspace, command, order, log, rng, check_whole)
            compare(workspace)
            for kind in to_do:
                to_do[kind] = max(0, to_do[kind] - (log.count(kind) - before[kind]))
            say(f"{command[0]}: {len(log.kills)} kills survived, still to do {to_do}")
            shutil.rmtree(workspace)
    return log


def _copy(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target, copy_function=shutil.copy2))
