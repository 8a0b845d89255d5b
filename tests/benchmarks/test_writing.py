"""The benchmark of writing, at a tiny size."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from autoseg.infer.bits import BitMasks
from benchmarks.writing import HEAD, measure, segmentations
from tests.io.make import make_handbone


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    make_handbone(tmp_path / "raw/HandBone")
    return tmp_path


def test_predictions_are_the_truth_with_a_ragged_border(workspace: Path) -> None:
    found = segmentations(workspace, 2)
    assert len(found) == 2
    for _, segmentation in found:
        assert isinstance(segmentation.array, BitMasks)
        assert segmentation.labels.classes == ("Radius", "Ulna")
        assert np.asarray(segmentation.array).shape == (2, *segmentation.geometry.shape)


def test_a_row_has_a_number_for_each_column(workspace: Path) -> None:
    given = argparse.Namespace(workspace=workspace, formats="coco,masks", cases=3, launches=10)
    row = measure(given, 0)
    assert row.count("|") == HEAD.partition("\n")[0].count("|")
    assert row.startswith("| 0 | ")


def test_what_cannot_be_written_ends_it(workspace: Path) -> None:
    given = argparse.Namespace(workspace=workspace, formats="map", cases=1, launches=10)
    with pytest.raises(SystemExit, match="case000: AssertionError"):
        measure(given, 0)
