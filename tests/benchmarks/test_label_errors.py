"""The planted label errors are fixed by their seed, and are what errors.json says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from autoseg.demo import write_phantom
from benchmarks.label_errors import KINDS, NAME, PlantedError, area, cut, found_errors, is_found, plant, read_errors


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("phantom")
    write_phantom(root, people=10, size=64, workers=1)
    return root


def labels(workspace: Path) -> dict[str, dict[str, list[list[list[float]]]]]:
    """Case -> label -> outlines."""
    found = {}
    for path in (workspace / "raw" / NAME / "train" / "outputs_json").rglob("*.json"):
        outlines: dict[str, list[list[list[float]]]] = {}
        for annotation in json.loads(path.read_text("utf-8"))["annotations"]:
            outlines.setdefault(annotation["label"], []).append(annotation["points"])
        found[path.stem] = outlines
    return found


def test_exactly_what_is_listed_is_changed(source: Path, tmp_path: Path) -> None:
    errors = plant(source, tmp_path, seed=1)
    assert Counter(error.kind for error in errors) == KINDS
    assert read_errors(tmp_path / "errors.json") == errors
    before, after = labels(source), labels(tmp_path)
    changed = {
        case: {label for label in outlines if outlines[label] != after[case].get(label, [])} for case, outlines in before.items()
    }  # fmt: skip
    assert {case: found for case, found in changed.items() if found} == {error.case: set(error.classes) for error in errors}


def test_each_kind_does_what_it_says(source: Path, tmp_path: Path) -> None:
    errors = plant(source, tmp_path, seed=1)
    before, after = labels(source), labels(tmp_path)
    for error in errors:
        old, new = before[error.case], after[error.case]
        if error.kind.startswith("swapped"):
            assert len(error.classes) == (8 if error.kind == "swapped fingers" else 2)
            assert sorted(new[name] for name in error.classes) == sorted(old[name] for name in error.classes)
        elif error.kind == "missing bone":
            assert [new.get(name) for name in error.classes] == [None]
        elif error.kind == "renamed bone":
            assert sorted(len(new.get(name, [])) for name in error.classes) == [0, 2]
        else:
            was, now = (np.array(part[error.classes[0]][0]) for part in (old, new))
            if error.kind == "shifted bone":
                moves = now - was
                length = float(np.linalg.norm(moves[0]))
                assert np.allclose(moves, moves[0], atol=2e-3)
                assert 0.59 <= length / np.sqrt(area(was)) <= 1.01
                assert now.min() >= 0
                assert now.max() <= 63
            else:
                assert 0.25 <= area(now) / area(was) <= 0.75


def test_a_seed_gives_the_same_errors_and_another_seed_others(source: Path, tmp_path: Path) -> None:
    first, again, other = (plant(source, tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert first == again
    assert labels(tmp_path / "a") == labels(tmp_path / "b")
    assert first != other


def test_a_cut_leaves_the_part_on_the_axis_side() -> None:
    square = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [0.0, 2.0]])
    right = cut(square, np.array([1.0, 1.0]), np.array([1.0, 0.0]))
    assert area(square) == 8.0
    assert area(right) == 6.0
    assert right[:, 0].min() == 1.0


def test_an_error_is_found_by_its_case_and_one_of_its_classes() -> None:
    error = PlantedError(case="a", kind="swapped bones", classes=("Capitate", "Hamate"), what="")
    assert is_found(error, "a", ["Hamate"])
    assert not is_found(error, "b", ["Hamate"])
    assert not is_found(error, "a", ["Lunate"])
    rows = [("b", ["Hamate"]), ("a", ["Hamate"]), ("a", ["Capitate"])]
    assert found_errors([error], rows, first=2) == [error]
    assert found_errors([error], rows, first=1) == []
