"""Both tools as commands of their own, for benchmarks of whole trainings: autoseg of this tree, nnU-Net of another environment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.plan import Plan, Stage
from autoseg.workspace import Workspace

SCRIPT = Path(__file__).with_name("nnunet_train.py")
#: Fields of a stage planned for a processor that make its net nnU-Net's.
NNUNETS_NET: tuple[tuple[str, object], ...] = (("network.decoder_convs", 2),)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A workspace that both tools work in, with logs/ beside raw/, and how they may compute.

    Parameters
    ----------
    place : Workspace
        nnU-Net's files lie in its folder nnunet/.
    venv : Path or None
        An environment with nnunetv2; None: nothing of nnU-Net can be run.
    threads : int
        Of each process.
    """

    place: Workspace
    venv: Path | None = None
    threads: int = 1

    def autoseg(self, dataset: str, what: str, *arguments: str, cores: Sequence[int] = ()) -> float:
        """Run a command on a data set; what it says goes to a log named after `what`. The seconds it took."""
        where = ["-w", str(self.place.root), "-d", dataset]
        return self._call([sys.executable, "-m", "autoseg", *arguments, *where], f"{dataset}-{what}", cores)

    def nnunet(self, dataset: str, what: str, verb: str, *arguments: str, cores: Sequence[int] = ()) -> float:
        """Run benchmarks/nnunet_train.py on a data set; the seconds it took."""
        assert self.venv is not None
        command = [str(self.venv / "bin" / "python"), str(SCRIPT), verb, str(self.place.root), dataset, *arguments]
        return self._call(command, f"{dataset}-{what}", cores)

    def prepare_nnunet(self, dataset: str, patch: Sequence[int], batch: int, configuration: str = "2d") -> None:
        """nnU-Net's plan and prepared cases, on the folds of autoseg's splits; once."""
        done = self.place.root / "nnunet" / f"{dataset}.done"
        if done.is_file():
            return
        sizes = ["--patch", *map(str, patch), "--batch", str(batch), "--splits", str(self.place.splits_file(dataset))]
        self.nnunet(dataset, "nnunet-prepare", "prepare", "--configuration", configuration, *sizes)
        done.touch()

    def _call(self, command: list[str], name: str, cores: Sequence[int]) -> float:
        """Run to the end; the seconds it took.

        Raises
        ------
        RuntimeError
            If it fails; names the log.
        """
        log = self.place.root / "logs" / f"{name}.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        pinned = ["taskset", "-c", ",".join(map(str, cores))] if cores else []
        environment = os.environ | {"OMP_NUM_THREADS": str(self.threads)}
        begin = time.monotonic()
        with log.open("a", encoding="utf-8") as file:
            done = subprocess.run([*pinned, *command], env=environment, stdout=file, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command[:6])} ... failed with exit code {done.returncode}; what it said stands in {log}")
        return time.monotonic() - begin


def settings(stage: str = "2d", /, **fields: object) -> list[str]:
    """Options of plan_and_preprocess that set fields of a stage; a sequence is written with commas."""
    written = {name: ",".join(map(str, value)) if isinstance(value, tuple) else value for name, value in fields.items()}
    return [word for name, value in written.items() for word in ("--set", f"{stage}.{name}={value}")]


def differences(plan: Plan, nnunet_plans: dict[str, object], configuration: str = "2d") -> list[str]:
    """What the two nets do not share, a sentence each: stages, features, strides, kernels, convolutions of both halves, patch, batch."""
    stage: Stage = plan.stages[configuration]
    theirs = nnunet_plans["configurations"][configuration]  # type: ignore[index]
    net = theirs["architecture"]["arch_kwargs"]
    ours = {"features": stage.network.features, "strides": stage.network.strides, "kernels": stage.network.kernels}
    num = len(stage.network.features)
    ours |= {"convolutions": (stage.network.convs,) * num, "decoder": (stage.network.convs_up,) * (num - 1)}
    ours |= {"patch": stage.patch, "batch": (stage.batch,)}
    named = {"features": "features_per_stage", "strides": "strides", "kernels": "kernel_sizes"}
    named |= {"convolutions": "n_conv_per_stage", "decoder": "n_conv_per_stage_decoder"}
    other = {name: net[key] for name, key in named.items()} | {"patch": theirs["patch_size"], "batch": [theirs["batch_size"]]}
    return [f"{name}: {ours[name]} and nnU-Net's {_frozen(other[name])}" for name in ours if ours[name] != _frozen(other[name])]


def _frozen(value: object) -> object:
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value
