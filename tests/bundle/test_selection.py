"""What autoseg select chose as one file: its members, thresholds and post-processing, and no case."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autoseg.bundle.manifest import MANIFEST, SELECTION
from autoseg.bundle.onnx_folder import write_onnx
from autoseg.bundle.write import write_bundle
from autoseg.ensemble import Combination
from autoseg.errors import FileFormatError, UsageError
from autoseg.postprocess import Cleaning
from autoseg.predictor import Predictor
from autoseg.select.selection import Selected
from tests.bundle.make import CALIBRATION, contents, edit_json, pack, plant_cascade
from tests.infer.plans import OVERLAPPING, images
from tests.select.make import plant_two, selection_of

IMAGE = np.random.default_rng(0).integers(0, 255, (20, 24)).astype(np.uint8)
RUNS = ("default/2d-default", "other/2d-default")


def segmented(predictor: Predictor) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    found = predictor.segment(IMAGE, (1.0, 1.0), probabilities=True)
    assert found.probabilities is not None
    return np.asarray(found.array), found.probabilities


def assert_alike(source: Selected, path: Path) -> None:
    for here, there in zip(segmented(Predictor.from_selection(source)), segmented(Predictor.load(path)), strict=True):
        np.testing.assert_array_equal(here, there)


def selected(folder: Path) -> Selected:
    """Two members of different spacing, a threshold and a cleaning."""
    results = plant_two(folder / "results", OVERLAPPING)
    selection = selection_of(
        results,
        OVERLAPPING,
        *RUNS,
        thresholds=(128, 131),
        cleanings=(Cleaning(), Cleaning(min_size=6.0)),
        left_out={"PAT-4711": "no image"},
    )
    return Selected(results=results, selection=selection)


def test_members_predict_together_as_they_do_at_home(tmp_path: Path) -> None:
    source = selected(tmp_path)
    seen: list[tuple[int, int]] = []
    manifest = write_bundle(tmp_path / "a.zip", source, lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert [(model.run, model.plan) for model in manifest.models] == [(RUNS[0], "0-2d/plan.json"), (RUNS[1], "1-2d/plan.json")]
    assert_alike(source, tmp_path / "a.zip")
    assert Predictor.load(tmp_path / "a.zip").record() == Predictor.from_selection(source).record()
    assert b"PAT-4711" not in (tmp_path / "a.zip").read_bytes()
    with pytest.raises(UsageError, match="which predict together"):
        Predictor.load(tmp_path / "a.zip", ("0",))


@pytest.mark.slow
def test_members_as_onnx_files(tmp_path: Path) -> None:
    """onnxruntime's nets under the same thresholds and cleanings: as its own of each run in the workspace, and close to torch's."""
    source, folder = selected(tmp_path), tmp_path / "onnx"
    manifest, difference = write_onnx(folder, source)
    assert [(model.run, model.plan) for model in manifest.models] == [(RUNS[0], "0-2d/plan.json"), (RUNS[1], "1-2d/plan.json")]
    assert len(list(folder.rglob("*.onnx"))) == 3
    assert 0 < difference < 1e-3
    assert "PAT-4711" not in (folder / SELECTION).read_text(encoding="utf-8")
    there = Predictor.load(folder)
    (array, probabilities), (_, torchs) = segmented(there), segmented(Predictor.from_selection(source))
    for a, b in zip((array, probabilities), segmented(Predictor.from_selection(source, engine="onnx")), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(probabilities.astype(int) - torchs).max() <= 1
    assert there.record().engine == "onnx"
    assert there.record().selection == source.selection.checksum()
    with pytest.raises(UsageError, match="which predict together"):
        Predictor.load(folder, ("0",))


def test_a_cascade_among_the_members(tmp_path: Path) -> None:
    results = plant_two(tmp_path / "results", OVERLAPPING)
    plant_cascade(tmp_path / "more", "0")
    (tmp_path / "more/default").rename(results / "two")
    source = Selected(results=results, selection=selection_of(results, OVERLAPPING, "other/2d-default", "two/2d_cascade-default"))
    manifest = write_bundle(tmp_path / "a.zip", source)
    assert [model.stage for model in manifest.models] == ["2d", "2d", "2d_cascade"]
    assert_alike(source, tmp_path / "a.zip")


def test_one_member_of_several(tmp_path: Path) -> None:
    source = selected(tmp_path)
    alone = Combination(kind="soft", weights=((0.0, 1.0),) * 2)
    source = replace(source, selection=replace(source.selection, combination=alone, ensemble="best member"))
    assert [model.run for model in write_bundle(tmp_path / "a.zip", source).models] == [RUNS[1]]
    assert_alike(source, tmp_path / "a.zip")


def test_the_expected_dice_comes_along(tmp_path: Path) -> None:
    source = selected(tmp_path)
    source = replace(source, selection=replace(source.selection, calibration=CALIBRATION))
    write_bundle(tmp_path / "a.zip", source)
    there = Predictor.load(tmp_path / "a.zip", device="cpu")
    assert there.calibration == CALIBRATION
    tables = []
    for name, predictor in (("here", Predictor.from_selection(source, device="cpu")), ("there", there)):
        predictor.predict_files(images(tmp_path / "in", "hand"), tmp_path / name)
        tables.append((tmp_path / name / "confidence.csv").read_text(encoding="utf-8"))
    assert tables[0] == tables[1]
    assert len(tables[0].splitlines()) == 3


def test_members_that_are_not_the_selections(tmp_path: Path) -> None:
    write_bundle(tmp_path / "a.zip", selected(tmp_path))
    whole = contents(tmp_path / "a.zip")
    fewer = edit_json(whole, MANIFEST, lambda manifest: manifest["models"].pop())
    with pytest.raises(FileFormatError, match=r"the nets of default/2d-default, and its selection\.json is of default/2d-default, other/"):
        Predictor.load(pack(tmp_path / "b.zip", fewer))
    without = {name: data for name, data in whole.items() if name != SELECTION}
    with pytest.raises(FileFormatError, match=r"holds 2 models and no selection\.json"):
        Predictor.load(pack(tmp_path / "b.zip", without))
    broken = edit_json(whole, SELECTION, lambda selection: selection.update(thresholds=[900, 1]))
    with pytest.raises(FileFormatError, match="thresholds must be one number from 1 to 255"):
        Predictor.load(pack(tmp_path / "b.zip", broken))
