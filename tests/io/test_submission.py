from pathlib import Path

import numpy as np
import pytest

from autoseg.io.rle import encode_rle
from autoseg.io.submission import SubmissionRow, read_submission, write_submission
from autoseg.labels import Mask

EMPTY, CORNER = np.zeros((2, 2), np.bool_), np.array([[0, 0], [0, 1]], np.bool_)


def row(image: str, name: str, mask: Mask) -> SubmissionRow:
    return SubmissionRow(image_name=image, class_name=name, rle=encode_rle(mask))


def test_the_competitions_form(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    rows = [
        row("b_R.png", "Ulna", CORNER),
        row("b_R.png", "Radius", EMPTY),
        row("a_L.png", "Radius", CORNER),
        row("a_L.png", "Ulna", ~EMPTY),
    ]
    write_submission(path, rows, ["Radius", "Ulna"])
    expected = "image_name,class,rle\na_L.png,Radius,4 1\na_L.png,Ulna,1 4\nb_R.png,Radius,\nb_R.png,Ulna,4 1\n"
    assert path.read_bytes() == expected.encode()
    assert sorted(read_submission(path), key=str) == sorted(rows, key=str)


def test_long_masks_are_read_back(tmp_path: Path) -> None:
    long = SubmissionRow(image_name="a.png", class_name="x", rle=" ".join(f"{k} 1" for k in range(1, 60001, 2)))
    write_submission(tmp_path / "s.csv", [long], ["x"])
    assert read_submission(tmp_path / "s.csv") == [long]


def test_an_image_that_comes_twice_is_refused(tmp_path: Path) -> None:
    rows = [row("a.png", "x", CORNER), row("a.png", "x", EMPTY)]
    with pytest.raises(ValueError, match=r"two rows for a\.png, x"):
        write_submission(tmp_path / "s.csv", rows, ["x"])
    assert not (tmp_path / "s.csv").exists()


def test_unknown_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rows of the classes \['x'\]; the data set has \['y'\]"):
        write_submission(tmp_path / "s.csv", [row("a.png", "x", CORNER)], ["y"])


def test_another_csv_is_no_submission(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"s\.csv is no submission"):
        read_submission(tmp_path / "s.csv")
