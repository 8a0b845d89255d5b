"""What all tests share: repeatable hypothesis draws, no workspace of the user's, and where the tree and the real data lie."""

import os
from pathlib import Path

# Before torch is imported, here and in the processes that tests start: two test processes share two cores, and tiny nets on several
# threads spend their time waiting for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# Examples drawn from the test's own name: a run is the same everywhere. No deadline: CI's cores are shared.
settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def _no_workspace_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOSEG_WORKSPACE", raising=False)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the real data sets, for tests marked `data`; asked for and not there is a failure, no skip."""
    folder = ROOT.parent / "shared" / "data"
    assert folder.is_dir(), f"{folder} is missing: tests marked data need the real data sets there"
    return folder
