"""DICOM's identity of a person reaches no file and no line of output: fingerprint, splits, logs, predictions, messages."""

import gzip
import itertools
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import cli
from autoseg.io.images import read_image
from autoseg.io.json_files import load_json
from autoseg.io.pseudonyms import Salt, numbered
from autoseg.io.writers import write_map
from autoseg.planners.folds import Splits
from tests.badinput.bad import ENSEMBLE, PLANNING, TRAIN
from tests.cli.conftest import Autoseg
from tests.io import dicom
from tests.io.dicom import write_dicom, write_series
from tests.io.make import square, write_picture

#: Whatever may name a person or a visit, with a value of its own that stands nowhere else.
NAMING = {
    0x0008_0050: ("SH", "Acc-771203"),  # AccessionNumber
    0x0008_0080: ("LO", "Inst-553120"),  # InstitutionName
    0x0008_0090: ("PN", "Doc^Referring"),  # ReferringPhysicianName
    0x0008_1030: ("LO", "Knee of Sora"),  # StudyDescription
    0x0010_0010: ("PN", "Kim^Sora"),  # PatientName
    0x0010_0020: ("LO", "PID-4711-{}"),  # PatientID
    0x0010_0030: ("LO", "19710229"),  # PatientBirthDate
    0x0010_1000: ("LO", "Other-88012"),  # OtherPatientIDs
    0x0010_1040: ("LO", "12 Elm Lane"),  # PatientAddress
    0x0020_000D: ("UI", "1.2.826.55512.7"),  # StudyInstanceUID
    0x0020_0010: ("SH", "Study-60013"),  # StudyID
}
NEEDLES = [value.partition("-{}")[0] for _, value in NAMING.values()]


def tags(person: int) -> dict[int, object]:
    return {tag: value.format(person) for tag, (_, value) in NAMING.items()}


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three persons' two X-rays each, planned by the real command, and one to predict; write nothing into it."""
    root = tmp_path_factory.mktemp("people") / "w"
    rng, place = np.random.default_rng(0), root / "raw/Hands"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dicom, "VR", {**dicom.VR, **{tag: vr for tag, (vr, _) in NAMING.items()}})
        for person, side in itertools.product(range(3), "LR"):
            pixels = rng.integers(0, 200, (64, 64), np.uint8)
            write_dicom(place / f"imagesTr/hand{person}{side}.dcm", pixels, tags(person))
            write_picture(place / f"labelsTr/hand{person}{side}/bone.png", square((64, 64), 255))
        write_dicom(place / "imagesTs/hand9.dcm", pixels, tags(9))
    cli.main([*map(str, PLANNING), "-w", str(root)], standalone_mode=False)
    return root


@pytest.fixture
def people(planned: Path, tmp_path: Path) -> Path:
    """A planned workspace of the test's own."""
    return Path(shutil.copytree(planned, tmp_path / "w", copy_function=shutil.copy2))


def contents(path: Path) -> Iterator[bytes]:
    """A file's bytes, and what is packed in it."""
    data = path.read_bytes()
    yield data
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    if data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)


def groups_of(workspace: Path) -> list[str]:
    cases = json.loads((workspace / "preprocessed/Hands/fingerprint.json").read_text(encoding="utf-8"))["cases"]
    return [case["group"] for case in cases]


