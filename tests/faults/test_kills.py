"""A kill of each kind, at random instants; `make torture` does a hundred."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.kills import LONG


@pytest.mark.slow
def test_what_is_killed_and_started_again_comes_to_the_same(root: Path) -> None:
    # In a process of its own: it forks.
    command = [sys.executable, "-m", "tests.faults.torture", "--kills", "7", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f"\n{kind:18} " in done.stdout for kind in LONG)
