"""What lies on the disk, and what of it may go."""

import os
import platform
import shutil
import threading
import zlib
from pathlib import Path

import pytest

from autoseg.standing import folder_bytes, look, removables
from autoseg.workspace import Workspace
from tests.trainers.make import NAME, plan_and_prepare


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("standing")
    plan_and_prepare(root)
    return root


def leftover(name: str, pid: int) -> str:
    """What a process of this machine calls the file `name` while it writes it; none has a number above 2**22 (proc(5))."""
    return f".tmp-{pid}-{zlib.crc32(platform.node().encode()):08x}1-{name}"


@pytest.fixture
def place(prepared: Path, tmp_path: Path) -> Workspace:
    """Ten prepared cases, and of every other kind something of known size."""
    place = Workspace(root=Path(shutil.copytree(prepared, tmp_path / "w")))
    fold = place.fold_folder(NAME, "default", "2d", "default", "0")
    for path, size in (
        (place.store_folder(NAME, "0123456789abcdef") / "case0/image.b2nd", 1000),
        (place.results(NAME) / ".report/case0.png", 20),
        (fold / "validation/probabilities/case0.prob", 300),
        (fold / leftover("checkpoint_last.safetensors", 2**22 + 1), 4),
        (fold / leftover("net of a living one", os.getppid()), 4096),
        (fold / "checkpoint_last.safetensors", 5),
        (place.previous_folder(NAME, "f" * 16) / "case0/previous.b2nd", 60),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    return place


def sizes(place: Workspace) -> dict[str, int]:
    return {found.kind: found.num_bytes for found in removables(look(place, NAME, place.raw / NAME))}


def test_bytes_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/one").write_bytes(b"x" * 10)
    (tmp_path / "a/b/two").write_bytes(b"x" * 32)
    (tmp_path / "a/link").symlink_to(tmp_path / "a/one")
    linked = (tmp_path / "a/link").lstat().st_size
    assert folder_bytes(tmp_path) == 42 + linked
    assert folder_bytes(tmp_path / "absent") == 0


def test_every_kind_once(place: Workspace) -> None:
    cases = folder_bytes(place.preprocessed(NAME) / "cases") - 1000
    assert sizes(place) == {"unused": 1000, "leftovers": 4, "pictures": 20, "prepared": cases + 60, "probabilities": 300}


def test_every_byte_once(place: Workspace) -> None:
    fold = place.fold_folder(NAME, "default", "2d", "default", "0")
    (store,) = (path for path in (place.preprocessed(NAME) / "cases").iterdir() if path.name != "0123456789abcdef")
    before = sizes(place)
    half, gone = fold / leftover("a", 2**22 + 1), 2**22 + 2
    for path, size in (
        (half / leftover("nested", gone), 1000),
        (place.results(NAME) / ".report" / leftover("picture", gone), 200),
        (store / leftover("case", gone) / "image.b2nd", 3000),
        (fold / "validation/probabilities" / leftover("case.prob", gone), 50_000),
        (place.store_folder(NAME, "0123456789abcdef") / leftover("case", gone), 600_000),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    found = sizes(place)
    assert {kind: found[kind] - before[kind] for kind in found} == {
        "unused": 600_000, "leftovers": 54_000, "pictures": 200, "prepared": 0, "probabilities": 0,
    }  # fmt: skip
    for one in removables(look(place, NAME, place.raw / NAME)):
        if one.kind not in ("prepared", "probabilities"):
            one.remove()
    assert sizes(place) == {kind: before[kind] for kind in ("prepared", "probabilities")}


def test_the_cases_of_a_plan_that_cannot_be_read_are_kept(place: Workspace) -> None:
    place.plan_file(NAME, "default").write_text("{", encoding="utf-8")
    assert "unused" not in sizes(place)


def test_removing_takes_what_it_said_and_nothing_else(place: Workspace) -> None:
    before = {path for path in place.root.rglob("*") if path.is_file()}
    found = removables(look(place, NAME, place.raw / NAME))
    gone = {path for one in found for top in one.paths for path in (top.rglob("*") if top.is_dir() else [top]) if path.is_file()}
    for one in found:
        one.remove()
    assert {path for path in place.root.rglob("*") if path.is_file()} == before - gone
    assert (place.fold_folder(NAME, "default", "2d", "default", "0") / "checkpoint_last.safetensors").is_file()
    assert look(place, NAME, place.raw / NAME).plans[0].prepared == {"2d": 0}
    assert sizes(place) == {}


def test_a_copy_of_a_fold_is_no_fold(place: Workspace) -> None:
    fold = place.fold_folder(NAME, "default", "2d", "default", "0")
    shutil.copytree(fold, fold.with_name("fold0_old"))
    (run,) = look(place, NAME, place.raw / NAME).runs
    assert [found.name for found in run.folds] == ["0", "1", "2", "3", "4"]
    assert sizes(place)["probabilities"] == 300  # the copy's cannot be made again


def test_while_files_come_and_go(place: Workspace) -> None:
    stop, folder = threading.Event(), place.store_folder(NAME, "0123456789abcdef")

    def write() -> None:
        while not stop.is_set():
            (folder / "case0").rename(folder / "case1")
            (folder / "case1").rename(folder / "case0")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(20):
            assert "prepared" in sizes(place)
    finally:
        stop.set()
        thread.join()


def test_a_link_is_removed_and_not_what_it_leads_to(place: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"x")
    (place.preprocessed(NAME) / "cases/linked").symlink_to(outside)
    for one in removables(look(place, NAME, place.raw / NAME)):
        one.remove()
    assert (outside / "kept").is_file()
