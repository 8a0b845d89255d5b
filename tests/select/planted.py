"""Members whose out-of-fold probabilities are planted: which candidate must win is known beforehand. What they say and what is true."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.case import Case, Dataset, Truth
from autoseg.io.probabilities import write_probabilities
from autoseg.labels import LabelSpace
from autoseg.select.counting import JudgedCase
from autoseg.select.members import Member
from autoseg.select.search import Judges
from autoseg.workspace import CHECKPOINT
from tests.io.make import write_picture

SIZE = 24
NUM_CASES = 20
NUM_FOLDS = 5

Masks = NDArray[np.bool_]
Floats = NDArray[np.float64]
#: Random numbers and a case's true masks (K, y, x) -> probabilities (K, y, x)
Say = Callable[[np.random.Generator, Masks], Floats]


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A data set, its members, and what is known of them."""

    judges: Judges
    truths: list[Masks]


def squares(rng: np.random.Generator, num_classes: int, *, edge: int = 8) -> Masks:
    """A square of each class in its own place; exclusive classes have room beside each other up to three."""
    masks = np.zeros((num_classes, SIZE, SIZE), np.bool_)
    for k in range(num_classes):
        y, x = rng.integers(1, SIZE - edge - 1), rng.integers(1, SIZE - edge - 1)
        masks[k, y : y + edge, x : x + edge] = True
    return masks


def plant(
    folder: Path,
    members: Sequence[Say],
    *,
    truth: Callable[[np.random.Generator], Masks] = lambda rng: squares(rng, 2),
    exclusive: bool = False,
    num_cases: int = NUM_CASES,
    seed: int = 0,
) -> Planted:
    """Write images, masks and the members' probabilities."""
    rng = np.random.default_rng(seed)
    truths = [truth(rng) for _ in range(num_cases)]
    classes = tuple("abcdef"[: len(truths[0])])
    labels = LabelSpace(classes=classes, exclusive=exclusive, values=tuple(range(1, len(classes) + 1)) if exclusive else ())
    found = [make_member(folder, f"default/2d-{m}", labels) for m in range(len(members))]
    cases = []
    for n, masks in enumerate(truths):
        case, fold = write_case(folder / "raw", f"case{n:02}", masks, classes), str(n % NUM_FOLDS)
        files = tuple(member.stored(fold, case.name) for member in found)
        for say, file in zip(members, files, strict=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_probabilities(file, np.clip(say(rng, masks), 0, 1))
        cases.append(JudgedCase(case=case, fold=fold, files=files))
    dataset = Dataset(name="planted", root=folder / "raw", layout="folders", classes=classes)
    return Planted(judges=Judges(dataset=dataset, members=found, cases=cases), truths=truths)


def make_member(folder: Path, name: str, labels: LabelSpace) -> Member:
    """A member with a checkpoint file for each fold that holds nothing but its name."""
    folds = {str(f): folder / "results" / name / f"fold{f}" for f in range(NUM_FOLDS)}
    for fold in folds.values():
        fold.mkdir(parents=True)
        (fold / CHECKPOINT).write_bytes(str(fold).encode())
    return Member(name=name, folds=folds, labels=labels)


def write_case(raw: Path, name: str, masks: Masks, classes: Sequence[str]) -> Case:
    """An image, and a mask file for each class."""
    files = tuple(raw / "labelsTr" / name / f"{label}.png" for label in classes)
    for path, mask in ((raw / "imagesTr" / f"{name}.png", np.zeros(masks.shape[1:], np.bool_)), *zip(files, masks, strict=True)):
        write_picture(path, mask.astype(np.uint8) * 255)
    return Case(name=name, images=(raw / "imagesTr" / f"{name}.png",), truth=Truth(kind="masks", files=files, classes=tuple(classes)))


def sure(masks: Masks) -> Floats:
    """Probabilities of a member that is right and confident."""
    return np.where(masks, 0.95, 0.02)


def right(_: np.random.Generator, masks: Masks) -> Floats:
    """A member that is always right."""
    return sure(masks)


def noise(rng: np.random.Generator, masks: Masks) -> Floats:
    """A member that says anything."""
    return rng.random(masks.shape)


def unsure(rng: np.random.Generator, masks: Masks) -> Floats:
    """Right on average, with an error of its own in each pixel: the mean of several is better, and better than their majority."""
    return np.where(masks, 0.65, 0.35) + rng.normal(0, 0.3, masks.shape)


def rash(rng: np.random.Generator, masks: Masks) -> Floats:
    """Hardly sure where right, and in each sixth pixel wrong and certain of it: one such outweighs two others in the mean."""
    wrong = rng.random(masks.shape) < 1 / 6
    return np.where(wrong, np.where(masks, 0.0, 1.0), np.where(masks, 0.6, 0.4))


def with_specks(rng: np.random.Generator, masks: Masks) -> Floats:
    """Class 0 has single pixels about."""
    specks = (rng.random(masks[0].shape) < 0.04) & ~ndimage.binary_dilation(masks[0], iterations=2)
    return sure(np.concatenate([masks[:1] | specks, masks[1:]]))


def two_of_a_class(rng: np.random.Generator) -> Masks:
    """Class 0 is two squares of one size."""
    masks = squares(rng, 2)
    masks[0] = False
    masks[0, 2:8, 2:8] = masks[0, 14:20, 12:18] = True
    return masks


def disjoint(rng: np.random.Generator) -> Masks:
    """Two classes that exclude each other."""
    masks = np.zeros((2, SIZE, SIZE), np.bool_)
    for k, place in enumerate((1, 13)):
        y = int(rng.integers(1, 14))
        masks[k, y : y + 8, place : place + 8] = True
    return masks


def shared(say: Say) -> Say:
    """A member's probabilities of exclusive classes: with the background they have the sum 1."""

    def softly(rng: np.random.Generator, masks: Masks) -> Floats:
        background = ~np.logical_or.reduce(masks)
        scores: Floats = np.clip(say(rng, np.stack([background, *masks])), 0, 1)
        return np.asarray((scores / scores.sum(axis=0).clip(1e-6))[1:])

    return softly
