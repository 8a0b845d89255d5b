"""Commands of both tools, and where their nets differ; without nnU-Net."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from autoseg.workspace import Workspace
from benchmarks.side_by_side import NNUNETS_NET, Bench, differences, settings
from tests import small
from tests.benchmarks.nnunet_plans import nnunet_plans


def test_equal_nets_do_not_differ() -> None:
    assert differences(small.plan(), nnunet_plans()) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"patch_size": [16, 32]}, "patch"),
        ({"batch_size": 3}, "batch"),
        ({"features_per_stage": [4, 8, 16]}, "features"),
        ({"strides": [[1, 1], [2, 2]]}, "strides"),
        ({"kernel_sizes": [[3, 3], [3, 3], [1, 3]]}, "kernels"),
        ({"n_conv_per_stage": [2, 1, 1]}, "convolutions"),
        ({"n_conv_per_stage_decoder": [2, 1]}, "decoder"),
    ],
)
def test_every_difference_is_named(changes: dict[str, Any], named: str) -> None:
    (found,) = differences(small.plan(), nnunet_plans(**changes))
    assert found.startswith(f"{named}: ")


def test_settings_are_options_of_the_2d_stage() -> None:
    assert settings(patch=(40, 56), batch=8) == ["--set", "2d.patch=40,56", "--set", "2d.batch=8"]
    assert settings("3d_fullres", **dict(NNUNETS_NET)) == ["--set", "3d_fullres.network.decoder_convs=2"]


def test_a_failing_command_names_its_log(tmp_path: Path) -> None:
    # The interpreter of an "environment" that only fails: it gets a script, and says why on its standard error.
    venv = tmp_path / "venv" / "bin"
    venv.mkdir(parents=True)
    (venv / "python").write_text(f"#!{sys.executable}\nimport sys\nsys.exit('no such data')\n", encoding="utf-8")
    (venv / "python").chmod(0o755)
    bench = Bench(place=Workspace(root=tmp_path), venv=tmp_path / "venv")
    log = tmp_path / "logs" / "Data-what.txt"
    with pytest.raises(RuntimeError, match=f"exit code 1; what it said stands in {log}"):
        bench.nnunet("Data", "what", "prepare")
    assert log.read_text(encoding="utf-8") == "no such data\n"
