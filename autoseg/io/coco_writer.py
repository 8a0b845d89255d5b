"""Predictions as a COCO file of instances: one annotation for each class of an image.

Each image's entries are a piece of their own, written when the image is done; the file is joined from the pieces, one at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.io.atomic import replacing, write_text
from autoseg.io.coco import encode_counts
from autoseg.io.outlines import trace_outlines
from autoseg.labels import Mask


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def write_piece(path: Path, masks: Iterable[tuple[str, Mask]], shape: tuple[int, ...]) -> None:
    """One image's annotations; masks are bool, (y, x), and are read one at a time. Empty ones have none."""
    annotations = [annotation(mask, k) for k, (_, mask) in enumerate(masks, 1) if mask.any()]
    write_text(path, _dumps({"height": shape[0], "width": shape[1], "annotations": annotations}))


def annotation(mask: Mask, category: int) -> dict[str, Any]:
    """A mask as an annotation without id and image: polygons along its pixels, or run lengths if it has holes. Both are exact."""
    outlines = trace_outlines(mask)
    holes = any(outline.holes for outline in outlines)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
    return {
        "category_id": category,
        "segmentation": encode_counts(mask) if holes else [outline.outer.ravel().tolist() for outline in outlines],
        "area": int(mask.sum()),
        "bbox": [int(value) for value in box],
        "iscrowd": 0,
    }


def join_pieces(path: Path, pieces: Sequence[tuple[str, Path]], classes: Sequence[str]) -> None:
    """Write the file of instances from (file_name, piece) pairs, atomically. Images and annotations are numbered from 1."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        categories = [{"id": k, "name": name} for k, name in enumerate(classes, 1)]
        stream.write(f'{{"categories":{_dumps(categories)},\n"images":[')
        number = 0
        for k, (name, piece) in enumerate(pieces, 1):
            content = json.loads(piece.read_text(encoding="utf-8"))
            image = {"id": k, "file_name": name, "width": content["width"], "height": content["height"]}
            stream.write(("," if k > 1 else "") + "\n" + _dumps(image))
        stream.write('],\n"annotations":[')
        for k, (_, piece) in enumerate(pieces, 1):
            for each in json.loads(piece.read_text(encoding="utf-8"))["annotations"]:
                number += 1
                stream.write(("," if number > 1 else "") + "\n" + _dumps({"id": number, "image_id": k, **each}))
        stream.write("]}\n")
