"""What predictions are written as: a dict of names, one small writer each.

A finished case has one file (or folder) for each format, so that what is missing is seen from the disk alone. Formats of one file for all
images (submission.csv, coco.json) keep a piece per case in OUT/.pieces and are joined from these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoseg.case import Case
from autoseg.errors import UsageError
from autoseg.infer.bits import BitMasks
from autoseg.infer.mask_files import MapFile, MaskFiles
from autoseg.infer.segmentation import Segmentation
from autoseg.io.atomic import replacing, replacing_folder
from autoseg.io.coco_writer import join_pieces, write_piece
from autoseg.io.images import read_image
from autoseg.io.names import escape_name
from autoseg.io.overlay import draw_overlay
from autoseg.io.polygons import write_polygons
from autoseg.io.probabilities import SUFFIX, write_probabilities
from autoseg.io.rle import decode_rle, encode_rle
from autoseg.io.submission import SubmissionRow, join_submissions, write_submission
from autoseg.io.writers import OVERLAY, output_suffix, prediction_output_name, write_map, write_masks
from autoseg.labels import LabelSpace, class_values

if TYPE_CHECKING:
    from autoseg.infer.decide import Kept

PIECES = ".pieces"


class Format(ABC):
    """A way to write a segmentation. A new one is a subclass and a row in FORMATS."""

    #: One line for the documentation.
    summary: str
    #: What it needs of probabilities, True for bytes; masks that were written before do not suffice then.
    needs_probabilities: Kept = False
    #: True if it holds images of two axes only.
    is_planar = False
    #: True if writing it is mostly Python's own work, for which its lock is held.
    holds_lock = False

    @abstractmethod
    def place(self, out: Path, case: Case, labels: LabelSpace, num_axes: int) -> Path:
        """The file or folder of a case."""

    @abstractmethod
    def write(self, path: Path, case: Case, segmentation: Segmentation) -> None:
        """Write `path` atomically."""

    def refusal(self, labels: LabelSpace, num_axes: int) -> str:
        """Why a plan's predictions cannot be written so; empty if they can."""
        return "it is for 2D images, and this plan is of volumes" if self.is_planar and num_axes != 2 else ""

    def is_written(self, path: Path, case: Case, labels: LabelSpace, num_axes: int) -> bool:
        """True if `path` is there and whole."""
        return path.is_file()


class JoinedFormat(Format):
    """A format of one file for all images."""

    is_planar = True
    #: The file's name, and the suffix of a case's piece.
    joined: str
    piece_suffix: str

    def place(self, out: Path, case: Case, labels: LabelSpace, num_axes: int) -> Path:
        return out / PIECES / f"{escape_name(case.name)}{self.piece_suffix}"

    @abstractmethod
    def join(self, path: Path, pieces: Sequence[tuple[Case, Path]], labels: LabelSpace) -> None:
        """Write the joined file from the cases' pieces, one at a time; ValueError if they do not fit together."""


class Masks(Format):
    """CASE/CLASS.png, or CASE/CLASS.nii.gz of volumes: 255 inside, 0 outside."""

    summary = "a mask for each class, CASE/CLASS.png or .nii.gz; the default where classes overlap"

    def place(self, out: Path, case: Case, labels: LabelSpace, num_axes: int) -> Path:
        return out / prediction_output_name(case, num_axes, exclusive=False)

    def files(self, path: Path, case: Case, labels: LabelSpace, num_axes: int) -> list[Path]:
        """One file per class, in their order."""
        suffix = output_suffix(case, num_axes, exclusive=False)
        return [path / f"{escape_name(name)}{suffix}" for name in labels.classes]

    def write(self, path: Path, case: Case, segmentation: Segmentation) -> None:
        geometry, array = segmentation.geometry, segmentation.array
        suffix = output_suffix(case, geometry.num_axes, exclusive=False)
        if isinstance(array, MaskFiles):
            with replacing_folder(path) as temporary:
                for number, name in enumerate(segmentation.labels.classes):
                    array.link(number, temporary / f"{escape_name(name)}{suffix}")
            return
        write_masks(path.parent, case.name, segmentation.masks(), geometry, like=case.images[0], suffix=suffix)

    def is_written(self, path: Path, case: Case, labels: LabelSpace, num_axes: int) -> bool:
        return all(file.is_file() for file in self.files(path, case, labels, num_axes))


