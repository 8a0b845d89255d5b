"""Data sets with wrong or unusual JSON of polygons: HandBone's, COCO's and LabelMe's."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.badinput.bad import BadData
from tests.badinput.images import png_of
from tests.io.make import make_coco, make_handbone, make_labelme, write_json

FILE = "train/outputs_json/ID001/image001_L.json"
OUTLINE = [[2, 1], [5, 1], [5, 4], [2, 4]]
BONES = ("Radius", "Ulna")


def polygons(points: Any, label: Any = "Ulna", kind: str = "poly_seg") -> Callable[[Path], object]:
    """One image whose second bone has these points; the first one is as it should be."""
    good = {"label": "Radius", "type": "poly_seg", "points": OUTLINE}

    def make(root: Path) -> None:
        write_json(make_handbone(root) / FILE, {"annotations": [good, {"label": label, "type": kind, "points": points}]})

    return make


def content(text: str | bytes, make_it: Callable[[Path], Path] = make_handbone, file: str = FILE) -> Callable[[Path], object]:
    """A file as these bytes."""
    data = text.encode() if isinstance(text, str) else text
    return lambda root: (make_it(root) / file).write_bytes(data)


def no_polygons(root: Path) -> None:
    (make_handbone(root) / FILE).unlink()


def no_image(root: Path) -> None:
    (make_handbone(root) / "train/DCM/ID001/image001_L.png").unlink()


def coco(**harm: Any) -> Callable[[Path], object]:
    """The first annotation changed."""
    return lambda root: make_coco(root, harm=harm)


def coco_without_image(root: Path) -> None:
    (make_coco(root) / "images/x2.png").unlink()


def labelme(**harm: Any) -> Callable[[Path], object]:
    """The first shape changed."""
    return lambda root: make_labelme(root, harm=harm)


def labelme_without_image(root: Path) -> None:
    (make_labelme(root) / "x1.png").unlink()


def mistyped_everywhere_else(root: Path) -> None:
    make_handbone(root, people=("ID001", "ID002", "ID003"))
    polygons(OUTLINE, label="ulna")(root)


HUGE_PICTURE = base64.b64encode(png_of(60_000, 60_000)).decode()
JSON, COCO, X1 = "is not valid JSON", "annotations/instances.json", "x1.json"
BOW_TIE = [[1, 1], [6, 4], [6, 1], [1, 4]]

OUTLINES: list[BadData] = [
    BadData(what="open: the last point is not the first", make=polygons(OUTLINE), said="No problems.", code=0),
    BadData(what="closed: the first point repeated", make=polygons([*OUTLINE, OUTLINE[0]]), said="No problems.", code=0),
    BadData(what="self-crossing (filled by the even-odd rule)", make=polygons(BOW_TIE), said="No problems.", code=0),
    BadData(what="partly outside (cut off)", make=polygons([[5, 1], [30, 1], [30, 4], [5, 4]]), said="No problems.", code=0),
    BadData(what="metadata of 3060x3060", make=make_handbone, said="No problems.", code=0),
    BadData(
        what="all outside of the image", make=polygons([[3000, 3000], [3010, 3000], [3010, 3010]]),
        file=FILE, said="lies outside the image of 8x6 pixels",
    ),
    BadData(
        what="beyond what a float can count", make=polygons([[-1e308, 0], [1e308, 3], [1e308, 5]]),
        file=FILE, said="beyond 1,000,000 pixels",
    ),
    BadData(what="no points", make=polygons([]), file=FILE, said="'Ulna' has no points"),
    BadData(what="points missing", make=polygons(None), file=FILE, said="'Ulna': points must be a list of [x, y]"),
    BadData(what="two points", make=polygons([[1, 1], [2, 2]]), file=FILE, said="a polygon needs at least 3 points [x, y], got 2"),
    BadData(what="one point three times", make=polygons([[1, 1]] * 3), file=FILE, said="fewer than 3 of its points differ"),
    BadData(what="words for numbers", make=polygons([["a", 1], [2, 2], [3, 1]]), file=FILE, said="points must be a list of [x, y]"),
    BadData(what="three numbers a point", make=polygons([[1, 1, 1]] * 4), file=FILE, said="points must be a list of [x, y]"),
    BadData(what="NaN", make=polygons([[1, 1], [float("nan"), 2], [3, 1]]), file=FILE, said="a coordinate is not finite"),
    BadData(what="a box", make=polygons(OUTLINE, kind="bbox"), file=FILE, said="'Ulna' has the type 'bbox', expected 'poly_seg'"),
    BadData(what="no label", make=polygons(OUTLINE, label=None), file=FILE, said="label must be a class name, got null"),
    BadData(what="mistyped class in one of six files", make=mistyped_everywhere_else, said="only one case holds the class ulna", code=0),
    BadData(what="cut short", make=content("{"), file=FILE, said=JSON),
    BadData(what="0 bytes", make=content(""), file=FILE, said=JSON),
    BadData(what="nested 100,000 deep", make=content("[" * 100_000), file=FILE, said="nested too deeply"),
    BadData(
        what="in another encoding", make=content('{"annotations": [], "name": "폐"}'.encode("cp949")),
        file=FILE, said="is no UTF-8 text",
    ),
    BadData(
        what="with a byte order mark, as Windows writes it", make=content(b'\xef\xbb\xbf{"annotations": []}'),
        said="No problems.", code=0,
    ),
    BadData(what="other content", make=content('{"shapes": []}'), file=FILE, said='has no list "annotations"'),
    BadData(what="missing", make=no_polygons, file="train/DCM/ID001/image001_L.png", said="has no labels; expected"),
    BadData(what="without an image", make=no_image, file=FILE, said="polygons without an image; expected"),
    BadData(
        what="COCO: cut short", make=content('{"images": [], "annotations": [], "categories": [', make_coco, COCO),
        file=COCO, said=JSON,
    ),
    BadData(what="COCO: image missing", make=coco_without_image, file=COCO, said="image 2: there is no image 'x2.png' in"),
    BadData(
        what="COCO: outside", make=coco(segmentation=[[20, 20, 30, 20, 30, 30]]),
        file=COCO, said="annotation 1 ('a'): x 20 to 30, y 20 to 30 lies outside the image",
    ),
    BadData(what="COCO: only a box", make=coco(segmentation=[]), file=COCO, said="annotation 1 ('a'): has no segmentation"),
    BadData(
        what="COCO: points on a line", make=coco(segmentation=[[1, 1, 3, 3, 5, 5]]),
        file=COCO, said="the polygon has no area: its points lie on a line",
    ),
    BadData(
        what="COCO: unknown category", make=coco(category_id=77),
        file=COCO, said="annotation 1: category_id 77 names no entry of category",
    ),
    BadData(
        what="COCO: run lengths that add up by overflow", make=coco(segmentation={"size": [6, 8], "counts": [*[2**62] * 4, 48]}),
        file=COCO, said="fill the 48 pixels",
    ),
    BadData(
        what="COCO: run lengths of another size", make=coco(segmentation={"size": [60000, 80000], "counts": [4800000000]}),
        file=COCO, said="run lengths are of the size [60000, 80000]",
    ),
    BadData(what="LabelMe: cut short", make=content('{"shapes": [], "imagePath": ', make_labelme, X1), file=X1, said=JSON),
    BadData(what="LabelMe: a line", make=labelme(shape_type="line"), file=X1, said="shape 0: 'b2' is a line, which has no area"),
    BadData(what="LabelMe: image missing", make=labelme_without_image, file=X1, said="imagePath: there is no image 'x1.png' in"),
    BadData(
        what="LabelMe: mask that says 60000 x 60000", make=labelme(shape_type="mask", mask=HUGE_PICTURE),
        file=X1, said="does not fit the image of 8x6 pixels",
    ),
]  # fmt: skip
