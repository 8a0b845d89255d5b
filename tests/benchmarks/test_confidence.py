"""The table of expected beside true Dice."""

from pathlib import Path

import numpy as np
import pytest

from autoseg.demo import write_phantom
from autoseg.demo.case import draw_hands
from benchmarks.confidence import bent_cases, left_out, lines, read_rows
from tests.evaluate.runs import stored_run

EXPECTED = """case,class,expected_dice,low,high
x,a,0.5,0.4,0.6
x,b,0.8,0.7,0.9
y,a,0.6,0.5,0.7
y,b,0.9,0.8,1.0
z,a,0.7,0.6,0.8
z,b,0.7,0.6,0.8
"""
# Of six values the first lies below its interval and the last above; the empty one (nothing there, nothing predicted) counts as 1.
TRUE = "case,class,dice\nx,a,0.3\nx,b,0.8\ny,a,0.6\ny,b,\nz,a,0.7\nz,b,1.0\n"


def test_what_lies_inside_below_and_above(tmp_path: Path) -> None:
    (tmp_path / "confidence.csv").write_text(EXPECTED, encoding="utf-8")
    (tmp_path / "metrics.csv").write_text(TRUE, encoding="utf-8")
    rows = read_rows(tmp_path)
    (line,) = lines("p", rows)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:6] == ["p", "3", "6", "0.733", "0.700", "0.100"]
    # a rises with what is expected (1); of b, expected 0.8, 0.9, 0.7 and found 0.8, 1, 1, ranks 2 3 1 and 1 2.5 2.5 correlate by 0.
    assert cells[7] == "0.50"
    assert cells[9:] == ["66.7%", "16.7%", "16.7%", "0.20"]
    (one,) = lines("p", rows.of({"x"}))
    assert one.split("|")[2].strip() == "1"


def test_bent_wrists_are_those_that_were_drawn(tmp_path: Path) -> None:
    files = write_phantom(tmp_path, people=1, size=64, workers=1)
    cases = {path.stem: path for path in files.test_images.rglob("*.png")}
    expected = set()
    for name, path in cases.items():
        _, scenes = draw_hands(seed=0, part="test", index=int(path.parent.name[2:]) - 2)
        if scenes[name[-1]].pose.bent:
            expected.add(name)
    assert bent_cases(tmp_path, tuple(cases)) == expected


def test_each_fold_is_expected_by_the_others(tmp_path: Path) -> None:
    # Every prediction shows the same of itself, so that the others' mean Dice is expected: 0.9 less 0.01 for each case's number.
    found = dict(left_out(stored_run(tmp_path, folds=3, cases=24)))
    assert [len(rows.cases) for rows in found.values()] == [8, 8, 8]
    assert found["fold 0"].expected == pytest.approx(np.full((8, 2), 0.9 - 0.01 * 12))
    assert found["fold 1"].expected == pytest.approx(np.full((8, 2), 0.9 - 0.01 * 11.5))
    assert np.sort(found["fold 0"].dice[:, 0]) == pytest.approx(0.9 - 0.01 * np.arange(21, -1, -3))
