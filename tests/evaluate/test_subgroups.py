"""Tables of persons: what is read of them, whom they match, what becomes of numbers."""

import sys
from pathlib import Path

import pytest

from autoseg.case import Case
from autoseg.demo.xlsx import workbook
from autoseg.errors import FileFormatError, UsageError
from autoseg.evaluate.subgroups import read_table, subgroups_of

CASES = tuple(Case(name=f"image{k}_{side}", images=(), group=f"ID{k:03d}") for k in range(1, 9) for side in "RL")


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return path


def test_persons_are_matched_by_group_and_values_cleaned(tmp_path: Path) -> None:
    file = tmp_path / "meta_data.xlsx"
    file.write_bytes(workbook([("ID", "Age", "Sex"), ("ID001", 30, "_x0008_M"), ("ID002", 31, "F "), ("ID003", 1.0, "M")]))
    rows = read_table(file)
    assert rows[0] == {"ID": "ID001", "Age": "30", "Sex": "M"}
    assert rows[2]["Age"] == "1"
    found = subgroups_of(rows, ["sex"], CASES, file)
    assert found == {"sex": {"image2_R": "F", "image2_L": "F", "image1_R": "M", "image1_L": "M", "image3_R": "M", "image3_L": "M"}}


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_cases_are_matched_by_name(tmp_path: Path, sign: str) -> None:
    file = write(tmp_path / "t.csv", sign.join(("scanner", "name")), sign.join(("A", "image1_R")), sign.join(("B\x07 ", "image2_R")), "")
    assert subgroups_of(read_table(file), ["scanner"], CASES, file) == {"scanner": {"image1_R": "A", "image2_R": "B"}}


def test_many_numbers_become_quarters(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", "ID,age", *(f"ID{k:03d},{10 * k}" for k in range(1, 9)), "ID009,")
    found = subgroups_of(read_table(file), ["age"], CASES, file)["age"]
    # Quartiles of 10 .. 80: 27.5, 45, 62.5.
    assert list(dict.fromkeys(found.values())) == ["10 to 27.5", "over 27.5 to 45", "over 45 to 62.5", "over 62.5 to 80"]
    assert [found[f"image{k}_R"][:2] for k in (1, 2, 3)] == ["10", "10", "ov"]
    assert sum(value == "10 to 27.5" for value in found.values()) == 4


def test_few_numbers_stay_values(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", "ID,grade", "ID001,1", "ID002,2", "ID003,1")
    assert set(subgroups_of(read_table(file), ["grade"], CASES, file)["grade"].values()) == {"1", "2"}


def test_unknown_columns_and_tables_of_others_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", "ID,age", "ID001,1")
    with pytest.raises(UsageError, match=r"--by weight: .*t\.csv has the columns ID, age"):
        subgroups_of(read_table(file), ["weight"], CASES, file)
    other = write(tmp_path / "o.csv", "ID,age", "X1,1")
    with pytest.raises(UsageError, match="no column names the cases or their groups, such as ID001; it has ID, age"):
        subgroups_of(read_table(other), ["age"], CASES, other)


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_table(tmp_path / "no.csv")
    with pytest.raises(UsageError, match=r"must be a \.csv or \.xlsx file"):
        read_table(write(tmp_path / "t.txt", "a"))
    with pytest.raises(FileFormatError, match="holds no rows below"):
        read_table(write(tmp_path / "t.csv", "ID,age"))
    (tmp_path / "t.xlsx").write_bytes(b"no zip")
    with pytest.raises(FileFormatError, match="cannot be read as xlsx"):
        read_table(tmp_path / "t.xlsx")


def test_without_openpyxl_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "t.xlsx"
    file.write_bytes(workbook([("ID",), ("a",)]))
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(UsageError, match=r"autoseg\[tables\]"):
        read_table(file)