def test_no_file_and_no_line_names_a_person(autoseg: Autoseg, people: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    splits = load_json(people / "preprocessed/Hands/splits.json", Splits)
    assert {tuple(sorted(group)) for group in splits.groups} == {(f"hand{k}L", f"hand{k}R") for k in range(3)}
    salt = Salt(people / ".salt", keep=False)
    assert groups_of(people) == [salt.hashed(f"PID-4711-{person}") for person in (0, 0, 1, 1, 2, 2)]
    said = []
    for command in (
        (*PLANNING,),
        ("check",),
        (*TRAIN, "fold0..2", "--device", "cpu"),
        (*ENSEMBLE, "--format", "masks,overlay,coco,polygons,npz", "-o", people / "out"),
        ("evaluate", people / "results/Hands/default/2d-default"),
        ("evaluate", people / "results/Hands/default/2d-default", "-d", "Hands", "-o", people / "scores"),
        ("select", "--workers", 1),
        ("report",),
        ("export", "-o", people / "model.zip"),
        ("predict", "-i", people / "raw/Hands/imagesTr", "--device", "cpu", "--folds", "fold0", "-o", people / "again"),
    ):
        done = autoseg(*command, "-w", people)
        assert done.code == 0, (command, done)
        said.append(done.out + done.err)
    broken = people / "raw/Hands/imagesTr/hand0L.dcm"
    broken.write_bytes(broken.read_bytes()[:-50])
    for refused in (("check",), PLANNING):
        done = autoseg(*refused, "-w", people)
        assert "hand0L.dcm: cannot be read as an image" in done.out + done.err
        said.append(done.out + done.err)
    spoken = "".join(said) + caplog.text
    assert [needle for needle in NEEDLES if needle in spoken] == []
    files = [path for path in tmp_path.rglob("*") if path.is_file() and people / "raw" not in path.parents]
    assert len(files) > 60
    found = {(path.name, needle) for path in files for data in contents(path) for needle in NEEDLES if needle.encode() in data}
    assert found == set()
    # The names that stand in their place are read where scores are.
    assert any(salt.hashed("PID-4711-0").encode() in data for path in (people / "results").rglob("summary.json") for data in contents(path))


def test_what_an_earlier_version_numbered_goes_on(autoseg: Autoseg, people: Path) -> None:
    file = people / "preprocessed/Hands/fingerprint.json"
    assert autoseg(*TRAIN, "fold0", "--device", "cpu", "-w", people).code == 0
    names = dict(zip(groups_of(people), numbered(groups_of(people)), strict=True))
    assert set(names.values()) == {"patient 1", "patient 2", "patient 3"}
    for path in (file, *(people / "results").rglob("*.json")):
        path.write_text(re.sub("|".join(names), lambda found: str(names[found[0]]), path.read_text(encoding="utf-8")), encoding="utf-8")
    (people / ".salt").unlink()
    before = (people / "preprocessed/Hands/splits.json").read_bytes()
    done = autoseg(*TRAIN, "fold0,1", "--device", "cpu", "-w", people)
    assert done.code == 0, done
    assert "fold0: is done" in done.out
    done = autoseg(*PLANNING, "-w", people)
    assert done.code == 0, done
    assert all(f"{what}: unchanged" in done.out for what in ("Fingerprint", "Folds", "Plan"))
    salt = Salt(people / ".salt", keep=False)
    assert groups_of(people) == [salt.hashed(f"PID-4711-{person}") for person in (0, 0, 1, 1, 2, 2)]
    assert (people / "preprocessed/Hands/splits.json").read_bytes() == before
    assert autoseg("evaluate", people / "results/Hands/default/2d-default", "-d", "Hands", "-w", people).code == 0


def test_looking_at_a_data_set_leaves_no_salt(autoseg: Autoseg, planned: Path, tmp_path: Path) -> None:
    done = autoseg("check", "-d", planned / "raw/Hands", "-w", tmp_path)
    assert done.code == 0, done
    assert "Groups that no fold may split (persons): 3" in done.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
def test_maps_of_a_series_name_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(dicom, "VR", {**dicom.VR, **{tag: vr for tag, (vr, _) in NAMING.items()}})
    series = write_series(tmp_path / "ct", np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6), tags(1))
    assert all(needle.encode() in next(contents(series / "IM0001")) for needle in NEEDLES)
    image = read_image([series])
    out = tmp_path / f"out{suffix}"
    write_map(out, image.array[0], image.geometry, like=series)
    assert [needle for data in contents(out) for needle in NEEDLES if needle.encode() in data] == []
