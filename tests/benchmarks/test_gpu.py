"""The command: every part runs on a CPU, and what goes wrong in one stands in its table."""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu
from benchmarks.clock import Clock
from benchmarks.devices import Device
from benchmarks.page import Page, Table
from tests.house.bare import import_without, refused_names

MODULES = [f"benchmarks.{part.module}" for part in gpu.PARTS.values()]

#: Those whose own tests run every row as well, and the one that loads torch's compiler.
LONG = ("smoke", "memory", "prediction", "compile")


def page_in(folder: Path) -> Page:
    return Page(folder=folder, name="gpu", title=gpu.TITLE)


def fails(device: Device, clock: Clock) -> Iterator[tuple[str, ...]]:
    yield ("a", "b")
    raise RuntimeError("CUDA error: an illegal memory access\nmore of it")


def test_it_loads_where_nothing_but_torch_numpy_and_scipy_is() -> None:
    done = import_without(refused_names() - {"benchmarks"}, "benchmarks.gpu", *MODULES)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("parts", [["memory"], ["dtypes", "steps"], []])
def test_without_a_gpu_it_says_so(parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([*parts, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == gpu.NO_GPU + "\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in gpu.PARTS])
def test_every_part_runs_on_a_cpu(name: str, tmp_path: Path) -> None:
    assert gpu.main([name, "--dry-run", "--out", str(tmp_path)]) == 0
    table = page_in(tmp_path).tables()[name]
    assert table.rows
    assert not table.notes
    assert {len(row) for row in table.rows} == {len(table.head)}
    assert not any(words in cell for row in table.rows for cell in row for words in ("failed", "skipped", "out of memory"))
    assert f"## {name}\n" in (tmp_path / "gpu.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in gpu.PARTS if name != "dtypes"])
def test_without_time_every_row_says_so(name: str, tmp_path: Path) -> None:
    page = page_in(tmp_path)
    assert gpu.run_part(name, Device, Clock(-1), page) == 0
    table = page.tables()[name]
    assert {len(row) for row in table.rows} == {len(table.head)}
    assert all("skipped: no time left" in row for row in table.rows)


def test_what_fails_keeps_its_rows_and_the_other_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_in(tmp_path)
    page.put("dtypes", Table(says="x", about="y", head=("z",), rows=[("1",)]))
    monkeypatch.setattr(gpu, "import_module", lambda name: SimpleNamespace(HEAD=("one", "two"), rows=fails))
    assert gpu.run_part("steps", Device, Clock(60), page) == 1
    tables = page.tables()
    assert tables["steps"].rows == [["a", "b"]]
    assert tables["steps"].notes == ["Failed: RuntimeError: CUDA error: an illegal memory access"]
    assert tables["dtypes"].rows == [["1"]]


def test_a_device_that_cannot_be_opened_stands_in_the_table(tmp_path: Path) -> None:
    def find() -> Device:
        raise RuntimeError("no kernel image is available")

    assert gpu.run_part("steps", find, Clock(60), page_in(tmp_path)) == 1
    assert "Failed: RuntimeError: no kernel image is available" in (tmp_path / "gpu.md").read_text(encoding="utf-8")


def test_shares_of_the_time_and_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run_apart(name: str, seconds: float, options: list[str]) -> str:
        asked.append((name, seconds, options))
        return "Stopped after 3 s: its time was over." if name == "memory" else ""

    monkeypatch.setattr(gpu, "run_apart", run_apart)
    page = page_in(tmp_path)
    assert gpu.run_all(["steps", "memory"], Clock(100), ["--dry-run"], page) == ["memory"]
    (steps, memory) = asked
    assert (steps[0], steps[2]) == ("steps", ["--dry-run"])
    assert steps[1] == pytest.approx(100 * gpu.PARTS["steps"].share, abs=1)
    # Nothing was used: the last part may take all that is left.
    assert memory[1] == pytest.approx(100, abs=1)
    assert page.tables()["memory"].notes == ["Stopped after 3 s: its time was over."]
    assert "steps" not in page.tables()


def test_a_part_of_its_own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.Popen

    def told(code: str) -> None:
        monkeypatch.setattr(subprocess, "Popen", lambda command, **options: real([sys.executable, "-c", code], **options))

    assert gpu.run_apart("steps", gpu.START_S, []) == "Skipped: no time left."
    monkeypatch.setattr(gpu, "START_S", 0.0)
    told("import time; time.sleep(60)")
    assert gpu.run_apart("steps", 0.3, []) == "Stopped after 0 s: its time was over."
    told("import os; os.kill(os.getpid(), 11)")
    assert gpu.run_apart("steps", 30, []) == "Ended by signal 11."
    told("raise SystemExit(1)")
    assert gpu.run_apart("steps", 30, []) == gpu.FAILED
    told("")
    assert gpu.run_apart("steps", 30, []) == ""


def test_a_failure_is_noted_once(tmp_path: Path) -> None:
    page = page_in(tmp_path)
    page.put("steps", Table(says="x", about="y", notes=["Failed: RuntimeError: z"]))
    gpu.note("steps", gpu.FAILED, page)
    gpu.note("memory", gpu.FAILED, page)
    assert page.tables()["steps"].notes == ["Failed: RuntimeError: z"]
    assert page.tables()["memory"].notes == [gpu.FAILED]


def test_parts_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="'speed' is none of smoke, dtypes, steps"):
        gpu._part("speed")
    monkeypatch.setenv("OUT", str(tmp_path))
    assert gpu.default_folder() == tmp_path
    monkeypatch.setenv("OUT", "")
    assert gpu.default_folder() == Path(gpu.__file__).with_name("results")


def test_the_data_are_json(tmp_path: Path) -> None:
    page_in(tmp_path).put("steps", Table(says="x", about="y", head=("a",), rows=[("1",)]))
    assert json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["steps"]["rows"] == [["1"]]
