"""autoseg info, and the completion of the shell."""

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from autoseg import __version__
from autoseg.budget import GPUS
from autoseg.cli import complete, info
from autoseg.fingerprint.hardware import Gpu, processor_has_bf16
from autoseg.infer.formats import FORMATS
from tests.cli.conftest import Autoseg
from tests.trainers.make import NAME, plan_and_prepare

# The package has a function of the same name.
HARDWARE = import_module("autoseg.fingerprint.hardware")


def test_info_of_this_machine(autoseg: Autoseg, tmp_path: Path) -> None:
    done = autoseg("info", "-w", tmp_path)
    assert done.code == 0, done.err
    assert done.out.startswith(f"autoseg {__version__}, Python {platform.python_version()}, ")
    assert f"torch {version('torch')}" in done.out
    assert "MISSING" not in done.out
    found = json.loads(autoseg("info", "--json", "-w", tmp_path).out)
    assert found["devices"][-1]["device"] == "cpu"
    assert found["devices"][-1]["precision"] == ("bf16" if processor_has_bf16() else "fp32")


@pytest.mark.parametrize(("name", "expected"), [("v100-32gb", "fp16"), ("t4", "fp16"), ("a100-40gb", "bf16")])
def test_the_precision_of_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, expected: str) -> None:
    mib, capability = GPUS[name]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(HARDWARE, "_gpus", lambda: (Gpu(name=name, memory_bytes=mib * 2**20, capability=capability),))
    found = info.gather(tmp_path)
    first = found["devices"][0]
    assert (first["device"], first["precision"]) == ("cuda:0", expected)
    lines = list(info.lines(found))
    assert any(line.split()[:2] == ["cuda:0", f"{name},"] and expected in line for line in lines)
    # torch sees no such GPU, and the page says so beside its precision.
    assert any(line.startswith("cuda:0 cannot be used: ") for line in lines)


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(info, "OPTIONAL", {"no-such-package-here": "dance"})
    lines = list(info.lines(info.gather(tmp_path)))
    assert "  no-such-package-here: not installed; only dance needs it" in lines


def offered(line: str, folder: Path, word: str = "") -> list[str]:
    """What bash would offer behind the words of `line` for the begun `word`, in that folder."""
    words = f"autoseg {line}".split()
    environment = os.environ | {
        "COMP_WORDS": " ".join([*words, word]), "COMP_CWORD": str(len(words)), "_AUTOSEG_COMPLETE": "bash_complete",
    }  # fmt: skip
    code = "import sys; sys.argv = ['autoseg']; from autoseg.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return [row.partition(",")[2] for row in done.stdout.splitlines() if row]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("completion")
    plan_and_prepare(root)
    return root


@pytest.mark.parametrize(
    ("line", "word", "expected"),
    [
        ("", "plan", ["plan_and_preprocess", "plan"]),
        ("train", "", ["2d"]),
        ("train 2d", "", ["fold0..4", "fold0", "fold1", "fold2", "fold3", "fold4", "all"]),
        ("train 2d", "a", ["all"]),
        ("train --plan", "d", ["default"]),
        ("report -d", "", [NAME]),
        ("train --pat", "--pat", ["--patience"]),
        (f"train -d {NAME}", "", ["2d"]),
        ("train -d Nowhere", "", []),
        ("predict --device", "c", ["cpu", "cuda"]),
        ("predict --format", "ma", ["masks", "map"]),
        ("predict --format", "masks,ov", ["masks,overlay"]),
        ("predict --format", "masks,m", ["masks,map"]),
    ],
)
def test_completion(workspace: Path, line: str, word: str, expected: list[str]) -> None:
    assert offered(line, workspace, word) == expected


def test_all_formats_are_offered() -> None:
    assert tuple(FORMATS) == complete.FORMATS


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(("typed", "expected"), [("M", r"My\ hands\ set"), ('"M', "My hands set")])
def test_bash_gets_a_name_with_spaces_as_one_word(tmp_path: Path, typed: str, expected: str) -> None:
    (tmp_path / "raw/My hands set").mkdir(parents=True)
    place = tmp_path / "bin"
    place.mkdir()
    code = "import sys; sys.argv[0] = 'autoseg'; from autoseg.cli import main; main()"
    (place / "autoseg").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n', encoding="utf-8")
    (place / "autoseg").chmod(0o755)
    script = f"""eval "$(autoseg completion bash)"; COMP_WORDS=(autoseg check -d '{typed}'); COMP_CWORD=3
        COMPREPLY=(); _autoseg_completion autoseg; printf '%s|' "${{COMPREPLY[@]}}" """
    environment = os.environ | {"PATH": f"{place}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "--norc", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == f"{expected}|", done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script(autoseg: Autoseg, shell: str) -> None:
    done = autoseg("completion", shell)
    assert done.code == 0, done.err
    assert f"_AUTOSEG_COMPLETE={shell}_complete" in done.out


def test_another_shell(autoseg: Autoseg) -> None:
    done = autoseg("completion", "tcsh")
    assert done.code == 2
    assert "bash" in done.err
