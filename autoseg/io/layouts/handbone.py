"""The HandBone competition's download: train/DCM/ID001/*.png, train/outputs_json/ID001/*.json, test/DCM."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from autoseg.case import Case, Dataset, Truth
from autoseg.errors import DataError
from autoseg.io.filenames import image_stem, natural_key, nested_image_files
from autoseg.io.layouts.base import Layout
from autoseg.io.polygons import read_polygons

#: The competition's classes in its order.
HANDBONE_CLASSES = (
    *(f"finger-{k}" for k in range(1, 20)),
    *("Trapezium", "Trapezoid", "Capitate", "Hamate", "Scaphoid", "Lunate", "Triquetrum", "Pisiform", "Radius", "Ulna"),
)


class HandBoneLayout(Layout):
    """One polygon per class in a JSON file per image; the folder of a person is the group of its images, without one DICOM's PatientID."""

    needs = "train/DCM/PERSON/IMAGE.png with train/outputs_json/PERSON/IMAGE.json (polygons), and test/DCM/PERSON/IMAGE.png"

    def recognises(self, folder: Path) -> bool:
        """True if train/DCM and train/outputs_json exist."""
        return (folder / "train" / "DCM").is_dir() and (folder / "train" / "outputs_json").is_dir()

    def read(self, folder: Path, name: str) -> Dataset:
        """The data set; all JSON files are looked through for their classes."""
        train = _cases(folder / "train" / "DCM", folder / "train" / "outputs_json")
        if not train:
            raise DataError([f"{folder / 'train' / 'DCM'}: holds no images; it needs {self.needs}"])
        return Dataset(
            name=name,
            root=folder,
            layout="handbone",
            classes=_classes(train, folder),
            train=tuple(train),
            test=tuple(_cases(folder / "test" / "DCM", None)),
            submission="rle-csv",
        )

    def asks_dicom(self, dataset: Dataset) -> bool:
        """Images that lie in no person's folder may be DICOM's, whatever the others are."""
        return True

    def expected_truth(self, dataset: Dataset, case: Case) -> str:
        """train/outputs_json/PERSON/IMAGE.json"""
        return str(_json_file(case.images[0], dataset.root / "train" / "DCM", dataset.root / "train" / "outputs_json"))

    def problems(self, dataset: Dataset) -> list[str]:
        """JSON files without an image."""
        labels = dataset.root / "train" / "outputs_json"
        used = {path for case in dataset.train if case.truth is not None for path in case.truth.files}
        left = sorted(path for path in labels.rglob("*.json") if not path.name.startswith(".") and path not in used)
        images = dataset.root / "train" / "DCM"
        return [f"{path}: polygons without an image; expected {images / path.relative_to(labels).with_suffix('.png')}" for path in left]


def name_uniquely(files: Sequence[Path], root: Path) -> list[str]:
    """A case name for each file below `root`: its stem, with the folders before it wherever two stems are equal."""
    stems = [image_stem(path) for path in files]
    counts = Counter(stems)
    folders = (path.relative_to(root).parts[:-1] for path in files)
    return ["_".join((*above, stem)) if counts[stem] > 1 else stem for above, stem in zip(folders, stems, strict=True)]


def _cases(images: Path, labels: Path | None) -> list[Case]:
    if not images.is_dir():
        return []
    files = list(nested_image_files(images))
    cases = []
    for path, name in zip(files, name_uniquely(files, images), strict=True):
        truth = None
        if labels is not None and (polygons := _json_file(path, images, labels)).is_file():
            truth = Truth(kind="polygons", files=(polygons,))
        folders = path.relative_to(images).parts[:-1]
        cases.append(Case(name=name, images=(path,), truth=truth, group=folders[0] if folders else None))
    return cases


def _json_file(image: Path, images: Path, labels: Path) -> Path:
    # By the image's own path: the "filename" inside ends in .jpg though the image is a png.
    return labels / image.parent.relative_to(images) / f"{image_stem(image)}.json"


def _classes(cases: Sequence[Case], folder: Path) -> tuple[str, ...]:
    """The labels found, in the competition's order if they are its own, else in natural order."""
    found: set[str] = set()
    error: DataError | None = None
    for case in cases:
        for path in case.truth.files if case.truth is not None else ():
            try:
                found.update(polygon.label for polygon in read_polygons(path))
            except DataError as problem:
                error = problem  # the check of every case names them all
    if not found:
        raise error or DataError([f"{folder / 'train' / 'outputs_json'}: holds no polygons of the images in train/DCM"])
    if found <= set(HANDBONE_CLASSES) and len(found) == len(HANDBONE_CLASSES):
        return HANDBONE_CLASSES
    return tuple(sorted(found, key=natural_key))
