"""The Dice to expect of what a selection predicts, where it is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.infer.certainty import Certainty, certainty_of_bytes
from autoseg.io.probabilities import read_probabilities
from autoseg.labels import LabelSpace
from autoseg.postprocess import Cleaning, clean_map, clean_mask
from autoseg.select.calibrating import Weighed, calibrate_selection, weigh_case
from autoseg.select.search import select
from autoseg.select.selection import Selection
from tests.select.make import selection_of
from tests.select.planted import Floats, Masks, Planted, disjoint, plant, right, shared, sure, two_of_a_class, unsure, with_specks


def weigh(planted: Planted, selection: Selection, number: int = 0) -> Weighed:
    """One case."""
    judges = planted.judges
    found = weigh_case(judges.setup, selection, judges.members[0].labels, judges.cases[number])
    assert isinstance(found, Weighed)
    return found


def chosen(planted: Planted, **changes: Any) -> Selection:
    """All members with equal weights, and what is given."""
    members = planted.judges.members
    return selection_of(Path(), members[0].labels, *(member.name for member in members), **changes)


def dice_of(mask: Masks, truth: Masks) -> float:
    return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))


def test_a_case_of_two_members_with_thresholds_and_post_processing(tmp_path: Path) -> None:
    planted = plant(tmp_path, [unsure, unsure], num_cases=2)
    one, two = (read_probabilities(file).astype(float) for file in planted.judges.cases[0].files)
    mean = np.rint((one + two) / 2)
    found = weigh(planted, chosen(planted, thresholds=(140, 128), cleanings=(Cleaning(), Cleaning(largest=True))))
    raw = [mean[0] >= 140, mean[1] >= 128]
    clean = [raw[0], clean_mask(raw[1], Cleaning(largest=True))]
    heard = np.where(mean > 1, mean, 0) / 255
    assert found.certainty.area.tolist() == [mask.sum() for mask in clean]
    assert found.certainty.self_dice == pytest.approx([2 * p[m].sum() / (p.sum() + m.sum()) for p, m in zip(heard, raw, strict=True)])
    assert found.certainty.largest[1] == 1.0
    assert found.certainty.largest[0] < 1.0
    assert found.dice == pytest.approx([dice_of(mask, truth) for mask, truth in zip(clean, planted.truths[0], strict=True)])


def test_a_hard_vote_is_as_sure_as_its_members_mean(tmp_path: Path) -> None:
    planted = plant(tmp_path, [unsure] * 3, num_cases=2)
    stored = [read_probabilities(file) for file in planted.judges.cases[0].files]
    found = weigh(planted, chosen(planted, kind="hard"))
    votes = np.sum([plane >= 128 for plane in stored], axis=0) >= 2
    mean = np.rint(np.mean(stored, axis=0))
    heard = np.where(mean > 1, mean, 0) / 255
    assert found.certainty.area.tolist() == votes.sum(axis=(1, 2)).tolist()
    assert found.certainty.self_dice == pytest.approx([2 * p[m].sum() / (p.sum() + m.sum()) for p, m in zip(heard, votes, strict=True)])


def test_exclusive_classes(tmp_path: Path) -> None:
    planted = plant(tmp_path, [shared(unsure)] * 2, truth=disjoint, exclusive=True, num_cases=2)
    cleanings = (Cleaning(min_size=6), Cleaning())
    found = weigh(planted, chosen(planted, cleanings=cleanings))
    mean = np.rint(sum(read_probabilities(file).astype(float) for file in planted.judges.cases[0].files) / 2)
    winner = np.concatenate([255 - mean.sum(axis=0, keepdims=True), mean]).argmax(axis=0)
    cleaned = clean_map(winner, cleanings)
    assert found.certainty.area.tolist() == [(cleaned == 1).sum(), (cleaned == 2).sum()]
    assert found.dice == pytest.approx([dice_of(cleaned == k + 1, planted.truths[0][k]) for k in range(2)])


def test_a_member_alone_shows_what_its_run_shows(tmp_path: Path) -> None:
    planted = plant(tmp_path, [unsure], num_cases=2)
    found = weigh(planted, chosen(planted)).certainty
    expected = certainty_of_bytes(read_probabilities(planted.judges.cases[0].files[0]), exclusive=False)
    for name in ("area", "self_dice", "largest", "shared"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()


def test_dice_is_undefined_where_nothing_is_there_nor_left(tmp_path: Path) -> None:
    def specks(_: np.random.Generator, masks: Masks) -> Floats:
        said = masks.copy()
        said[0] = False
        said[0, 0, 0] = True
        return sure(said)

    def empty(rng: np.random.Generator) -> Masks:
        masks = two_of_a_class(rng)
        masks[0] = False
        return masks

    planted = plant(tmp_path, [specks], truth=empty, num_cases=2)
    kept, dropped = (weigh(planted, chosen(planted, cleanings=(cleaning, Cleaning()))) for cleaning in (Cleaning(), Cleaning(min_size=2)))
    assert kept.dice.tolist() == [0.0, 1.0]
    assert np.isnan(dropped.dice[0])
    assert dropped.certainty.area[0] == 0


def test_damaged_files_are_named(tmp_path: Path) -> None:
    planted = plant(tmp_path, [right], num_cases=2)
    file = planted.judges.cases[0].files[0]
    file.write_bytes(b"nothing")
    found = weigh_case(planted.judges.setup, chosen(planted), planted.judges.members[0].labels, planted.judges.cases[0])
    assert isinstance(found, list)
    assert str(file) in found[0]


def test_what_is_left_once_it_is_cleaned_is_expected(tmp_path: Path) -> None:
    """Specks that a smallest size removes: of the run alone a lower Dice is to be expected than of what is chosen, which is right."""
    selection = select(plant(tmp_path, [with_specks], truth=two_of_a_class).judges)
    assert selection.cleanings[0].min_size > 1
    calibration = selection.calibration
    assert calibration is not None
    assert (calibration.cases, calibration.folds, calibration.classes) == (20, 5, selection.classes)
    seen = Certainty(area=np.full(2, 60.0), self_dice=np.full(2, 0.9), largest=np.full(2, 0.5), shared=np.zeros(2))
    assert calibration.expect(seen).dice == pytest.approx([1.0, 1.0], abs=0.02)


def test_a_run_that_predicts_as_it_is_keeps_its_own_calibration(tmp_path: Path) -> None:
    selection = select(plant(tmp_path, [right], num_cases=10).judges)
    assert not selection.changes_masks
    assert selection.calibration is None


def test_two_cases_are_too_few() -> None:
    shown = Certainty(area=np.ones(1), self_dice=np.ones(1), largest=np.ones(1), shared=np.zeros(1))
    assert calibrate_selection([Weighed(certainty=shown, dice=np.ones(1))] * 2, ["0", "1"], ("a",)) is None


def test_a_calibration_of_other_classes_is_refused(tmp_path: Path) -> None:
    selection = select(plant(tmp_path, [unsure] * 3).judges)
    assert selection.calibration is not None
    with pytest.raises(ValueError, match="calibration must be of the same classes"):
        selection_of(Path(), LabelSpace(classes=("a", "c"), exclusive=False), "p/r", calibration=selection.calibration)
