"""A data set on disk, measured as a whole."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoseg.errors import DataError
from autoseg.fingerprint import Fingerprint, hardware, identity_of, measure
from autoseg.io.json_files import from_json, to_json
from autoseg.io.layouts import read_dataset


def write_set(root: Path, *, cases: int = 5, channels: int = 1) -> Path:
    """Our own layout, masks that overlap: images of 32 x 40 with a class on the left and one in the middle."""
    rng = np.random.default_rng(0)
    for i in range(cases):
        shape = (32, 40) if channels == 1 else (32, 40, channels)
        image = rng.integers(1, 255, shape, np.uint8)
        if channels == 3:
            image[..., 1:] = image[..., :1]
        (root / "imagesTr").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / "imagesTr" / f"case{i}.png")
        for name, columns in (("left", slice(0, 20)), ("middle", slice(10, 30))):
            mask = np.zeros((32, 40), np.uint8)
            mask[8:24, columns] = 255
            (root / "labelsTr" / f"case{i}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(root / "labelsTr" / f"case{i}" / f"{name}.png")
    return root


def test_a_small_set(tmp_path: Path) -> None:
    data = read_dataset(write_set(tmp_path / "Small"), "Small")
    seen: list[tuple[int, int]] = []
    found = measure(data, workers=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 5) for i in range(1, 6)]
    assert found.classes == ("left", "middle")
    assert found.overlap == ((5 * 320, 5 * 160), (5 * 160, 5 * 320))
    assert found.priors == pytest.approx((0.25, 0.25))
    assert (found.num_channels, found.num_axes, found.unit) == (1, 2, "pixel")
    assert [case.name for case in found.cases] == [f"case{i}" for i in range(5)]
    assert len(found.foreground) == 1
    assert from_json(to_json(found), Fingerprint, source="fingerprint.json") == found


def test_context_is_measured_from_eight_cases_on(tmp_path: Path) -> None:
    few = measure(read_dataset(write_set(tmp_path / "Few", cases=7), "Few"))
    assert few.context is None
    found = measure(read_dataset(write_set(tmp_path / "Enough", cases=8), "Enough"))
    assert found.context is not None
    assert found.context.cases == 8
    # Boxes of 16 x 20 in images of 32 x 40. One is cut off by the border of the image: beyond it lies nothing, inside lies noise.
    assert [one.extent for one in found.context.classes] == [(0.5, 0.5), (0.5, 0.5)]
    assert [one.look_alikes for one in found.context.classes] == [(1,), (0,)]
    assert from_json(to_json(found), Fingerprint, source="fingerprint.json") == found
    again = measure(read_dataset(tmp_path / "Enough", "Enough"))
    assert again.checksum() == found.checksum()


def test_grey_stored_as_colour_is_one_channel(tmp_path: Path) -> None:
    found = measure(read_dataset(write_set(tmp_path / "Grey", channels=3), "Grey"))
    assert found.num_channels == 1
    assert found.cases[0].channels == 3
    assert len(found.foreground) == 1


def test_identity_notices_a_changed_file(tmp_path: Path) -> None:
    root = write_set(tmp_path / "Small")
    before = identity_of(read_dataset(root, "Small"))
    assert identity_of(read_dataset(root, "Small")) == before
    os.utime(root / "labelsTr" / "case1" / "left.png", ns=(1, 1))
    assert identity_of(read_dataset(root, "Small")) != before


def test_all_faulty_cases_are_reported_at_once(tmp_path: Path) -> None:
    root = write_set(tmp_path / "Small")
    for name in ("case1", "case3"):
        file = root / "imagesTr" / f"{name}.png"
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError) as caught:
        measure(read_dataset(root, "Small"))
    assert len(caught.value.problems) == 2
    assert all(name in str(caught.value) for name in ("case1.png", "case3.png"))


def test_channels_that_do_not_fit_are_reported_by_file(tmp_path: Path) -> None:
    root = write_set(tmp_path / "Small")
    (root / "dataset.json").write_text('{"channel_names": {"0": "Xray"}}')
    colour = np.random.default_rng(0).integers(0, 255, (32, 40, 3), np.uint8)
    Image.fromarray(colour).save(root / "imagesTr" / "case2.png")
    with pytest.raises(DataError, match=r"case2\.png.*3 colour channels"):
        measure(read_dataset(root, "Small"))


def test_the_checksum_follows_what_was_measured_and_not_the_machine(tmp_path: Path) -> None:
    measured = measure(read_dataset(write_set(tmp_path / "Small"), "Small"))
    there = from_json(to_json(measured), Fingerprint, source="test")
    assert there.checksum() == measured.checksum()
    assert replace(measured, hardware=hardware()).checksum() == measured.checksum()
    assert replace(measured, priors=(0.5,)).checksum() != measured.checksum()


def test_a_copied_data_set_has_the_same_checksum(tmp_path: Path) -> None:
    root = write_set(tmp_path / "here" / "Small")
    shutil.copytree(root, tmp_path / "there" / "Small", copy_function=shutil.copyfile)
    here, there = (measure(read_dataset(tmp_path / place / "Small", "Small")) for place in ("here", "there"))
    assert here.identity != there.identity
    assert here.checksum() == there.checksum()
