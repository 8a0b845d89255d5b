"""constraints.txt pins all that is installed, and make takes the torch that the GPU can run."""

import os
import subprocess
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.distributions import needed_by


def read_pins(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): pinned for name, _, pinned in (line.partition("==") for line in lines)}


def dry_run(root: Path, folder: Path, nvidia_smi: str) -> str:
    """What `make venv` would run on a machine whose nvidia-smi is this script."""
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{nvidia_smi}\n", encoding="utf-8")
    tool.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    command = ["make", "--dry-run", "--always-make", "--no-print-directory", "demo"]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout


#: Two pairs of them, one with an older torch.
APART = {"torch", "monai"}


def test_every_dependency_is_pinned(root: Path) -> None:
    pinned = read_pins(root / "constraints.txt") | read_pins(root / "constraints-torch.txt")
    needed = needed_by(["autoseg[docs,test]"]) - {"autoseg"}
    assert {"numpy", "pydantic-core", "h2", "scipy-stubs"} <= needed
    assert {name for name in needed - pinned.keys() if not name.startswith(("nvidia-", "cuda-", "triton"))} == set()


def test_what_wants_a_certain_torch_stands_apart(root: Path) -> None:
    apart = {
        name for name in read_pins(root / "constraints.txt") for needed in requires(name) or [] if Requirement(needed).name == "torch"
        if Requirement(needed).specifier and "extra" not in needed
    }  # fmt: skip
    assert apart | {"monai", "torch"} == APART
    assert APART.isdisjoint(read_pins(root / "constraints.txt"))
    assert read_pins(root / "constraints-torch.txt").keys() == APART
    lines = (root / "constraints-torch-sm70.txt").read_text(encoding="utf-8").splitlines()
    assert {Requirement(line).name for line in lines if not line.startswith("#")} == APART


def test_the_pins_are_what_is_tested(root: Path) -> None:
    pinned = read_pins(root / "constraints.txt") | read_pins(root / "constraints-torch.txt")
    # torch names what it was built for behind a plus.
    assert {name: version(name).partition("+")[0] for name in pinned} == pinned


@pytest.mark.parametrize(
    ("nvidia_smi", "torch"),
    [
        ("echo 7.0; echo 7.0", "constraints-torch-sm70.txt"),
        ("echo 8.0", "constraints-torch.txt"),
        ("echo 8.0; echo 7.0", "constraints-torch-sm70.txt"),
        ("echo 6.1", "constraints-torch-sm70.txt"),
        ("echo 7.5; echo 12.0", "constraints-torch.txt"),
        ("echo 'NVIDIA-SMI has failed because 7.0 is no driver'; exit 9", "constraints-torch.txt"),
        ("exit 127", "constraints-torch.txt"),
    ],
)
def test_make_picks_torch_by_compute_capability(root: Path, tmp_path: Path, nvidia_smi: str, torch: str) -> None:
    commands = dry_run(root, tmp_path, nvidia_smi)
    assert f"--constraint {torch}" in commands
    assert (root / torch).is_file()


def test_a_v100_gets_no_torch_whose_cudnn_is_wrong_in_3d(root: Path) -> None:
    lines = (root / "constraints-torch-sm70.txt").read_text(encoding="utf-8").splitlines()
    (allowed,) = [Requirement(line) for line in lines if line.startswith("torch")]
    # What wheels for these numbers bring: cuDNN 9.1.0, 9.5.1; then 9.10.2, and from 2.11 on no code for a V100.
    assert list(allowed.specifier.filter(["2.5.1", "2.7.1", "2.8.0", "2.9.1", "2.10.0", "2.11.0", "2.13.0"])) == ["2.5.1", "2.7.1"]


@pytest.mark.parametrize(("nvidia_smi", "on_cpu"), [("echo 9.0", False), ("exit 127", True)])
def test_the_demo_plans_for_the_machine_it_runs_on(root: Path, tmp_path: Path, nvidia_smi: str, on_cpu: bool) -> None:
    (line,) = [line for line in dry_run(root, tmp_path, nvidia_smi).splitlines() if "plan_and_preprocess" in line]
    assert ("--gpu cpu" in line) == on_cpu
    assert "--hours" in line
