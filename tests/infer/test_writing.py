"""Who writes predicted cases: threads, other processes, and what becomes of a case whose process dies."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from autoseg.case import Case
from autoseg.geometry import Geometry
from autoseg.infer import writing as module
from autoseg.infer.bits import BitMasks
from autoseg.infer.formats import FORMATS
from autoseg.infer.segmentation import Segmentation
from autoseg.infer.target import Target
from autoseg.infer.writing import Writer, may_leave, num_bytes
from autoseg.io.atomic import replacing
from autoseg.io.remote import Remote
from autoseg.predictor import Predictor
from tests.infer.plans import OVERLAPPING, plant_run, tiny_plan


def segmentation(num: int = 2) -> Segmentation:
    masks = BitMasks.empty(num, (6, 5))
    masks.set(0, np.eye(6, 5, dtype=np.bool_))
    return Segmentation(labels=OVERLAPPING, geometry=Geometry.pixels((6, 5)), array=masks)


def case(name: str) -> Case:
    return Case(name=name, images=(Path(f"{name}.png"),))


class Elsewhere:
    """Stands for `Remote`: notes what it is asked for, and does it here."""

    made: ClassVar[list["Elsewhere"]] = []

    def __init__(self, function: Callable[[Any], None], *, most: int, remedy: str) -> None:
        self.function, self.most, self.deaths, self.names, self.is_closed = function, most, 0, list[str](), False
        self.made.append(self)

    def __call__(self, work: Any) -> None:
        self.names.append(work.case.name)
        self.function(work)

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> list[Elsewhere]:
    monkeypatch.setattr(module, "Remote", Elsewhere)
    monkeypatch.setattr(Elsewhere, "made", [])
    monkeypatch.setattr(module, "pool_pays", lambda seconds, left, workers: left > 2)
    return Elsewhere.made


def write_all(folder: Path, *, formats: tuple[str, ...] = ("coco",), **changes: Any) -> Writer:
    target = Target(out=folder, labels=OVERLAPPING, num_axes=2, formats=formats)
    writer = Writer(target, 5, **{"processes": 4, "threads": 4, "on_gpu": True, **changes})
    for name in "abcde":
        writer.write(case(name), segmentation(), is_known=False)
        assert [target.is_written(each, case(name)) for each in formats] == [True] * len(formats)
    writer.close()
    return writer


def test_processes_take_over_where_that_pays(tmp_path: Path, elsewhere: list[Elsewhere]) -> None:
    write_all(tmp_path)
    assert [other.names for other in elsewhere] == [list("bcde")]
    assert elsewhere[0].is_closed


@pytest.mark.parametrize("changes", [{"processes": 0}, {"on_gpu": False}, {"formats": ("masks",)}], ids=str)
def test_threads_write_where_it_does_not(tmp_path: Path, elsewhere: list[Elsewhere], changes: dict[str, Any]) -> None:
    write_all(tmp_path, **changes)
    assert elsewhere == []


def test_on_a_cpu_when_the_nets_wait(tmp_path: Path, elsewhere: list[Elsewhere], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORTH_S", 0.0)  # with one thread the nets wait whenever it writes
    write_all(tmp_path, on_gpu=False, threads=1)
    assert [other.names for other in elsewhere] == [list("bcde")]


def test_small_cases_start_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Remote", None)
    write_all(tmp_path)  # by the rule itself: five small cases are never worth it


def test_no_more_than_memory_holds(tmp_path: Path, elsewhere: list[Elsewhere], monkeypatch: pytest.MonkeyPatch) -> None:
    each = module.PROCESS_BYTES + module.COPIES * num_bytes(segmentation())
    monkeypatch.setattr(module, "free_bytes", lambda: int(3.1 * each / 0.8))
    write_all(tmp_path)
    assert [other.most for other in elsewhere] == [3]
    monkeypatch.setattr(module, "free_bytes", lambda: each)
    write_all(tmp_path)
    assert len(elsewhere) == 1


def test_large_ones_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    nine = segmentation(9)
    assert num_bytes(nine) == 2 * 6 * 5  # two planes of bits
    assert may_leave(nine)
    monkeypatch.setattr(module, "MOST_BYTES", 59)
    assert not may_leave(nine)


def kill_e(work: Any) -> None:
    """In the place of `writing._write`."""
    if work.case.name == "e":
        work.target.write(work.case, work.segmentation, ["masks"])
        with replacing(work.target.out / "e.png") as temporary:
            temporary.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    work.target.write_anew(work.case, work.segmentation, is_known=work.is_known)


@pytest.mark.parametrize("dies", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_through_processes_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, dies: bool) -> None:
    """All files are the same bytes as those that threads write; a case whose process dies is reported with the signal, and gone."""
    plant_run(tmp_path / "Tiny", tiny_plan(OVERLAPPING), "0")
    predictor, cases = Predictor.load(tmp_path / "Tiny", device="cpu", tta=False), []
    (tmp_path / "in").mkdir()
    for number, name in enumerate("abcdef"):
        pixels = np.random.default_rng(number).integers(0, 255, (20, 24), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"in/{name}.png")
        cases.append(Case(name=name, images=(tmp_path / f"in/{name}.png",)))
    formats = ("masks", "rle", "polygons", "coco", "overlay")
    predictor.predict_files(cases, tmp_path / "here", formats=formats)
    monkeypatch.setattr(module, "pool_pays", lambda *given: True)
    monkeypatch.setattr(module, "WORTH_S", -1.0)
    monkeypatch.setattr("autoseg.infer.files.WRITERS", 1)
    sent: list[str] = []

    class Noting(Remote[Any, None]):
        def __call__(self, work: Any) -> None:
            sent.append(work.case.name)
            super().__call__(work)

    monkeypatch.setattr(module, "Remote", Noting)
    if dies:
        monkeypatch.setattr(module, "_write", kill_e)
    outcome = predictor.predict_files(cases, tmp_path / "there", formats=formats, processes=2)
    assert {"c", "d", "e", "f"} <= set(sent)  # two threads wrote the first ones
    files = {path.relative_to(tmp_path / "there"): path for path in sorted((tmp_path / "there").rglob("*")) if path.is_file()}
    if dies:
        assert outcome.done == list("abcdf")
        assert outcome.failures["e"].startswith("e: the process that worked on it was killed by SIGKILL, 2 times.")
        assert [path for path in files if path.name.startswith(("e", ".tmp"))] == []
        return
    assert outcome.done == list("abcdef")
    assert {"coco.json", "submission.csv", "f.polygons.json", "f.overlay.png"} <= {str(path) for path in files}
    for relative, path in files.items():
        assert path.read_bytes() == (tmp_path / "here" / relative).read_bytes(), relative


def test_those_that_hold_the_lock_are_known() -> None:
    """Formats that are pure compression are not worth a process."""
    assert {name for name, kind in FORMATS.items() if kind.holds_lock} == {"rle", "polygons", "coco", "overlay"}


def test_processes_that_write_hold_no_torch() -> None:
    """It would take each of them seconds and 200 MiB."""
    code = "import sys, autoseg.infer.writing; print(sorted({'torch', 'blosc2', 'SimpleITK'} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
