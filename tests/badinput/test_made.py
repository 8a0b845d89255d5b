"""Wrong files in a trained workspace: one message that names the file, exit code 2, and nothing else is changed."""

from pathlib import Path

import pytest

from tests.badinput.bad import BadFiles, assert_refused, assert_untouched, contents
from tests.badinput.made import NETS, PLANS, PREPARED, WORKSPACES
from tests.cli.conftest import Autoseg

ALL = {"plan": PLANS, "prepared": PREPARED, "net": NETS, "workspace": WORKSPACES}


@pytest.mark.parametrize("bad", [pytest.param(one, id=f"{noun}: {one.what}") for noun, rows in ALL.items() for one in rows])
def test_one_thing_wrong(autoseg: Autoseg, workspace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bad: BadFiles) -> None:
    bad.harm(workspace)
    before = contents(workspace)
    monkeypatch.chdir(tmp_path)
    done = autoseg(*bad.command, "-w", workspace)
    assert_refused(done, bad.said, str(workspace / bad.file) if bad.file else "")
    assert_untouched(before, contents(workspace))
    # A pickle that was opened would have left a file here.
    assert not (tmp_path / "opened").exists()
