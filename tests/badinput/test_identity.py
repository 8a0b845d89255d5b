"""DICOM's identity of a person reaches no file and no line of output: fingerprint, splits, logs, predictions, messages."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from autoseg.io.json_files import load_json
from autoseg.planners.folds import Splits
from tests.badinput.bad import ENSEMBLE, PLANNING, TRAIN
from tests.badinput.conftest import plan_by_hand
from tests.cli.conftest import Autoseg
from tests.io import dicom
from tests.io.dicom import write_dicom
from tests.io.make import square, write_picture

NAME = "Kim^Sora-4711"
#: PatientName, PatientID, PatientBirthDate, PatientAddress, AccessionNumber, StudyDescription: whatever may name a person.
NAMING = {0x0010_0010: "PN", 0x0010_0020: "LO", 0x0010_0030: "LO", 0x0010_1040: "LO", 0x0008_0050: "SH", 0x0008_1030: "LO"}


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three persons' two X-rays each, their names in every tag that can hold one, and one to predict."""
    monkeypatch.setattr(dicom, "VR", {**dicom.VR, **NAMING})
    rng = np.random.default_rng(0)
    for person, side in itertools.product(range(3), "LR"):
        place = tmp_path / "w/raw/Hands"
        pixels = rng.integers(0, 200, (64, 64), np.uint8)
        write_dicom(place / f"imagesTr/hand{person}{side}.dcm", pixels, dict.fromkeys(NAMING, f"{NAME}-{person}"))
        write_picture(place / f"labelsTr/hand{person}{side}/bone.png", square((64, 64), 255))
    write_dicom(place / "imagesTs/hand9.dcm", pixels, dict.fromkeys(NAMING, f"{NAME}-9"))
    return tmp_path / "w"


def test_no_file_and_no_line_names_a_person(autoseg: Autoseg, people: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    plan_by_hand(people, "Hands")
    splits = load_json(people / "preprocessed/Hands/splits.json", Splits)
    assert {tuple(sorted(group)) for group in splits.groups} == {(f"hand{k}L", f"hand{k}R") for k in range(3)}
    said = []
    for command in (
        ("check",),
        (*TRAIN, "fold0"),
        (*ENSEMBLE, "--format", "masks,overlay,coco,polygons,npz", "-o", people / "out"),
        ("evaluate", people / "results/Hands/default/2d-default"),
        ("predict", "-i", people / "raw/Hands/imagesTr", "--device", "cpu", "-o", people / "again"),
    ):
        done = autoseg(*command, "-w", people)
        assert done.code == 0, done
        said.append(done.out + done.err)
    broken = people / "raw/Hands/imagesTr/hand0L.dcm"
    broken.write_bytes(broken.read_bytes()[:-50])
    for refused in (("check",), PLANNING):
        done = autoseg(*refused, "-w", people)
        assert "hand0L.dcm: cannot be read as an image" in done.out + done.err
        said.append(done.out + done.err)
    assert NAME not in "".join(said) + caplog.text
    files = [path for path in tmp_path.rglob("*") if path.is_file() and people / "raw" not in path.parents]
    assert len(files) > 30
    assert [str(path) for path in files if NAME.encode() in path.read_bytes()] == []
