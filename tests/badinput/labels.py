"""Data sets with wrong or unusual labels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tests.badinput.bad import BadData
from tests.badinput.images import declared, loop, volumes
from tests.io.make import RAMP, make_maps, make_masks, square, write_json, write_picture, write_volume

MAP = "labelsTr/case1.png"


def labelled(array: NDArray[Any], **options: Any) -> Callable[[Path], object]:
    """labelsTr/case1.png as this array, the class x declared as 1."""
    return lambda root: write_picture(declared(root) / MAP, array, **options)


def cut_to(keep: int | None) -> Callable[[Path], object]:
    """labelsTr/case1.png cut."""

    def make(root: Path) -> None:
        path = declared(root) / MAP
        path.write_bytes(path.read_bytes()[:keep])

    return make


def without(*files: str) -> Callable[[Path], object]:
    """The data set without these."""

    def make(root: Path) -> None:
        declared(root)
        for file in files:
            (root / file).unlink()

    return make


def mixed_255(root: Path) -> None:
    write_picture(make_maps(root) / MAP, square(value=255))


def all_255(root: Path) -> None:
    make_maps(root, value=255)


def tif_labels(array: NDArray[Any]) -> Callable[[Path], object]:
    """labelsTr/case1.tif in the place of the png."""

    def make(root: Path) -> None:
        (declared(root) / MAP).unlink()
        tifffile.imwrite(root / "labelsTr/case1.tif", array, photometric="minisblack")

    return make


def jpg_labels(root: Path) -> None:
    (declared(root) / MAP).unlink()
    write_picture(root / "labelsTr/case1.jpg", square(value=200), quality=30)


def coloured_palette(root: Path) -> None:
    with Image.fromarray(square()) as picture:
        coloured = picture.convert("P")
        coloured.putpalette([0, 0, 0, 255, 0, 0])
        coloured.save(declared(root) / MAP)


def smoothed(root: Path) -> None:
    write_picture(make_masks(root) / "labelsTr/case1/a.png", RAMP)


def wrong_class(root: Path) -> None:
    write_json(make_masks(root) / "dataset.json", {"labels": ["a"]})


def mask_of_other_shape(root: Path) -> None:
    write_picture(make_masks(root) / "labelsTr/case1/a.png", square((7, 8), 255))


def two_masks(root: Path) -> None:
    write_picture(make_masks(root) / "labelsTr/case1/a.bmp", square(value=255))


def no_mask(root: Path) -> None:
    for path in (make_masks(root) / "labelsTr/case1").iterdir():
        path.unlink()


def labels_twice(root: Path) -> None:
    write_picture(declared(root) / "labelsTr/case1/x.png", square())


def mixed_kinds(root: Path) -> None:
    make_maps(root)
    (root / MAP).unlink()
    write_picture(root / "labelsTr/case1/x.png", square())


def antialiased_maps(root: Path) -> None:
    gradient = np.arange(100, dtype=np.uint8).reshape(10, 10)
    write_picture(root / "imagesTr/case1.png", gradient)
    write_picture(root / MAP, gradient)


def nothing_labelled(root: Path) -> None:
    declared(root)
    for k in range(3):
        write_picture(root / f"labelsTr/case{k}.png", square(value=0))


def absent_class(root: Path) -> None:
    make_maps(root, {"background": 0, "x": 1, "y": 2})


def moved_volume(root: Path) -> None:
    write_volume(volumes(root) / "labelsTr/case1.nii.gz", square((3, 6, 8)), origin=(40.0, 0.0, 0.0))


def other_spacing(root: Path) -> None:
    write_volume(volumes(root) / "labelsTr/case1.nii.gz", square((3, 6, 8)), spacing=(2.0, 1.0, 1.0))


def other_slices(root: Path) -> None:
    write_volume(volumes(root) / "labelsTr/case1.nii.gz", square((4, 6, 8)))


def negative(root: Path) -> None:
    write_volume(volumes(root) / "labelsTr/case1.nii.gz", -square((3, 6, 8)).astype(np.int16))


def loop_of_labels(root: Path) -> None:
    path = declared(root) / MAP
    path.unlink()
    path.symlink_to(path)


def both_wrong(root: Path) -> None:
    loop(root)
    write_picture(root / "labelsTr/case2.png", square(value=7))


UNDECLARED = "holds the undeclared value 7; declared are 0 (background), 1 (x)"
LABELS: list[BadData] = [
    BadData(
        what="mask of 0 and 255 where a map was declared", make=labelled(square(value=255)),
        file=MAP, said="is a mask of 0 and 255 where a map was declared",
    ),
    BadData(what="0 and 255 in one map, 0 and 1 in others, nothing declared", make=mixed_255, file=MAP, said="marks its class by 255"),
    BadData(what="0 and 255 in all maps, nothing declared", make=all_255, said="map of 3 cases; classes: 1", code=0),
    BadData(
        what="multi-hot png: a class a colour channel", make=labelled(np.stack([square(), square()[::-1], square()], -1)),
        file=MAP, said="is an image of 3 channels that differ",
    ),
    BadData(what="undeclared value", make=labelled(square(value=7)), file=MAP, said=UNDECLARED),
    BadData(what="map with soft edges, nothing declared", make=antialiased_maps, file=MAP, said="holds 100 values, too many for classes"),
    BadData(what="jpg map", make=jpg_labels, file="labelsTr/case1.jpg", said="holds the undeclared values"),
    BadData(what="mask with soft edges", make=smoothed, file="labelsTr/case1/a.png", said="is no binary mask: it holds 48 values"),
    BadData(
        what="fractions", make=tif_labels(RAMP / np.float32(2)),
        file="labelsTr/case1.tif", said="holds values that are no whole numbers",
    ),
    BadData(
        what="NaN", make=tif_labels(np.full((6, 8), np.nan, np.float32)),
        file="labelsTr/case1.tif", said="holds values that are no whole numbers",
    ),
    BadData(what="negative value", make=negative, file="labelsTr/case1.nii.gz", said="holds the undeclared value -1"),
    BadData(what="whole numbers as float", make=tif_labels(square().astype(np.float32)), said="No problems.", code=0),
    BadData(what="16-bit map", make=labelled(square().astype(np.uint16)), said="No problems.", code=0),
    BadData(what="map with a coloured palette", make=coloured_palette, said="No problems.", code=0),
    BadData(what="labels cut short", make=cut_to(-30), file=MAP, said="is truncated or damaged"),
    BadData(what="labels of 0 bytes", make=cut_to(0), file=MAP, said="is empty (0 bytes)"),
    BadData(what="labels of another size", make=labelled(square((6, 9))), file=MAP, said="has the shape (6, 9), its image (6, 8)"),
    BadData(
        what="mask of another size", make=mask_of_other_shape,
        file="labelsTr/case1/a.png", said="has the shape (7, 8), its image (6, 8)",
    ),
    BadData(
        what="labels with another number of slices", make=other_slices,
        file="labelsTr/case1.nii.gz", said="has the shape (4, 6, 8), its image (3, 6, 8)",
    ),
    BadData(
        what="labels that lie elsewhere", make=moved_volume,
        file="labelsTr/case1.nii.gz", said="lies elsewhere than its image: origin",
    ),
    BadData(
        what="labels of another spacing", make=other_spacing,
        file="labelsTr/case1.nii.gz", said="lies elsewhere than its image: spacing",
    ),
    BadData(what="image without labels", make=without(MAP), file="imagesTr/case1.png", said="has no labels; expected"),
    BadData(what="labels without an image", make=without("imagesTr/case1.png"), file=MAP, said="labels without an image; expected"),
    BadData(what="labels twice, a map and masks", make=labels_twice, file=MAP, said="case case1 has labels twice"),
    BadData(what="maps for some cases, masks for others", make=mixed_kinds, file="labelsTr/case0.png", said="is a map of labels, "),
    BadData(
        what="mask of an undeclared class", make=wrong_class,
        file="labelsTr/case1/b.png", said="the class 'b' is not declared; declared are a",
    ),
    BadData(
        what="two masks of a class", make=two_masks,
        file="labelsTr/case1/a.png", said="a.bmp is a mask of the class 'a', too; keep one",
    ),
    BadData(what="folder of masks without a mask", make=no_mask, said="case1: the labels hold no class", code=0),
    BadData(what="maps without any class", make=nothing_labelled, said="no case holds the class x; it cannot be learned", code=0),
    BadData(what="declared class that no case holds", make=absent_class, said="no case holds the class y; it cannot be learned", code=0),
    BadData(what="labels that are a link to themselves", make=loop_of_labels, file=MAP, said="is a link that leads nowhere"),
    BadData(what="two files wrong at once", make=both_wrong, file="labelsTr/case2.png", said="is a link that leads nowhere"),
]  # fmt: skip
