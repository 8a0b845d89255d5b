"""Wrong data: `autoseg check` lists it, `plan_and_preprocess` refuses it with the same words, and no raw file is changed."""

from pathlib import Path

import pytest

from autoseg.errors import DataError
from autoseg.fingerprint import measure
from autoseg.io.layouts import read_dataset
from tests.badinput.bad import PLANNING, BadData, assert_for_people, assert_refused, contents
from tests.badinput.datasets import DATASETS
from tests.badinput.images import IMAGES, declared
from tests.badinput.labels import LABELS
from tests.badinput.outlines import OUTLINES
from tests.cli.conftest import Autoseg
from tests.io.make import square, write_picture


def names(bad: list[BadData]) -> list[str]:
    return [one.what for one in bad]


@pytest.mark.parametrize("bad", DATASETS, ids=names(DATASETS))
def test_data_sets(autoseg: Autoseg, tmp_path: Path, bad: BadData) -> None:
    check_data(autoseg, tmp_path, bad)


@pytest.mark.parametrize("bad", IMAGES, ids=names(IMAGES))
def test_images(autoseg: Autoseg, tmp_path: Path, bad: BadData) -> None:
    check_data(autoseg, tmp_path, bad)


@pytest.mark.parametrize("bad", LABELS, ids=names(LABELS))
def test_labels(autoseg: Autoseg, tmp_path: Path, bad: BadData) -> None:
    check_data(autoseg, tmp_path, bad)


@pytest.mark.parametrize("bad", OUTLINES, ids=names(OUTLINES))
def test_outlines(autoseg: Autoseg, tmp_path: Path, bad: BadData) -> None:
    check_data(autoseg, tmp_path, bad)


def check_data(autoseg: Autoseg, tmp_path: Path, bad: BadData) -> None:
    """The data set through `check`, and through `plan_and_preprocess` if it is refused, else through the measuring."""
    root = tmp_path / "raw" / "D"
    root.parent.mkdir()
    bad.make(root)
    before = contents(root)
    named = str(root / bad.file) if bad.file else ""
    done = autoseg("check", "-d", root, "--workers", 1, "-w", tmp_path)
    assert done.code == bad.code, done
    assert bad.said in done.out + done.err
    assert named in done.out + done.err
    assert_for_people(done)
    if bad.code:
        assert_refused(autoseg(*PLANNING, "-d", root, "-w", tmp_path), bad.said, named)
    else:
        assert len(measure(read_dataset(root)).cases) > 1
    assert contents(root) == before
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def both_wrong(root: Path) -> None:
    path = declared(root) / "imagesTr/case1.png"
    path.write_bytes(path.read_bytes()[:-30])
    write_picture(root / "labelsTr/case0.png", square(value=7))
    (root / "labelsTr/case2.png").unlink()


WRONG = ("labelsTr/case0.png", "imagesTr/case1.png", "imagesTr/case2.png")


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    root = tmp_path / "D"
    both_wrong(root)
    with pytest.raises(DataError, match="3 problems in the data:") as caught:
        measure(read_dataset(root), workers=2)
    assert [name in str(caught.value) for name in WRONG] == [True] * 3


def test_check_lists_all_of_them(autoseg: Autoseg, tmp_path: Path) -> None:
    root = tmp_path / "raw/D"
    both_wrong(root)
    done = autoseg("check", "-w", tmp_path)
    assert done.code == 1
    lines = done.out.splitlines()
    listed = lines[lines.index("3 problems:") + 1 : -1]
    assert sorted(line.split(": ")[0].strip() for line in listed) == sorted(str(root / name) for name in WRONG)
    assert "Looked at 3 training cases and 0 test cases in the layout folders:" in lines
    assert "; 2 cases could not be used" in done.out


def test_more_problems_than_a_message_holds_are_all_listed(autoseg: Autoseg, tmp_path: Path) -> None:
    for k in range(60):
        write_picture(tmp_path / f"raw/D/imagesTr/case{k}.png", square())
    write_picture(tmp_path / "raw/D/labelsTr/case0.png", square())
    done = autoseg("check", "-w", tmp_path)
    assert "59 problems:" in done.out
    assert done.out.count("has no labels; expected") == 59


def test_nothing_to_check(autoseg: Autoseg, tmp_path: Path) -> None:
    assert_refused(autoseg("check", "-d", "Nothing", "-w", tmp_path), "-d Nothing: no such data set in")


def test_check_looks_at_what_was_made(autoseg: Autoseg, workspace: Path) -> None:
    done = autoseg("check", "-w", workspace)
    assert done.code == 0, done
    assert "Made from it: 1 plan, folds, 2 nets" in done.out.replace("4 nets", "2 nets")
    net = next(workspace.glob("results/HandBone/default/2d-default/fold0/checkpoint_last.safetensors"))
    net.write_bytes(net.read_bytes()[:1000])
    (workspace / "preprocessed/HandBone/splits.json").write_text("{", encoding="utf-8")
    (workspace / "preprocessed/HandBone/plans/default.json").write_text("{", encoding="utf-8")
    before = contents(workspace)
    done = autoseg("check", "-w", workspace)
    assert done.code == 1
    assert "3 problems:" in done.out
    for name in ("checkpoint_last.safetensors is damaged", "splits.json is damaged", "default.json is not valid JSON"):
        assert name in done.out
    assert contents(workspace) == before
