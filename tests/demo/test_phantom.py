"""The files of the phantom: the competition's layout with its traps, the same whatever the workers and the number of people."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage.draw import polygon2mask

from autoseg.demo import BONES, PhantomFiles, write_phantom
from autoseg.errors import UsageError

SIZE = 96


def read_masks(path: Path, size: int) -> NDArray[np.bool_]:
    """The classes of a JSON file as (29, size, size)."""
    content = json.loads(path.read_text(encoding="utf-8"))
    polygons = {annotation["label"]: np.array(annotation["points"]) for annotation in content["annotations"]}
    return np.stack([polygon2mask((size, size), polygons[bone][:, ::-1]) for bone in BONES])


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> PhantomFiles:
    return write_phantom(tmp_path_factory.mktemp("phantom"), people=2, size=SIZE, workers=1)


def test_files_lie_where_the_competition_puts_them(files: PhantomFiles) -> None:
    assert (files.num_train, files.num_test, files.num_people, files.num_test_people) == (4, 4, 2, 2)
    train = sorted(str(path.relative_to(files.raw)) for path in files.raw.glob("train/DCM/*/*"))
    assert all(re.fullmatch(r"train/DCM/ID00[12]/image\d{13}_[LR]\.png", name) for name in train)
    outlines = sorted(str(path.relative_to(files.raw)) for path in files.raw.glob("train/outputs_json/*/*"))
    assert [name.replace("DCM", "outputs_json").replace(".png", ".json") for name in train] == outlines
    tests = sorted(path.relative_to(files.test_images).with_suffix("") for path in files.test_images.glob("*/*.png"))
    truth = sorted(path.relative_to(files.truth).with_suffix("") for path in files.truth.glob("*/*.json"))
    assert tests == truth
    assert {path.parts[0] for path in tests} == {"ID003", "ID004"}
    assert len(train) == len(tests) == 4
    assert {path.name for path in files.raw.iterdir()} == {"train", "test", "meta_data.xlsx"}
    assert not list(files.raw.rglob("*.json.*"))


def test_every_name_is_given_once(files: PhantomFiles) -> None:
    names = [path.name for path in files.raw.rglob("*.png")]
    assert len(set(names)) == len(names) == 8


def test_json_has_the_traps(files: PhantomFiles) -> None:
    for path in [*files.train_outlines.glob("*/*.json"), *files.truth.glob("*/*.json")]:
        content = json.loads(path.read_text(encoding="utf-8"))
        keys = ["annotations", "attributes", "file_id", "filename", "parent_path", "last_modifier_id", "metadata", "last_workers"]
        assert list(content) == keys
        assert content["metadata"] == {"width": 3060, "height": 3060}
        assert content["filename"] == f"{path.stem}.jpg"
        assert [annotation["label"] for annotation in content["annotations"]] == list(BONES)
        for annotation in content["annotations"]:
            assert set(annotation) == {"id", "type", "attributes", "points", "label"}
            assert annotation["type"] == "poly_seg"
            points = np.array(annotation["points"])
            assert points.ndim == 2
            assert len(points) >= 3
            assert points.min() >= 0
            assert points.max() <= SIZE - 1


def test_images_are_grey_with_three_channels(files: PhantomFiles) -> None:
    for path in files.raw.rglob("*.png"):
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("RGB", (SIZE, SIZE))
            pixels = np.asarray(image)
        assert np.array_equal(pixels[..., 0], pixels[..., 1])
        assert np.array_equal(pixels[..., 0], pixels[..., 2])
        assert np.ptp(pixels) > 120


def test_every_class_is_in_every_image_and_brighter_than_the_open_field(files: PhantomFiles) -> None:
    for path in files.train_outlines.glob("*/*.json"):
        masks = read_masks(path, SIZE)
        assert masks.sum(axis=(1, 2)).min() >= 4
        image = np.asarray(Image.open(files.train_images / path.parent.name / f"{path.stem}.png"))[..., 0].astype(float)
        field = np.median(image[~masks.any(axis=0)])
        assert all(image[mask].mean() > field + 20 for mask in masks)


def test_table_of_persons(files: PhantomFiles) -> None:
    with zipfile.ZipFile(files.meta_data) as archive:
        assert archive.testzip() is None
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
    cells = re.findall(r"<t>([^<]*)</t>", sheet)
    assert cells[:5] == ["ID", "Age", "Sex", "Height", "Weight"]
    assert [cell for cell in cells if cell.startswith("ID0")] == ["ID001", "ID002", "ID003", "ID004"]
    assert {cell.removeprefix("_x0008_") for cell in cells[5:] if not cell.startswith("ID0")} <= {"F", "M"}


def test_workers_and_people_change_no_picture(files: PhantomFiles, tmp_path: Path) -> None:
    write_phantom(tmp_path / "three", people=3, size=SIZE, workers=2)
    ours, theirs = digests(files.raw / "train"), digests(tmp_path / "three" / "raw" / "HandBone" / "train")
    assert {name: theirs[name] for name in ours} == ours
    # The first test person moves from ID003 to ID004 and stays the same otherwise.
    first, moved = files.test_images / "ID003", tmp_path / "three" / "raw" / "HandBone" / "test" / "DCM" / "ID004"
    assert digests(first) == digests(moved)


def test_seed_changes_pictures(files: PhantomFiles, tmp_path: Path) -> None:
    write_phantom(tmp_path, people=1, size=SIZE, workers=1, seed=1)
    ours, theirs = (set(digests(folder / "train" / "DCM").values()) for folder in (files.raw, tmp_path / "raw" / "HandBone"))
    assert not ours & theirs


def test_interrupted_call_is_completed(files: PhantomFiles, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantom(tmp_path, people=2, size=SIZE, workers=1, progress=stop)
    image = next((tmp_path / "raw").rglob("*.png"))
    before = image.stat().st_mtime_ns
    calls: list[tuple[int, int]] = []
    write_phantom(tmp_path, people=2, size=SIZE, workers=1, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(2, 8), (4, 8), (6, 8), (8, 8)]
    assert image.stat().st_mtime_ns == before
    assert digests(tmp_path / "raw" / "HandBone") == digests(files.raw)


def test_other_parameters_need_another_folder(files: PhantomFiles) -> None:
    root = files.raw.parent.parent
    with pytest.raises(UsageError, match=r"size 96 there, 64 asked for.*another folder") as refused:
        write_phantom(root, people=2, size=64, workers=1)
    assert str(refused.value).endswith(f"remove that phantom, {files.raw} and {files.truth}.")


def test_the_keyboard_stops_all_processes_without_a_word_of_theirs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "autoseg", "demo", "make", "-w", str(tmp_path), "--people", "300", "--size", "64", "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:
        while not list(tmp_path.rglob("*.png")):
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        said, _ = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in said) == (130, False), said
    assert said.strip() == "Stopped. What was finished is kept; the same command goes on."


def test_real_data_are_never_touched(tmp_path: Path) -> None:
    real = tmp_path / "raw" / "HandBone" / "train" / "DCM" / "ID001" / "image1661130828152_R.png"
    real.parent.mkdir(parents=True)
    real.write_bytes(b"real")
    with pytest.raises(UsageError, match="no phantom"):
        write_phantom(tmp_path, people=1, size=64, workers=1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [real]


@pytest.mark.parametrize("size", [63, 4097, 0, -1])
def test_size_out_of_range(tmp_path: Path, size: int) -> None:
    with pytest.raises(ValueError, match=rf"size is {size}; allowed is a whole number from 64 to 4096"):
        write_phantom(tmp_path, people=1, size=size)


@pytest.mark.parametrize(("name", "value"), [("people", 0), ("people", 735), ("seed", -1), ("workers", 0)])
def test_other_values_out_of_range(tmp_path: Path, name: str, value: int) -> None:
    options: dict[str, int] = {name: value}
    with pytest.raises(ValueError, match=rf"{name} is {value}; allowed"):
        write_phantom(tmp_path, size=64, **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_mean_training_mask_knows_nothing(tmp_path: Path) -> None:
    files = write_phantom(tmp_path, people=20, size=64)
    train = np.stack([read_masks(path, 64) for path in sorted(files.train_outlines.glob("*/*.json"))])
    test = np.stack([read_masks(path, 64) for path in sorted(files.truth.glob("*/*.json"))])
    mean = train.mean(axis=0) >= 0.5
    dice = 2 * (mean & test).sum(axis=(2, 3)) / (mean.sum(axis=(1, 2)) + test.sum(axis=(2, 3)))
    assert dice.mean() < 0.2
