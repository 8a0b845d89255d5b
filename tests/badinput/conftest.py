"""A tiny phantom that was planned and trained once; every test that changes something gets a copy."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.cli import cli
from autoseg.demo import write_phantom
from autoseg.fingerprint import Fingerprint, measure
from autoseg.fingerprint.hardware import cpu_budget, hardware
from autoseg.io.json_files import load_json, save_json
from autoseg.io.layouts import read_dataset
from autoseg.labels import LabelSpace
from autoseg.plan import Memory
from autoseg.planners.folds import make_splits
from autoseg.preprocess.dataset import prepare_dataset
from autoseg.preprocess.store import PreparedStore, plan_key
from autoseg.workspace import Workspace
from tests import small
from tests.badinput.bad import TRAIN
from tests.cli.conftest import autoseg as autoseg  # the fixture that runs a command


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with raw/HandBone, measured and prepared for a processor, with a plan made by hand; write nothing into it."""
    root = tmp_path_factory.mktemp("planned")
    write_phantom(root, people=5, size=64, seed=0, workers=1)
    plan_by_hand(root)
    return root


@pytest.fixture(scope="session")
def trained(planned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with fold 0 and fold 1 trained for one step; write nothing into it."""
    root = copied(planned, tmp_path_factory.mktemp("trained") / "w")
    cli.main([*TRAIN, "fold0,1", "-w", str(root)], standalone_mode=False)
    return root


@pytest.fixture
def workspace(trained: Path, tmp_path: Path) -> Path:
    """A trained workspace of the test's own."""
    return copied(trained, tmp_path / "w")


def plan_by_hand(root: Path, name: str = "HandBone") -> None:
    """Measure raw/NAME, 64 x 64 images, and prepare it for a processor with a tiny net."""
    place = Workspace(root=root)
    raw = read_dataset(place.raw / name)
    fingerprint = replace(measure(raw), root=str(raw.root.resolve()), hardware=hardware())
    save_json(place.fingerprint_file(raw.name), fingerprint)
    save_json(place.splits_file(raw.name), make_splits(fingerprint))
    num = len(raw.classes)
    stage = small.stage(
        spacing=(1.0, 1.0), image_shape=(64, 64), patch=(64, 64), network=small.network(num_heads=num), priors=(0.01,) * num,
        memory=Memory(peak_bytes=2**22, budget_bytes=2**33, parts={"activations": 2**21}),
    )  # fmt: skip
    plan = small.plan(
        LabelSpace(classes=raw.classes, exclusive=False), dataset=raw.name, fingerprint=fingerprint.identity, budget=cpu_budget(None),
        stages={"2d": stage},
    )  # fmt: skip
    save_json(place.plan_file(raw.name, "default"), plan)
    prepare_dataset(raw, plan, stage=stage, store=PreparedStore(place.store_folder(raw.name, plan_key(plan, stage))))
    place.remember(raw.root)


def copied(workspace: Path, to: Path) -> Path:
    """A copy whose fingerprint says where it lies, as plan_and_preprocess would."""
    root = Path(shutil.copytree(workspace, to, copy_function=shutil.copy2))
    file = root / "preprocessed/HandBone/fingerprint.json"
    save_json(file, replace(load_json(file, Fingerprint), root=str((root / "raw/HandBone").resolve())))
    return root
