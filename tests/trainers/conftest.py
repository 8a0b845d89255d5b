"""Prepared workspaces: made once, copied for each test."""

import shutil
from pathlib import Path

import pytest

from tests.trainers.make import plan_and_prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace to copy; write nothing into it."""
    root = tmp_path_factory.mktemp("prepared")
    plan_and_prepare(root)
    return root


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path) -> Path:
    """A workspace of the test's own."""
    return Path(shutil.copytree(prepared, tmp_path / "w", copy_function=shutil.copy2))
