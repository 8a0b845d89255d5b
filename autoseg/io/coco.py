"""COCO's instances as JSON: images, categories, annotations of polygons or run lengths.

Run lengths go down the columns (Fortran order), zeros first; in the compressed form each is a signed number in letters, 5 bits a letter,
from the fourth on as the difference to the one two before (maskApi.c of the COCO API, rleFrString).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.errors import DataError, FileFormatError
from autoseg.io.json_files import read_plain_json
from autoseg.io.regions import Region, fill_outline
from autoseg.labels import Mask

Annotation = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class CocoImage:
    """An entry of "images"; width and height are 0 if the file does not say them."""

    id: int | str
    file_name: str
    width: int = 0
    height: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class CocoFile:
    """A file of instances.

    Parameters
    ----------
    path : Path
    images : dict of id -> CocoImage
    categories : dict of id -> name
        In the file's order.
    annotations : dict of image id -> list of annotations
    """

    path: Path
    images: dict[int | str, CocoImage]
    categories: dict[int | str, str]
    annotations: dict[int | str, list[Annotation]]

    def regions(self, image: int | str) -> list[Region]:
        """The annotations of an image; crowds (iscrowd) are regions of their class like others."""
        return [
            Region(
                label=self.categories[annotation["category_id"]],
                where=f"annotation {annotation.get('id', k)}",
                draw=partial(draw_segmentation, segmentation=annotation.get("segmentation")),
            )
            for k, annotation in enumerate(self.annotations.get(image, ()))
        ]


def is_coco(content: object) -> bool:
    """True for the content of a file of instances: lists of images, annotations and categories with ids."""
    keys = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        return False
    named = (("images", "file_name"), ("categories", "name"))
    return all("id" in item and name in item for key, name in named for item in content[key][:1] if isinstance(item, dict))


def read_coco(path: Path) -> CocoFile:
    """A file of instances; the last few are kept in memory, as each holds many images.

    Raises
    ------
    DataError
        Naming the file and every entry that cannot be used: ids that are unknown or come twice, missing names.
    """
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, mtime_ns: int, size: int) -> CocoFile:
    try:
        content = read_plain_json(path)
    except FileFormatError as error:
        raise DataError([str(error)]) from None
    return coco_of(path, content)


def coco_of(path: Path, content: Any) -> CocoFile:
    """`read_coco`, of a file's content that was read already."""
    if not is_coco(content):
        raise DataError([f"{path}: is no COCO file of instances: it needs the lists images, annotations and categories"])
    problems: list[str] = []
    images, categories = _by_id(content["images"], "file_name", problems), _by_id(content["categories"], "name", problems)
    annotations: dict[int | str, list[Annotation]] = {}
    for k, annotation in enumerate(content["annotations"]):
        given = annotation if isinstance(annotation, dict) else {}
        for key, known in (("image_id", images), ("category_id", categories)):
            if not isinstance(given.get(key), int | str) or given[key] not in known:
                problems.append(f"annotation {given.get('id', f'at place {k}')}: {key} {given.get(key)!r} names no entry of {key[:-3]}")
        if not problems:
            annotations.setdefault(given["image_id"], []).append(given)
    if problems:
        raise DataError([f"{path}: {problem}" for problem in problems])
    sizes = {key: (_whole(item.get("width")), _whole(item.get("height"))) for key, item in images.items()}
    return CocoFile(
        path=path,
        images={
            key: CocoImage(id=key, file_name=item["file_name"], width=sizes[key][0], height=sizes[key][1]) for key, item in images.items()
        },
        categories={key: item["name"] for key, item in categories.items()},
        annotations=annotations,
    )


def _by_id(items: Sequence[Any], name: str, problems: list[str]) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {}
    for k, item in enumerate(items):
        if not isinstance(item, dict) or not isinstance(item.get("id"), int | str) or not isinstance(item.get(name), str) or not item[name]:
            problems.append(f"entry {k} with {name!r} needs an id and a {name}, got {str(item)[:60]}")
        elif item["id"] in found:
            problems.append(f"two entries with {name!r} have the id {item['id']!r}")
        else:
            found[item["id"]] = item
    return found


def _whole(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def draw_segmentation(mask: Mask, segmentation: object) -> None:
    """Set the pixels of a segmentation: a list of polygons [x, y, x, y, ...], or run lengths {"size": [h, w], "counts": ...}.

    Raises
    ------
    ValueError
        Saying what is wrong with it.
    """
    if isinstance(segmentation, dict):
        mask |= decode_counts(segmentation, (mask.shape[0], mask.shape[1]))
        return
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("has no segmentation; a box alone says nothing of the pixels in it")
    for polygon in segmentation:
        try:
            points = np.array(polygon, np.float64)
        except (TypeError, ValueError):
            points = np.zeros(1)
        if points.ndim != 1 or points.size % 2:
            raise ValueError("a polygon must be a list of numbers x, y, x, y, ...")
        fill_outline(mask, points.reshape(-1, 2))


def decode_counts(segmentation: Mapping[str, Any], shape: tuple[int, int]) -> Mask:
    """COCO's run lengths, plain or compressed, as a mask of `shape`; ValueError if they do not fill it exactly."""
    if segmentation.get("size") != list(shape):
        raise ValueError(f"run lengths are of the size {segmentation.get('size')}, height and width of the image are {list(shape)}")
    counts = segmentation.get("counts")
    try:
        lengths = _decompress(counts) if isinstance(counts, str) else np.array(counts, np.int64)
    except (TypeError, ValueError, OverflowError, IndexError):
        raise ValueError("counts must be whole numbers, or text of the COCO API") from None
    size = shape[0] * shape[1]
    # One by one first: lengths near 2**63 sum to anything by overflow, and numpy repeats them into memory that is not its own.
    if lengths.ndim != 1 or (lengths < 0).any() or (lengths > size).any() or lengths.sum() != size:
        raise ValueError(f"run lengths must be from 0 on and fill the {size} pixels, they sum to {sum(lengths.ravel().tolist())}")
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return np.asarray(flat.reshape(shape[::-1]).T)


def encode_counts(mask: Mask) -> dict[str, Any]:
    """A mask as compressed run lengths, {"size": [h, w], "counts": text}."""
    flat = np.concatenate([[False], mask.T.ravel(), [True]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    changes = changes[changes < mask.size]
    return {"size": list(mask.shape), "counts": _compress(np.diff(np.concatenate([[0], changes, [mask.size]])))}


def _decompress(text: str) -> NDArray[np.int64]:
    lengths: list[int] = []
    place = 0
    while place < len(text):
        value, shift, letter = 0, 0, 32
        while letter & 32:
            letter = ord(text[place]) - 48
            if not 0 <= letter < 64:
                raise ValueError(text[place])
            value |= (letter & 31) << shift
            shift += 5
            place += 1
        if letter & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
    return np.array(lengths, np.int64)


def _compress(lengths: NDArray[np.int64]) -> str:
    letters = []
    for k, length in enumerate(lengths.tolist()):
        value = length - (int(lengths[k - 2]) if k > 2 else 0)
        more = True
        while more:
            letter = value & 31
            value >>= 5
            more = value != (-1 if letter & 16 else 0)
            letters.append(chr(letter + 48 + 32 * more))
    return "".join(letters)
