"""Predictions on disk: which there are, which truth belongs to them, and how one is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from autoseg.case import Case, Dataset, Truth
from autoseg.errors import UsageError
from autoseg.geometry import Geometry
from autoseg.infer.record import record_files
from autoseg.io.filenames import image_files, image_stem, natural_key
from autoseg.io.names import unescape_name
from autoseg.io.truth import read_mask, read_truth
from autoseg.io.writers import OVERLAY
from autoseg.labels import CodeMap, Mask
from autoseg.workspace import VALIDATION, fold_folders, fold_of


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The files of one predicted case.

    Parameters
    ----------
    case : str
    files : tuple of Path
        One integer map, or a mask per class.
    classes : tuple of str
        The class of each mask; empty for a map.
    fold : str
        That predicted it; empty if not known.
    """

    case: str
    files: tuple[Path, ...]
    classes: tuple[str, ...] = ()
    fold: str = ""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A prediction and the case whose truth it is measured against."""

    case: Case
    prediction: Prediction


def find_predictions(folder: Path, *, fold: str = "") -> list[Prediction]:
    """The predictions in a folder as `autoseg predict` writes them: CASE.png, CASE.nii.gz (maps), CASE/CLASS.png (masks).

    Files of other kinds and folders without masks are passed over, and so are overlays, which are for people (`infer.formats`). Where
    `predict` wrote both, the masks stand for the case: a map cannot hold what overlaps.
    """
    maps = [path for path in image_files(folder) if not image_stem(path).endswith(OVERLAY)]
    found = [Prediction(case=unescape_name(image_stem(path)), files=(path,), fold=fold) for path in maps]
    for path in sorted(
        (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")), key=lambda p: natural_key(p.name)
    ):
        if masks := tuple(image_files(path)):
            names = tuple(unescape_name(image_stem(mask)) for mask in masks)
            found.append(Prediction(case=unescape_name(path.name), files=masks, classes=names, fold=fold))
    if record_files(folder):
        masked = {prediction.case for prediction in found if prediction.classes}
        found = [prediction for prediction in found if prediction.classes or prediction.case not in masked]
    return found


def find_validation(run: Path) -> list[Prediction]:
    """The validation cases of a run's folds (results/NAME/PLAN/CONFIG-TRAINER) or of one fold's folder; none if it is neither."""
    folders = [folder for folder in (run, *fold_folders(run)) if (folder / VALIDATION).is_dir()]
    return [found for folder in folders for found in find_predictions(folder / VALIDATION, fold=fold_of(folder))]


def choose_truth(dataset: Dataset, predictions: Sequence[Prediction], *, validation: bool) -> tuple[Case, ...]:
    """The labelled cases that predictions are of: the training cases of a run's validation, else the part that holds more of them.

    Raises
    ------
    UsageError
        If there are none.
    """
    names = {prediction.case for prediction in predictions}
    train, test = (tuple(case for case in part if case.truth is not None) for part in (dataset.train, dataset.test))
    parts = [train] if validation else [test, train]
    chosen = max(parts, key=lambda cases: len(names & {case.name for case in cases}))
    if not names & {case.name for case in chosen}:
        known = [case.name for part in parts for case in part]
        raise UsageError(
            f"no prediction is of a labelled case of {dataset.root}: predicted are {some_of(sorted(names))}; "
            f"labelled are {some_of(known) if known else 'none'}. Name the folder of the labels: autoseg evaluate PRED TRUTH."
        )
    return chosen


def pair_up(predictions: Sequence[Prediction], cases: Sequence[Case]) -> tuple[list[Pair], list[str], list[str]]:
    """Pairs in the order of the predictions, the names of cases without a prediction, and of predictions without a case.

    Raises
    ------
    UsageError
        If a case was predicted twice, other than by two folds.
    """
    by_name = {case.name: case for case in cases}
    seen: set[tuple[str, str]] = set()
    for prediction in predictions:
        if (key := (prediction.case, prediction.fold)) in seen:
            raise UsageError(f"{prediction.files[0]}: {prediction.case} is there twice, as masks and as a map; remove one of them.")
        seen.add(key)
    pairs = [Pair(case=by_name[found.case], prediction=found) for found in predictions if found.case in by_name]
    predicted = {prediction.case for prediction in predictions}
    extra = list(dict.fromkeys(found.case for found in predictions if found.case not in by_name))
    return pairs, [case.name for case in cases if case.name not in predicted], extra


def check_classes(dataset: Dataset, predictions: Iterable[Prediction]) -> None:
    """UsageError if the masks of all cases together are not those of the data set's classes; a single case may lack some."""
    masks = [prediction for prediction in predictions if prediction.classes]
    if not masks:
        return
    predicted = {name for prediction in masks for name in prediction.classes}
    unknown, lacking = sorted(predicted - set(dataset.classes)), [name for name in dataset.classes if name not in predicted]
    if unknown or lacking:
        parts = [f"masks of {some_of(unknown)}, which the truth does not have"] if unknown else []
        parts += [f"no mask of {some_of(lacking)}"] if lacking else []
        where = masks[0].files[0].parent.parent
        raise UsageError(f"{where}: the predictions hold {' and '.join(parts)}. The truth's classes are {some_of(dataset.classes, 40)}.")


def read_prediction(prediction: Prediction, dataset: Dataset, case: Case, geometry: Geometry) -> CodeMap | Iterator[Mask]:
    """A prediction on the grid of its case: a code map, or the masks one at a time; a class without a file is empty.

    Raises
    ------
    DataError
        Naming the file: another grid than the case's image, a mask that is not binary, values that stand for no class.
    """
    if not prediction.classes:
        values = dataset.values or {value: (name,) for value, name in enumerate(dataset.classes, start=1)}
        said = replace(dataset, values=values, ignore_value=None)
        return read_truth(said, replace(case, truth=Truth(kind="map", files=prediction.files)), geometry)
    files = dict(zip(prediction.classes, prediction.files, strict=True))
    read = partial(read_mask, geometry=geometry, image=case.images[0], any_spacing=dataset.spacing is not None)
    return (read(files[name]) if name in files else np.zeros(geometry.shape, np.bool_) for name in dataset.classes)


def some_of(names: Sequence[str], num: int = 5) -> str:
    """The first names, and how many more there are.

    >>> some_of(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    return ", ".join(names[:num]) + (f" and {len(names) - num} more" if len(names) > num else "")
