"""docs/bad-input.md shows what the tests give and what they find said."""

from tests.badinput.table import DATA, FILE, MADE, count, with_table


def test_the_page_is_true() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert with_table(text) == text, "python -m tests.badinput.table writes it anew"
    assert f"{count()} wrong and unusual inputs" in text


def test_there_are_many_and_none_twice() -> None:
    assert count() >= 60
    names = [[row.what for row in rows] for rows in DATA.values()] + [[row.what for row in rows] for rows in MADE.values()]
    for given in names:
        assert len(given) == len(set(given))
