"""Everything of benchmarks/gpu.py but the calls of CUDA; and it loads on a bare machine."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autoseg.budget import GIB
from benchmarks import dtypes, gpu
from tests import small
from tests.house.test_bare import import_without, refused_names

TINY = {
    "flat": gpu.stage((32, 32), 2, classes=2, precision="fp32"),
    "cascade": gpu.stage((32, 32), 1, classes=3, precision="fp32", cascade=True),
    "solid": gpu.stage((16, 16, 16), 1, classes=2, precision="fp32", exclusive=True, checkpointed=1),
}


class Counter:
    """A meter that says what it is told."""

    def __init__(self) -> None:
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1

    def read(self) -> tuple[int, int, int]:
        return 10 * GIB, 11 * GIB, 12 * GIB


def test_it_loads_where_nothing_but_torch_numpy_and_scipy_is(root: Path) -> None:
    done = import_without(refused_names() - {"benchmarks"}, "benchmarks.gpu")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("what", ["memory", "dtypes", "all"])
def test_without_a_gpu_it_says_so(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([what, "--out", str(tmp_path / "gpu.md")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "gpu.md").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_as_a_command(root: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks.gpu", "memory"], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("benchmarks.gpu measures on a CUDA device, and torch ")


def test_each_stage_is_traced_and_run() -> None:
    meter = Counter()
    text = gpu.memory_section(small.CPU, meter, TINY)
    lines = text.splitlines()
    assert meter.resets == len(TINY)
    assert len(lines) == 2 + len(TINY)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(row) for row in cells} == {len(gpu.MEMORY_HEAD)}
    assert cells[2][:6] == ["flat", "32 x 32", "2", "2", "fp32", "0"]
    assert cells[4][:6] == ["solid", "16 x 16 x 16", "1", "2", "fp32", "1"]
    for row in cells[2:]:
        named = dict(zip(gpu.MEMORY_HEAD, row, strict=True))
        assert (named["allocated"], named["reserved"], named["driver"]) == ("10.00", "11.00", "12.00")
        assert named["planned covers"] == "no"
        assert float(named["planned"]) == pytest.approx(float(named["traced"]) + 1012 / 1024, abs=0.011)


def test_a_row_that_ran_out_of_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*arguments: object, **options: object) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(gpu, "run_steps", too_much)
    row = gpu.measure("flat", TINY["flat"], small.CPU, Counter())
    assert "out of memory" in gpu.memory_cells(row)
    assert row.traced > 0


def test_a_row_in_figures() -> None:
    row = gpu.Measured(
        name="x", stage=replace(TINY["flat"], batch=7), traced=9 * GIB, planned=13 * GIB, allocated=10 * GIB, reserved=11 * GIB,
        driver=12 * GIB, step_ms=123.4,
    )  # fmt: skip
    assert gpu.memory_cells(row) == [
        "x", "32 x 32", "7", "2", "fp32", "0", "9.00", "10.00", "0.900", "11.00", "12.00", "13.00", "yes", "123",
    ]  # fmt: skip


def test_the_stages_are_those_that_matter() -> None:
    whole = gpu.STAGES["HandBone"]
    assert (whole.patch, whole.batch, whole.network.num_heads) == ((2048, 2048), 3, 29)
    assert whole.network.features == (32, 64, 128, 256, 512, 512, 512, 512, 512, 512)
    assert gpu.STAGES["volume"].network.features == (32, 64, 128, 256, 320, 320)
    assert gpu.STAGES["HandBone, cascade"].num_previous_channels == 29
    assert {at.precision for at in gpu.STAGES.values()} == {"fp16", "bf16", "fp32"}


def test_a_section_replaces_its_own_and_leaves_the_other() -> None:
    page = gpu.replace_section("", "memory", "old\n")
    page = gpu.replace_section(page, "dtypes", "casts\n")
    page = gpu.replace_section(page, "memory", "new\n")
    assert page == gpu.TITLE + "\n## dtypes\n\ncasts\n\n## memory\n\nnew\n"


def test_where_and_with_what() -> None:
    text = gpu.provenance("A GPU")
    assert text.startswith(f"A GPU, torch {torch.__version__}, commit ")


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_every_example_runs_by_the_table(half: torch.dtype) -> None:
    rows = {(row.function, row.given): row for row in dtypes.compare(half, dtypes.by_table(half))}
    assert len(rows) == 2 * len(dtypes.EXAMPLES)
    assert not any(row.differs or row.table.startswith("refused") for row in rows.values())
    short = {torch.float16: "fp16", torch.bfloat16: "bf16"}[half]
    expected = {"conv2d": (short, short), "group_norm": ("fp32", "fp32"), "leaky_relu": ("fp32", short), "cat, mixed": ("fp32", "fp32")}
    assert {name: tuple(rows[name, given].table for given in ("fp32", short)) for name in expected} == expected


def test_a_device_that_differs_is_seen() -> None:
    rows = list(dtypes.compare(torch.float16, lambda example, given: "fp32"))
    assert {row.function for row in rows if row.differs} >= {"conv2d", "leaky_relu"}
    assert not any(row.differs for row in rows if row.function == "group_norm")
