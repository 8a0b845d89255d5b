"""predict -i: the cases in a file or folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from autoseg.case import Case, Dataset
from autoseg.errors import UsageError
from autoseg.io.coco import coco_of, is_coco
from autoseg.io.filenames import IMAGE_SUFFIXES, image_files, image_stem, image_suffix, is_dicom, natural_key
from autoseg.io.json_files import read_plain_json
from autoseg.io.labelme import holds_picture, is_labelme
from autoseg.io.layouts.coco import cases_of
from autoseg.io.layouts.folders import group_channels
from autoseg.io.layouts.handbone import name_uniquely
from autoseg.io.layouts.labelme import labelme_files
from autoseg.io.layouts.lookup import ImageLookup, case_names
from autoseg.io.series import is_series


def find_inputs(path: Path, dataset: Dataset | None = None) -> list[Case]:
    """The images to predict.

    Parameters
    ----------
    path : Path
        An image file, or a folder of them; folders inside (test/DCM/ID040/...) are looked through. Names with nnU-Net's channel
        suffixes (CASE_0000.png, CASE_0001.png) make one case. A folder of DICOM slices is one volume (`io.series`). A LabelMe file stands
        for its image, which lies where imagePath says or inside the file, and a COCO file for all the images that it names.
    dataset : Dataset, optional
        Whose training images tell whether each channel is a file of its own.

    Raises
    ------
    UsageError
        Naming the path: it does not exist, is no image, or holds none.
    DataError
        If slices of several series lie in one folder, or an image that a COCO file names is not there.
    FileFormatError
        If a file is no JSON.
    """
    if path.is_file() and path.suffix.lower() == ".json":
        return _annotated(path)
    if path.is_file():
        if not image_suffix(path) and not is_dicom(path):
            raise UsageError(f"-i {path}: is of no known image format; known are {' '.join(IMAGE_SUFFIXES)}")
        return [Case(name=image_stem(path).removesuffix("_0000"), images=(path,))]
    if not path.is_dir():
        raise UsageError(f"-i {path}: there is no such file or folder")
    files = list(_nested_images(path))
    if not files and (inside := [file for file in labelme_files(path) if holds_picture(file)]):
        return [
            Case(name=name, images=(file,))
            for file, name in zip(inside, case_names([file.with_suffix("") for file in inside], path), strict=True)
        ]
    if not files:
        raise UsageError(f"-i {path}: the folder holds no image ({' '.join(IMAGE_SUFFIXES)})")
    if files == [path]:
        return [Case(name=path.resolve().name, images=(path,))]
    several = dataset is not None and any(len(case.images) > 1 for case in dataset.train)
    if len({file.parent for file in files}) == 1:
        cases = [Case(name=name, images=images) for name, images in group_channels(files, force=several)]
        _refuse_twins(path, cases)
        return cases
    return [Case(name=name, images=(file,)) for file, name in zip(files, name_uniquely(files, path), strict=True)]


def passed_over(path: Path, cases: Sequence[Case]) -> list[Path]:
    """The files in a folder, and below it, that are no images of the cases found in it; hidden ones and those of a series do not count."""
    used = {image for case in cases for image in case.images}
    if not path.is_dir() or path in used:
        return []
    return sorted(file for file in _visible_files(path) if file not in used and not used.intersection(file.parents))


def _visible_files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _visible_files(path)
        elif not path.is_dir():
            yield path


def _refuse_twins(path: Path, cases: Sequence[Case]) -> None:
    """UsageError if two images have one name: the predictions of one would replace those of the other."""
    first: dict[str, Case] = {}
    for case in cases:
        if (twin := first.setdefault(case.name, case)) is not case:
            raise UsageError(
                f"-i {path}: {twin.images[0].name} and {case.images[0].name} are both called {case.name}, and so would their predictions "
                "be; rename one of them, or predict them from two folders."
            )


def _annotated(path: Path) -> list[Case]:
    """The images of another tool's JSON file."""
    content = read_plain_json(path)
    if is_coco(content):
        root = path.parent.parent if path.parent.name == "annotations" else path.parent
        cases = [replace(case, truth=None) for case in cases_of([coco_of(path, content)], root)]
        if not cases:
            raise UsageError(f"-i {path}: names no image (its list of images is empty)")
        return cases
    if not is_labelme(content):
        raise UsageError(f"-i {path}: is JSON that names no image: neither LabelMe's (shapes, imagePath) nor COCO's (images, categories)")
    beside = path.with_name(PurePosixPath(content["imagePath"].replace("\\", "/")).name or path.name)
    if beside != path and beside.is_file():
        return [Case(name=path.stem, images=(beside,))]
    if content.get("imageData"):
        return [Case(name=path.stem, images=(path,))]
    try:
        return [Case(name=path.stem, images=(ImageLookup(path.parent).find(content["imagePath"], [path.parent]),))]
    except ValueError as error:
        raise UsageError(f"-i {path}: imagePath: {error}, and imageData is empty; put the image beside the file") from None


def _nested_images(folder: Path) -> Iterator[Path]:
    """The image files in a folder and below it, folder by folder, and each folder that is a series of slices."""
    if is_series(folder):
        yield folder
    else:
        yield from image_files(folder)
    below = (p for p in folder.iterdir() if p.is_dir() and not p.is_symlink() and not p.name.startswith("."))
    for path in sorted(below, key=lambda p: natural_key(p.name)):
        yield from _nested_images(path)
