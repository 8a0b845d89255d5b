"""imagesTr and labelsTr: autoseg's own layout, and nnU-Net v2's raw one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from autoseg.case import Case, Dataset, Truth
from autoseg.errors import DataError
from autoseg.io.filenames import image_files, image_stem, image_suffix, natural_key
from autoseg.io.layouts.base import Layout
from autoseg.io.layouts.classes import found_classes
from autoseg.io.layouts.dataset_json import FILE_NAME, Description, read_description
from autoseg.io.names import unescape_name
from autoseg.io.series import is_series
from autoseg.io.truth import IGNORE

_CHANNEL = re.compile(r"(.+)_(\d{4})")


class FoldersLayout(Layout):
    """imagesTr/CASE.png or CASE_0000.png; labelsTr/CASE.png (a map) or labelsTr/CASE/CLASS.png (a mask per class)."""

    needs = (
        "imagesTr/CASE.png with labelsTr/CASE.png (a map of class numbers) or labelsTr/CASE/CLASS.png (a mask per class); "
        "nnU-Net's raw folders (dataset.json, imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz) as they are"
    )

    def recognises(self, folder: Path) -> bool:
        """True if there is a folder imagesTr."""
        return (folder / "imagesTr").is_dir()

    def read(self, folder: Path, name: str) -> Dataset:
        """The data set; without a dataset.json that names the classes, labels are looked through for them."""
        described = read_description(folder)
        train = _cases(folder, "Tr", described)
        if not train:
            raise DataError([f"{folder / 'imagesTr'}: holds no images" + _expected_ending(folder / "imagesTr", described)])
        truths = [case.truth for case in train if case.truth is not None]
        if not truths:
            raise DataError([f"{folder / 'labelsTr'}: holds no labels of the images in imagesTr; it needs {self.needs}"])
        classes, values, ignore_value = described.classes, described.values, described.ignore_value
        if classes is None:
            classes, values, ignore_value = found_classes(truths)
        elif ignore_value is None and any(IGNORE in truth.classes for truth in truths):
            ignore_value = max(values, default=0) + 1
        return Dataset(
            name=name,
            root=folder,
            layout="folders",
            classes=classes,
            values=values if any(truth.kind == "map" for truth in truths) else {},
            ignore_value=ignore_value,
            channels=described.channels,
            spacing=described.spacing,
            train=tuple(_grouped(case, described.groups) for case in train),
            test=tuple(_cases(folder, "Ts", described)),
        )

    def expected_truth(self, dataset: Dataset, case: Case) -> str:
        """labelsTr/CASE.png or labelsTr/CASE/."""
        labels, suffix = dataset.root / "labelsTr", image_suffix(case.images[0])
        return f"{labels / (case.name + suffix)} (a map) or {labels / case.name}/CLASS.png (masks)"

    def problems(self, dataset: Dataset) -> list[str]:
        """Labels without an image, labels given twice, channels that are missing, what dataset.json says about cases that are not there."""
        described = read_description(dataset.root)
        return (
            _label_problems(dataset, described)
            + _channel_problems(dataset, described)
            + [
                f"{dataset.root / FILE_NAME}: groups: there is no case {name!r} in imagesTr"
                for name in sorted(set(described.groups) - {case.name for case in dataset.train})
            ]
        )


def _cases(folder: Path, part: str, described: Description) -> list[Case]:
    """The cases of imagesTr or imagesTs, with their labels where there are any."""
    images = folder / f"images{part}"
    if not images.is_dir():
        return []
    labels = _labels(folder / f"labels{part}", described)
    files = _with_ending(image_files(images), described) + _series(images)
    by_case = group_channels(files, force=described.file_ending is not None, taken=labels)
    return [Case(name=name, images=paths, truth=labels[name][0] if name in labels else None) for name, paths in by_case]


def group_channels(files: Sequence[Path], *, force: bool, taken: Mapping[str, object] | None = None) -> list[tuple[str, tuple[Path, ...]]]:
    """(case, files) from file names: CASE.png, or CASE_0000.png, CASE_0001.png ... for channels.

    Parameters
    ----------
    files : sequence of Path
    force : bool
        True where nnU-Net's naming is declared. Else the numbers are taken for channels only if every case has the same ones, from 0
        on: in scan_0001.png, scan_0002.png they count images.
    taken : mapping, optional
        Names of labels; a label for "scan_0000" shows that its number is part of the name.
    """
    split = [_CHANNEL.fullmatch(image_stem(path)) for path in files]
    grouped: dict[str, list[tuple[int, Path]]] = {}
    for path, match in zip(files, split, strict=True):
        name, channel = (match[1], int(match[2])) if match else (image_stem(path), 0)
        grouped.setdefault(name, []).append((channel, path))
    numbers = {tuple(sorted(channel for channel, _ in members)) for members in grouped.values()}
    uniform = all(split) and numbers == {tuple(range(len(files) // max(len(grouped), 1)))}
    named = taken is not None and any(image_stem(path) in taken for path in files)
    if not force and (not uniform or named):
        return [(image_stem(path), (path,)) for path in files]
    in_order = sorted(grouped.items(), key=lambda item: natural_key(item[0]))
    return [(name, tuple(path for _, path in sorted(members))) for name, members in in_order]


def _series(folder: Path) -> list[Path]:
    """The folders that hold the DICOM slices of a volume."""
    below = sorted((p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")), key=lambda p: natural_key(p.name))
    return [path for path in below if is_series(path)]


def _labels(folder: Path, described: Description) -> dict[str, list[Truth]]:
    """Case -> its labels; more than one is an error that `problems` reports."""
    found: dict[str, list[Truth]] = {}
    if not folder.is_dir():
        return found
    for path in _with_ending(image_files(folder), described):
        found.setdefault(image_stem(path), []).append(Truth(kind="map", files=(path,)))
    for path in sorted((p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")), key=lambda p: natural_key(p.name)):
        masks = tuple(image_files(path))
        names = tuple(unescape_name(image_stem(mask)) for mask in masks)
        found.setdefault(path.name, []).append(Truth(kind="masks", files=masks, classes=names))
    return found


def _with_ending(files: list[Path], described: Description) -> list[Path]:
    ending = described.file_ending
    return files if ending is None else [path for path in files if path.name.endswith(ending)]


def _expected_ending(folder: Path, described: Description) -> str:
    others = sorted({image_suffix(path) for path in image_files(folder)})
    if described.file_ending is None or not others:
        return ""
    return f" that end in {described.file_ending}, as {FILE_NAME} says (file_ending); there are {', '.join(others)}"


def _grouped(case: Case, groups: Mapping[str, str]) -> Case:
    return Case(name=case.name, images=case.images, truth=case.truth, group=groups.get(case.name))


def _label_problems(dataset: Dataset, described: Description) -> list[str]:
    problems = []
    names = {case.name for case in dataset.train}
    for name, truths in _labels(dataset.root / "labelsTr", described).items():
        places = [str(truth.files[0].parent if truth.kind == "masks" and truth.files else (truth.files or (name,))[0]) for truth in truths]
        if len(truths) > 1:
            problems.append(f"{places[0]}: case {name} has labels twice, here and in {places[1]}; keep one of them")
        if name not in names:
            problems.append(f"{places[0]}: labels without an image; expected {dataset.root / 'imagesTr' / name} with an image suffix")
    return problems


def _channel_problems(dataset: Dataset, described: Description) -> list[str]:
    """Each case needs the files of all channels: one, or as many as the others have."""
    cases = (*dataset.train, *dataset.test)
    counts = [len(case.images) for case in cases]
    # One file may hold all channels (colours); else there is one for each that is declared.
    usual = len(described.channels) or max(counts) if max(counts) > 1 else 1
    problems = []
    for case in cases:
        numbers = [int(match[2]) if (match := _CHANNEL.fullmatch(image_stem(path))) else None for path in case.images]
        if described.file_ending is not None and numbers != list(range(usual)):
            held = ", ".join(path.name for path in case.images)
            expected = ", ".join(f"_{k:04d}" for k in range(usual))
            problems.append(f"{case.images[0].parent / case.name}: has the files {held}; expected one for each channel: {expected}")
    if described.num_training is not None and described.num_training > len(dataset.train):
        where = dataset.root / FILE_NAME
        problems.append(f"{where}: numTraining is {described.num_training}, imagesTr holds {len(dataset.train)} cases; are files missing?")
    return problems
