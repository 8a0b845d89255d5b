"""Torch's threads sleep soon where they share cores with another program."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from autoseg.cli import SPINS, share_cores

#: What decides how long threads wait.
NAMES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


@pytest.fixture(autouse=True)
def undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        # Set first, so that it is put back afterwards where it was not set.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_a_user_s_choice_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    share_cores()
    assert "GOMP_SPINCOUNT" not in os.environ


def test_torch_reads_it() -> None:
    """GNU's OpenMP says what it read when torch loads it."""
    code = "import sys; from autoseg.cli import main; sys.argv = ['autoseg', '--help']\ntry: main()\nexcept SystemExit: import torch"
    environment = os.environ | {"OMP_DISPLAY_ENV": "verbose"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60)
    found = re.search(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    if found is None:
        pytest.skip("torch's OpenMP is not GNU's")
    assert found[1] == SPINS