class Map(Format):
    """CASE.png or CASE.nii.gz: the class's value in each pixel."""

    summary = "one map of the classes' numbers, CASE.png or .nii.gz; the default where they exclude each other"

    def place(self, out: Path, case: Case, labels: LabelSpace, num_axes: int) -> Path:
        return out / prediction_output_name(case, num_axes, exclusive=True)

    def write(self, path: Path, case: Case, segmentation: Segmentation) -> None:
        if isinstance(segmentation.array, MapFile) and path.suffix == ".png":
            with replacing(path) as temporary:
                segmentation.array.link(0, temporary)
            return
        write_map(path, segmentation.map(), segmentation.geometry, like=case.images[0])

    def refusal(self, labels: LabelSpace, num_axes: int) -> str:
        return "" if labels.exclusive else "the plan's classes overlap, and a map holds one class a pixel; masks holds them all"


class Rle(JoinedFormat):
    """submission.csv in the competition's form."""

    summary = "submission.csv: image_name,class,rle, run lengths along the rows from 1, as the HandBone competition wants them"
    joined, piece_suffix = "submission.csv", ".csv"
    holds_lock = True

    def write(self, path: Path, case: Case, segmentation: Segmentation) -> None:
        rows = []
        for name, mask in segmentation.masks():
            text = encode_rle(mask)
            # It is what is scored, and cannot be looked at: each is decoded again.
            if not np.array_equal(decode_rle(text, (mask.shape[0], mask.shape[1])), mask):
                raise AssertionError(f"the run lengths of {case.name}, {name} do not give its mask")
            rows.append(SubmissionRow(image_name=case.images[0].name, class_name=name, rle=text))
        write_submission(path, rows, segmentation.labels.classes)

    def join(self, path: Path, pieces: Sequence[tuple[Case, Path]], labels: LabelSpace) -> None:
        join_submissions(path, [(case.images[0].name, piece) for case, piece in pieces])


class Polygons(Format):
    """CASE.polygons.json in HandBone's form."""

    summary = "CASE.polygons.json: outlines in the HandBone competition's form; exact"
    is_planar = holds_lock = True

    def place(self, out: Path, case: Case, labels: LabelSpace, num_axes: int) -> Path:
        return out / f"{escape_name(case.name)}.polygons.json"

    def write(self, path: Path, case: Case, segmentation: Segmentation) -> None:
        write_polygons(path, case.images[0].name, segmentation.masks(), segmentation.geometry.shape)


class Coco(JoinedFormat):
    """coco.json: instances of all images."""

    summary = "coco.json: COCO's instances, an annotation for each class of an image, polygons or run lengths (holes); exact"
    joined, piece_suffix = "coco.json", ".coco.json"
    holds_lock = True

    def write(self, path: Path, case: Case, segmentation: Segmentation) -> None:
        write_piece(path, segmentation.masks(), segmentation.geometry.shape)

    def join(self, path: Path, pieces: Sequence[tuple[Case, Path]], labels: LabelSpace) -> None:
        names = [case.images[0].name for case, _ in pieces]
        if len(set(names)) < len(names):  # folders tell them apart
            names = [case.images[0].absolute().as_posix() for case, _ in pieces]
        join_pieces(path, [(name, piece) for name, (_, piece) in zip(names, pieces, strict=True)], labels.classes)


class Probabilities(Format):
    """CASE.prob."""

    summary = f"CASE{SUFFIX}: 8-bit probabilities, each class cut to its box, blosc2 (autoseg.io.probabilities reads it)"
    needs_probabilities = True

    def place(self, out: Path, case: Case, labels: LabelSpace, num_axes: int) -> Path:
        return out / f"{escape_name(case.name)}{SUFFIX}"

    def write(self, path: Path, case: Case, segmentation: Segmentation) -> None:
        assert segmentation.probabilities is not None, "they were asked for"
        write_probabilities(path, segmentation.probabilities)


class Npz(Format):
    """CASE.npz for numpy, in half precision."""

    summary = 'CASE.npz for numpy: "probabilities", float16 (K, (z,) y, x), and "classes"'
    needs_probabilities = "half"

    def place(self, out: Path, case: Case, labels: LabelSpace, num_axes: int) -> Path:
        return out / f"{escape_name(case.name)}.npz"

    def write(self, path: Path, case: Case, segmentation: Segmentation) -> None:
        assert segmentation.halves is not None, "they were asked for"
        with replacing(path) as temporary:
            np.savez_compressed(temporary, probabilities=segmentation.halves, classes=np.array(segmentation.labels.classes))


