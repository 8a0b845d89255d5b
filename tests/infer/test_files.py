"""Several formats and several parts in one folder: what is made again, what is not, and what is joined."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.case import Case, Truth
from autoseg.infer.files import choose_part
from autoseg.infer.formats import FORMATS
from autoseg.infer.target import Target
from autoseg.io.submission import read_submission
from autoseg.predictor import Predictor
from tests.infer.plans import EXCLUSIVE, OVERLAPPING, images, plant_run, tiny_plan

ALL = tuple(name for name in FORMATS if name != "map")


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    plant_run(tmp_path / "Tiny", tiny_plan(OVERLAPPING), "0", "1")
    return Predictor.load(tmp_path / "Tiny", ["0"], device="cpu", tta=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_formats_at_once(predictor: Predictor, tmp_path: Path) -> None:
    predictor.predict_files(images(tmp_path / "in", *"ab"), tmp_path / "out", formats=ALL)
    shown = {path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")}
    each = {f"{name}{suffix}" for name in "ab" for suffix in ("", ".polygons.json", ".prob", ".npz", ".overlay.png")}
    assert shown == each | {"submission.csv", "coco.json", "predict.json"}
    assert not list((tmp_path / "out").rglob(".tmp-*"))


def test_of_no_image_no_submission_is_made(predictor: Predictor, tmp_path: Path) -> None:
    (case,) = images(tmp_path / "in", "a")
    case.images[0].write_bytes(b"damage")
    outcome = predictor.predict_files([case], tmp_path / "out", formats=("rle",))
    assert (list(outcome.failures), outcome.joined) == (["a"], {})
    assert not (tmp_path / "out/submission.csv").exists()


def test_missing_formats_are_made_from_masks(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = images(tmp_path / "in", *"ab")
    predictor.predict_files(cases, tmp_path / "all", formats=ALL)
    predictor.predict_files(cases, tmp_path / "out", formats=("masks",))
    monkeypatch.setattr("autoseg.infer.files.segment_cases", None)  # nothing is predicted
    wanted = ("rle", "polygons", "coco", "overlay")
    seen: list[tuple[int, int]] = []
    outcome = predictor.predict_files(cases, tmp_path / "out", formats=wanted, progress=lambda *at: seen.append(at))
    assert (outcome.added, seen) == (["a", "b"], [(1, 2), (2, 2)])
    assert predictor.predict_files(cases, tmp_path / "out", formats=wanted).skipped == ["a", "b"]
    expected, found = contents(tmp_path / "all"), contents(tmp_path / "out")
    assert found == {name: data for name, data in expected.items() if not name.endswith((".prob", ".npz"))}


def test_labels_of_test_images_are_not_read(predictor: Predictor, tmp_path: Path) -> None:
    (case,) = images(tmp_path / "in", "a")
    (tmp_path / "a_labels.png").write_bytes(b"damage")
    labelled = replace(case, truth=Truth(kind="map", files=(tmp_path / "a_labels.png",)))
    outcome = predictor.predict_files([labelled], tmp_path / "out")
    assert (outcome.done, outcome.failures) == (["a"], {})


@pytest.mark.slow
def test_processes_make_missing_formats_and_one_that_dies_of_it_is_predicted(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = images(tmp_path / "in", *"abcd")
    predictor.predict_files(cases, tmp_path / "out", formats=("masks",))
    monkeypatch.setattr("autoseg.io.parallel.pool_pays", lambda *given: True)
    monkeypatch.setattr("autoseg.infer.files.add_missing", die_of_c)
    outcome = predictor.predict_files(cases, tmp_path / "out", formats=("masks", "coco"), processes=2)
    assert sorted(outcome.added + outcome.done) == list("abcd")
    assert "c" in outcome.done
    assert outcome.added[:2] == ["a", "b"]
    assert outcome.joined == {"coco.json": 4}


def die_of_c(target: Target, lacking: tuple[Case, list[str]]) -> bool:
    """In the place of `target.add_missing`."""
    if lacking[0].name == "c":
        os.kill(os.getpid(), signal.SIGKILL)
    return target.add(*lacking)


def test_masks_from_a_map_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant_run(tmp_path / "Tiny", tiny_plan(EXCLUSIVE), "0")
    predictor, cases = Predictor.load(tmp_path / "Tiny", tta=False), images(tmp_path / "in", "a")
    predictor.predict_files(cases, tmp_path / "out")
    expected = contents(tmp_path / "out")
    monkeypatch.setattr("autoseg.infer.files.segment_cases", None)
    assert predictor.predict_files(cases, tmp_path / "out", formats=("masks",)).added == ["a"]
    (tmp_path / "out/a.png").unlink()
    assert predictor.predict_files(cases, tmp_path / "out").added == ["a"]
    assert contents(tmp_path / "out")["a.png"] == expected["a.png"]


@pytest.mark.parametrize("formats", [("probabilities",), ("masks", "npz")])
def test_probabilities_are_predicted_again(predictor: Predictor, tmp_path: Path, formats: tuple[str, ...]) -> None:
    cases = images(tmp_path / "in", "a")
    predictor.predict_files(cases, tmp_path / "out")
    assert predictor.predict_files(cases, tmp_path / "out", formats=formats).done == ["a"]
    assert (tmp_path / "out/a/bright.png").is_file()  # of the same nets: it stays
    assert predictor.predict_files(cases, tmp_path / "out", formats=formats).skipped == ["a"]


def test_damaged_masks_are_predicted_again(predictor: Predictor, tmp_path: Path) -> None:
    cases = images(tmp_path / "in", "a")
    predictor.predict_files(cases, tmp_path / "out")
    (tmp_path / "out/a/bright.png").write_bytes(b"x")
    assert predictor.predict_files(cases, tmp_path / "out", formats=("overlay",)).done == ["a"]


def test_formats_of_another_model_go(predictor: Predictor, tmp_path: Path) -> None:
    cases, out = images(tmp_path / "in", *"ab"), tmp_path / "out"
    predictor.predict_files(cases, out, formats=ALL)
    other = Predictor.load(tmp_path / "Tiny", ["1"], device="cpu", tta=False)
    assert other.predict_files(cases, out, formats=("overlay",)).done == ["a", "b"]
    assert sorted(name for name in contents(out)) == ["a.overlay.png", "b.overlay.png", "predict.json"]
    assert other.predict_files(cases, out, formats=("masks",)).done == ["a", "b"]  # not the first model's


def test_parts_are_every_nth_case_by_name() -> None:
    cases = [Case(name=name, images=()) for name in "gbadcfe"]
    parts = [[case.name for case in choose_part(cases, (k, 3))] for k in (1, 2, 3)]
    assert parts == [["a", "d", "g"], ["b", "e"], ["c", "f"]]
    assert choose_part(cases, None) == cases
    assert [len(choose_part(cases, (k, 9))) for k in range(1, 10)] == [1] * 7 + [0] * 2


def test_parts_side_by_side_equal_one_run(predictor: Predictor, tmp_path: Path) -> None:
    cases = images(tmp_path / "in", *"abcdefg")
    formats = ("masks", "rle", "coco")
    predictor.predict_files(cases, tmp_path / "one", formats=formats)
    done: dict[int, list[str]] = {}

    def run(k: int) -> None:
        outcome = predictor.predict_files(cases, tmp_path / "parts", formats=formats, part=(k, 3))
        assert outcome.failures == {}
        done[k] = outcome.done

    threads = [threading.Thread(target=run, args=(k,)) for k in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == {1: ["a", "d", "g"], 2: ["b", "e"], 3: ["c", "f"]}
    one, parts = contents(tmp_path / "one"), contents(tmp_path / "parts")
    records = {f"predict-{k}-of-3.json" for k in (1, 2, 3)}
    assert {name: data for name, data in parts.items() if name not in records} == {
        name: data for name, data in one.items() if name != "predict.json"
    }
    assert {name: sorted(json.loads(parts[name])["done"]) for name in records} == {
        f"predict-{k}-of-3.json": names for k, names in done.items()
    }


def test_a_later_run_takes_parts_over(predictor: Predictor, tmp_path: Path) -> None:
    cases, out = images(tmp_path / "in", *"abcde"), tmp_path / "out"
    outcome = predictor.predict_files(cases, out, formats=("masks", "rle"), part=(1, 2))
    assert (outcome.done, outcome.joined) == (["a", "c", "e"], {"submission.csv": 3})
    assert {row.image_name for row in read_submission(out / "submission.csv")} == {"a.png", "c.png", "e.png"}
    other = predictor.predict_files(cases, out, formats=("masks", "rle"), part=(2, 4))  # another division
    assert (other.done, other.joined) == (["b"], {"submission.csv": 4})
    assert predictor.predict_files(cases, out, formats=("masks", "rle"), part=(1, 1)).skipped == ["a", "b", "c", "e"]
    last = predictor.predict_files(cases, out, formats=("masks", "rle"))
    assert (last.done, last.skipped, last.joined) == ([], ["a", "b", "c", "d", "e"], {"submission.csv": 5})
    assert sorted(path.name for path in out.glob("*.json")) == ["predict.json"]
    # The report shows these files beside their masks.
    shown = json.loads((out / "predict.json").read_text(encoding="utf-8"))["images"]
    assert shown == {name: [str(tmp_path / "in" / f"{name}.png")] for name in "abcde"}


def test_parts_of_another_model_are_no_word_for_this_one(predictor: Predictor, tmp_path: Path) -> None:
    cases, out = images(tmp_path / "in", *"abc"), tmp_path / "out"
    predictor.predict_files(cases, out, part=(1, 2))
    other = Predictor.load(tmp_path / "Tiny", ["1"], device="cpu", tta=False)
    assert other.predict_files(cases, out, part=(2, 2)).done == ["b"]
    assert predictor.predict_files(cases, out).done == ["a", "b", "c"]


def test_a_foreign_folder_is_not_touched_by_a_part(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").touch()
    with pytest.raises(Exception, match="is not empty and holds no predictions"):
        predictor.predict_files(images(tmp_path / "in", "a"), tmp_path / "out", part=(1, 2))


def test_a_part_that_begins_meanwhile_is_no_stranger(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another part's record that appears while the folder is looked at."""
    cases, out = images(tmp_path / "in", *"ab"), tmp_path / "out"
    out.mkdir()
    real = Path.glob

    def late(path: Path, pattern: str) -> Iterator[Path]:
        found = list(real(path, pattern))
        if path == out and not (out / "masks").exists():
            (out / "masks").mkdir()  # what the other part writes behind its record
        return iter(found)

    monkeypatch.setattr(Path, "glob", late)
    assert predictor.predict_files(cases, out, part=(1, 2)).failures == {}
