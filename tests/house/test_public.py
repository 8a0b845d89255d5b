"""The public names of autoseg. A name that goes breaks somebody's script: change this list only with a line in CHANGELOG.md."""

import ast
from pathlib import Path

import pytest

import autoseg

NAMES = ["Budget", "Case", "Checkpoint", "Fingerprint", "Geometry", "LabelSpace", "Plan", "Predictor", "Recipe", "Workspace"]


def test_the_names_are_these() -> None:
    assert sorted(dir(autoseg)) == sorted([*NAMES, "__version__"])


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_a_documented_type_of_this_package(name: str) -> None:
    found = getattr(autoseg, name)
    assert isinstance(found, type)
    assert found.__name__ == name
    assert found.__module__.startswith("autoseg.")
    assert found.__doc__


def test_type_checkers_see_the_same_names(root: Path) -> None:
    tree = ast.parse((root / "autoseg" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    shown = {alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert shown == autoseg._HOMES


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Predicter'; its public names are Budget, "):
        autoseg.Predicter  # noqa: B018
