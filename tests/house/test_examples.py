"""The examples in docstrings run and print what they say."""

import doctest
from importlib import import_module
from pathlib import Path

from tests.house.imports import read_modules


def test_the_examples_in_docstrings_run(root: Path) -> None:
    names = [name for name, module in read_modules(root).items() if ">>> " in module.path.read_text(encoding="utf-8")]
    failed = {name: result for name in names if (result := doctest.testmod(import_module(name))).failed}
    assert failed == {}, "see the captured output"
