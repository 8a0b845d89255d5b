"""`import autoseg` and `autoseg --help` answer at once: what is heavy is not loaded."""

import subprocess
import sys
from pathlib import Path

import pytest


def run_with_importtime(root: Path, *arguments: str) -> tuple[str, set[str]]:
    """stdout of python with these arguments, and the top-level names of every module it loaded."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return done.stdout, {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_import_loads_nothing_heavy(root: Path) -> None:
    _, loaded = run_with_importtime(root, "-c", "import autoseg; autoseg.__version__; dir(autoseg)")
    assert "autoseg" in loaded
    assert loaded - sys.stdlib_module_names <= {"autoseg", *startup_names(root)}


def startup_names(root: Path) -> set[str]:
    """What the interpreter itself loads on this machine (.pth files of site-packages)."""
    return run_with_importtime(root, "-c", "pass")[1]


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            [name]
            for name in (
                "check",
                "plan_and_preprocess",
                "train",
                "predict",
                "export",
                "evaluate",
                "compare",
                "report",
                "status",
                "clean",
                "info",
                "completion",
                "demo",
            )
        ),
        *([], ["plan"], ["plan", "show"]),
    ],
)
def test_help_loads_neither_torch_nor_pydantic(root: Path, arguments: list[str]) -> None:
    output, loaded = run_with_importtime(root, "-m", "autoseg", *arguments, "--help")
    assert output.startswith("Usage: ")
    assert "click" in loaded
    assert not loaded & {"torch", "pydantic", "scipy", "SimpleITK", "skimage", "batchgenerators", "matplotlib", "blosc2", "jinja2"}