class Overlay(Format):
    """CASE.overlay.png to look at; of a volume the slice that holds most of the classes."""

    summary = "CASE.overlay.png to look at: classes coloured over the image, with a legend; of a volume its fullest slice"
    holds_lock = True

    def place(self, out: Path, case: Case, labels: LabelSpace, num_axes: int) -> Path:
        return out / f"{escape_name(case.name)}{OVERLAY}.png"

    def write(self, path: Path, case: Case, segmentation: Segmentation) -> None:
        image = read_image(case.images).array
        masks = segmentation.masks()
        if segmentation.geometry.num_axes == 3:
            fullest = int(sum(mask.sum(axis=(1, 2), dtype=np.int64) for _, mask in segmentation.masks()).argmax())
            image, masks = image[:, fullest], ((name, mask[fullest]) for name, mask in masks)
        picture = draw_overlay(image, masks, segmentation.labels.classes)
        with replacing(path) as temporary:
            _write_picture(temporary, picture)


def _write_picture(path: Path, picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    from PIL import Image

    with Image.fromarray(picture) as file:
        file.save(path)


FORMATS: dict[str, Format] = {
    "masks": Masks(),
    "map": Map(),
    "rle": Rle(),
    "polygons": Polygons(),
    "coco": Coco(),
    "probabilities": Probabilities(),
    "npz": Npz(),
    "overlay": Overlay(),
}


def needed_probabilities(names: Sequence[str]) -> Kept:
    """What these formats together need of probabilities."""
    needed = {FORMATS[name].needs_probabilities for name in names} - {False}
    return "both" if len(needed) > 1 else next(iter(needed), False)


def parse_formats(text: str) -> tuple[str, ...]:
    """Names of formats as typed, "masks,overlay", each once.

    Raises
    ------
    UsageError
        If one is not known.
    """
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    _check_known(names, text)
    return names


def _check_known(names: Sequence[str], text: str) -> None:
    for name in names:
        if name not in FORMATS:
            known = ", ".join(FORMATS)
            raise UsageError(f"--format {text}: {name or 'an empty name'} is not known; there are {known}, also several: masks,overlay.")


def choose_formats(names: Sequence[str] | None, labels: LabelSpace, num_axes: int, *, submits: bool) -> tuple[str, ...]:
    """The formats of a plan's predictions: those that are asked for, else masks or a map, and the submission if the data set has one.

    Raises
    ------
    UsageError
        If a format is not known, or cannot hold them.
    """
    if names is None:
        usual = "map" if labels.exclusive else "masks"
        return (usual, "rle") if submits and num_axes == 2 and not labels.exclusive else (usual,)
    _check_known(names, ",".join(names))
    for name in names:
        if why := FORMATS[name].refusal(labels, num_axes):
            raise UsageError(f"--format {name}: {why}.")
    return tuple(names)


def read_segmentation(out: Path, case: Case, labels: LabelSpace, num_axes: int) -> Segmentation:
    """A segmentation from the masks or the map that were written of it, without probabilities.

    Raises
    ------
    DataError
        If a file is damaged, or the image cannot be read.
    """
    from autoseg.io.truth import read_label_file, read_mask

    geometry = read_image(case.images, by_region=True).geometry
    masks, whole = Masks(), Map().place(out, case, labels, num_axes)
    if labels.exclusive and whole.is_file():
        return Segmentation(labels=labels, geometry=geometry, array=read_label_file(whole)[0])
    files = masks.files(masks.place(out, case, labels, num_axes), case, labels, num_axes)
    read = (read_mask(file, geometry, image=case.images[0], any_spacing=True) for file in files)
    if not labels.exclusive:
        bits = BitMasks.empty(labels.num_classes, geometry.shape)
        for k, mask in enumerate(read):
            bits.set(k, mask)
        return Segmentation(labels=labels, geometry=geometry, array=bits)
    array = np.zeros(geometry.shape, class_values(labels).dtype)
    for value, mask in zip(labels.values, read, strict=True):
        array[mask] = value
    return Segmentation(labels=labels, geometry=geometry, array=array)
