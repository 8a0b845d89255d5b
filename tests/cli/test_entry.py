"""The entry point before the command line is there."""

import sys
from importlib.abc import MetaPathFinder
from typing import Any

import pytest

from autoseg.__main__ import main


class Stopped(MetaPathFinder):
    """Ctrl-C comes while the command line is imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Of each module that is imported."""
        if name == "autoseg.cli":
            raise KeyboardInterrupt


def test_the_keyboard_is_heard_during_the_imports(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "autoseg.cli")
    monkeypatch.setattr(sys, "meta_path", [Stopped(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Stopped.\n"
