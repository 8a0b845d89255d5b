"""What is measured and decided on the three real data sets."""

from pathlib import Path

import pytest

from autoseg.fingerprint import Fingerprint, measure
from autoseg.io.layouts import read_dataset
from autoseg.planners.folds import make_splits
from autoseg.planners.labels import decide_labels
from autoseg.planners.normalization import decide_normalization
from autoseg.planners.pose import decide_pose
from autoseg.planners.spacing import decide_spacing

pytestmark = pytest.mark.data


def fingerprint_of(shared_data: Path, name: str) -> Fingerprint:
    return measure(read_dataset(shared_data / name, name))


def test_vnc_overlaps_and_its_sections_are_blocks(shared_data: Path) -> None:
    found = fingerprint_of(shared_data, "VNC")
    space, reason = decide_labels(found)
    assert not space.exclusive
    assert "membrane and synapse share 66" in reason
    assert found.neighbours is not None
    assert found.neighbours.share_above == 1
    assert found.context is not None
    assert (found.context.num_look_alikes, found.context.needed_share) == (0, 0)
    splits = make_splits(found)
    assert sorted(fold.val for fold in splits.folds) == [tuple(f"{i:02}" for i in range(a, a + 4)) for a in range(0, 20, 4)]
    pose = decide_pose(found)  # texture: sections half a block apart share no order
    assert (pose.mirror_axes, pose.rotation_degrees) == ((0, 1), 180)


def test_hippocampus_is_exclusive_and_has_an_order(shared_data: Path) -> None:
    found = fingerprint_of(shared_data, "Dataset004_Hippocampus")
    assert (len(found.cases), found.num_axes, found.unit) == (208, 3, "mm")
    assert decide_labels(found)[0].exclusive
    assert found.context is not None
    assert (found.context.cases, found.context.num_look_alikes) == (100, 0)
    splits = make_splits(found)
    assert splits.rule == "cases"
    assert sorted(len(fold.val) for fold in splits.folds) == [41, 41, 42, 42, 42]
    pose = decide_pose(found)
    assert pose.mirror_axes == ()
    assert 15 <= pose.rotation_degrees <= 30
    assert not decide_spacing(found, net_axes=3).resample


def test_nuclei_have_no_order(shared_data: Path) -> None:
    found = fingerprint_of(shared_data, "Nuclei")
    assert len(found.cases) == 100
    assert make_splits(found).rule == "cases"
    pose = decide_pose(found)
    assert (pose.mirror_axes, pose.rotation_degrees) == ((0, 1), 180)
    assert {rule.kind for rule in decide_normalization(found)[0]} == {"unit"}
