"""Wrong labels among right ones come first, with the right words."""

import numpy as np

from autoseg.evaluate.contradictions import Evidence, weigh
from autoseg.evaluate.label_check import JUDGED_FROM, Finding, find_contradictions, weak_classes
from autoseg.labels import Mask, encode_masks

SHAPE = (32, 32)
CLASSES = ("Capitate", "Hamate", "Lunate")


def box(top: int, left: int, height: int = 6, width: int = 6) -> Mask:
    mask = np.zeros(SHAPE, np.bool_)
    mask[top : top + height, left : left + width] = True
    return mask


RIGHT = (box(2, 2), box(2, 20), box(20, 10))
EMPTY = np.zeros(SHAPE, np.bool_)


def evidence(number: int, labels: tuple[Mask, ...], predicted: tuple[Mask, ...] = RIGHT, byte: int = 230) -> Evidence:
    stored = np.stack([np.where(mask, np.uint8(byte), np.uint8(0)) for mask in predicted])
    return weigh(f"case{number:02d}", stored, encode_masks(labels, SHAPE), exclusive=False, fold=str(number % 5))


def among_right_ones(*wrong: Evidence) -> list[Finding]:
    """Findings of ten well predicted cases and some others."""
    return find_contradictions([*(evidence(number, RIGHT) for number in range(10)), *wrong], CLASSES)


def test_right_labels_give_no_finding() -> None:
    assert among_right_ones() == []


def test_swapped_classes_are_one_finding() -> None:
    (found,) = among_right_ones(evidence(10, (RIGHT[1], RIGHT[0], RIGHT[2])))
    assert found.case == "case10"
    assert set(found.classes) == {"Capitate", "Hamate"}
    assert found.reason == "Capitate and Hamate look swapped"
    assert found.dice == 0.0
    assert found.strength > 0.7


def test_a_missing_label() -> None:
    (found,) = among_right_ones(evidence(10, (RIGHT[0], EMPTY, RIGHT[2])))
    assert found.classes == ("Hamate",)
    assert found.reason == "prediction has Hamate at x 22, y 4 (36 pixels), label is empty"


def test_a_shifted_label_with_its_distance() -> None:
    (found,) = among_right_ones(evidence(10, (RIGHT[0], RIGHT[1], box(23, 14))))
    assert found.classes == ("Lunate",)
    assert found.reason == "label of Lunate lies 5.0 pixels off the prediction"  # 3 down, 4 to the right


def test_a_label_under_another_name() -> None:
    (found,) = among_right_ones(evidence(10, (EMPTY, RIGHT[0] | RIGHT[1], RIGHT[2])))
    assert set(found.classes) == {"Capitate", "Hamate"}
    assert found.reason.startswith("what is predicted as Capitate is labelled Hamate, and no label is Capitate")


def test_a_place_that_its_own_prediction_fits_is_not_taken() -> None:
    # Hamate is predicted where Capitate is labelled and predicted, and its own label lies elsewhere: the net has mixed them up.
    (found,) = among_right_ones(evidence(10, RIGHT, (RIGHT[0], RIGHT[0], RIGHT[2])))
    assert found.classes == ("Hamate",)
    assert found.reason == "label of Hamate lies 18.0 pixels off the prediction"


def test_half_a_label_and_too_large_a_label() -> None:
    (half,) = among_right_ones(evidence(10, (box(2, 2, 6, 2), *RIGHT[1:])))
    assert half.reason == "label of Capitate covers 33% of the prediction"
    (large,) = among_right_ones(evidence(10, (box(2, 2, 6, 16), *RIGHT[1:])))
    assert large.reason == "label of Capitate reaches beyond the prediction, which covers 38% of it"


def test_a_label_where_nothing_is_predicted_needs_cases_that_lack_the_class() -> None:
    # Hamate is rare: where nothing is predicted mostly nothing is there, and a label there is a surprise.
    rare = [evidence(number, (RIGHT[0], EMPTY, RIGHT[2]), (RIGHT[0], EMPTY, RIGHT[2])) for number in range(10)]
    wrong = evidence(10, RIGHT, (RIGHT[0], EMPTY, RIGHT[2]))
    (found,) = find_contradictions([*rare, wrong], CLASSES)
    assert found.reason == "label has Hamate at x 22, y 4 (36 pixels), prediction is empty"
    # Where the class is always there, the net has missed it.
    assert among_right_ones(wrong) == []


def test_an_unsure_prediction_accuses_less_than_a_sure_one() -> None:
    doubted = [evidence(number, (box(2, 4), *RIGHT[1:]), byte=140) for number in range(20, 30)]
    sure, unsure = evidence(10, (box(2, 8), *RIGHT[1:])), evidence(30, (box(2, 8), *RIGHT[1:]), byte=140)
    ranked = among_right_ones(*doubted, sure, unsure)
    assert ranked[0].case == "case10"
    strengths = {found.case: found.strength for found in ranked}
    assert strengths["case10"] > strengths.get("case30", 0.0)


def test_few_cases_are_judged_by_the_probabilities_alone() -> None:
    (found,) = find_contradictions([evidence(0, (RIGHT[1], RIGHT[0], RIGHT[2]))], CLASSES)
    assert found.expected == 2 * 230 / (230 + 255)


def test_a_class_that_half_of_the_cases_miss_is_weak() -> None:
    half = (box(2, 2, 6, 3), *RIGHT[1:])  # of Capitate: Dice 2/3 with RIGHT
    third = (box(2, 2, 6, 2), *RIGHT[1:])  # 2 * 12 / (36 + 12) = 1/2
    missed = [evidence(number, RIGHT, third) for number in range(6)]
    found = [evidence(number, RIGHT) for number in range(6, 11)]
    assert weak_classes([*missed, *found], CLASSES) == {"Capitate": 0.5}
    assert weak_classes([*missed[:5], *found], CLASSES) == {}  # the median of five halves and five ones is 3/4
    assert weak_classes([evidence(0, RIGHT, half)], CLASSES) == {}
    assert weak_classes([evidence(0, half)], CLASSES) == {}
    assert JUDGED_FROM == 2 / 3


def test_the_weakest_comes_first_and_what_is_never_there_is_not_weak() -> None:
    rare = (RIGHT[0], RIGHT[1], EMPTY)
    predicted = (box(2, 2, 6, 2), box(20, 20), EMPTY)
    assert weak_classes([evidence(0, rare, predicted)], CLASSES) == {"Hamate": 0.0, "Capitate": 0.5}
