"""A page of tables."""

from pathlib import Path

import torch

from benchmarks.page import Page, Table, markdown, provenance


def test_a_part_replaces_its_own_and_leaves_the_others(tmp_path: Path) -> None:
    page = Page(folder=tmp_path / "new", name="gpu", title="T")
    page.put("memory", Table(says="bytes", about="old"))
    page.put("dtypes", Table(says="casts", about="here", head=("a", "b"), rows=[("1", "2")], notes=["one note"]))
    page.put("memory", Table(says="bytes", about="new"))
    assert page.tables()["memory"].about == "new"
    assert page.text.read_text(encoding="utf-8") == (
        "# T\n\n## memory\n\nbytes\n\nnew\n\n## dtypes\n\ncasts\n\nhere\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\none note\n"
    )
    assert {path.name for path in page.folder.iterdir()} == {"gpu.json", "gpu.md"}


def test_a_cell_cannot_end_its_row() -> None:
    assert markdown(("a",), [("x|y\nz",)]) == "| a |\n| --- |\n| x/y z |\n"


def test_where_and_with_what() -> None:
    assert provenance("A GPU").startswith(f"A GPU, torch {torch.__version__}, commit ")
