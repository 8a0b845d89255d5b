"""Running the command line as a shell does."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from autoseg.cli import main


@dataclass(frozen=True, kw_only=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str


Autoseg = Callable[..., Done]


@pytest.fixture
def autoseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Autoseg:
    """`autoseg ARGUMENTS` through the entry point, in this process."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["autoseg", *map(str, arguments)])
        capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        assert isinstance(code, int)
        out, err = capsys.readouterr()
        return Done(code=code, out=out, err=err)

    return run
