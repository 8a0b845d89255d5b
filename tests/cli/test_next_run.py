"""The options by which a prediction means the run that was just trained."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autoseg.cli.next_run import options_for
from autoseg.infer.folds import find_run
from autoseg.workspace import Workspace
from tests.infer.plans import EXCLUSIVE, plant_run, tiny_plan


def plant(results: Path, *names: str) -> None:
    """Runs PLAN/CONFIG-TRAINER."""
    for number, name in enumerate(names):
        made = plant_run(results / f"tmp{number}", tiny_plan(EXCLUSIVE), "0")
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        made.rename(results / name)


@pytest.mark.parametrize(
    ("others", "run", "expected"),
    [
        ((), "default/2d-default", ""),
        (("default/3d_fullres-default",), "default/2d-default", " --config 2d"),
        (("default/2d-sgd",), "default/2d-default", " --config 2d --trainer default"),
        (("wide/2d-default",), "default/2d-default", " --plan default --config 2d --trainer default"),
        (("default/2d-default",), "wide/2d-default", ""),  # --plan wide is said anyway
        (("default/2d-default", "wide/3d_fullres-default"), "wide/2d-default", " --config 2d"),
    ],
)
def test_a_run_among_others(tmp_path: Path, others: tuple[str, ...], run: str, expected: str) -> None:
    place = Workspace(root=tmp_path)
    plant(place.results("Tiny"), run, *others)
    plan = replace(tiny_plan(EXCLUSIVE), name=run.partition("/")[0])
    job: Any = SimpleNamespace(workspace=place, plan=plan)
    said = options_for(job, place.results("Tiny") / run)
    assert said == expected
    words = said.split()
    given: dict[str, Any] = dict(zip([word.removeprefix("--") for word in words[::2]], words[1::2], strict=True))
    if plan.name != "default":
        given["plan"] = plan.name
    assert find_run(place.results("Tiny"), **given) == place.results("Tiny") / run
