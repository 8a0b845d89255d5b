"""A case to look at in a browser: the image, the truth and the prediction, small, in one JSON object.

The image is a WebP picture; of a volume the slices lie in rows in one picture. Truth and prediction are code maps (`labels.CodeMap`) of the
same grid, deflated: a browser that alters what it reads back from pictures (colour management, protection against fingerprints) alters
no label.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autoseg.case import Case, Dataset
from autoseg.errors import AutosegError
from autoseg.evaluate.predictions import Prediction, read_prediction
from autoseg.io.atomic import write_text
from autoseg.io.cases import read_case
from autoseg.io.filenames import files_in
from autoseg.io.overlay import ENDS
from autoseg.labels import CodeMap, Mask, encode_masks

#: Longest edge of a 2D image, of a slice, and the most slices.
EDGE, SLICE_EDGE, SLICES = 1024, 224, 40
QUALITY = 75
#: In place of classes: unlabelled pixels, which are no errors.
IGNORED = -1

Bytes = NDArray[np.uint8]


#: Raised when the same files give another picture.
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A case to be drawn: with a prediction, a truth, or both.

    Parameters
    ----------
    dataset : Dataset
        Its lists of cases may be empty.
    case : Case
    prediction : Prediction or None
    kept : Path or None
        Folder of pictures that were drawn before; None draws anew and keeps nothing.
    """

    dataset: Dataset
    case: Case
    prediction: Prediction | None
    kept: Path | None = None

    def file(self) -> Path | None:
        """Where the picture is kept: a name for the content of all files that it is made of, as far as size and time tell."""
        if self.kept is None:
            return None
        truth = self.case.truth.files if self.case.truth is not None else ()
        paths = [*self.case.images, *truth, *(self.prediction.files if self.prediction is not None else ())]
        files = [file for path in paths for file in files_in(path)]
        stamps = [(str(file), status.st_size, status.st_mtime_ns) for file in files for status in [file.stat()]]
        meant = (self.dataset.classes, self.dataset.values, self.dataset.ignore_value, self.dataset.spacing)
        told = (VERSION, EDGE, SLICE_EDGE, SLICES, QUALITY, *meant, stamps)
        return self.kept / f"{hashlib.sha256(repr(told).encode()).hexdigest()[:32]}.json"


def draw_or_recall(wish: Wish) -> tuple[dict[str, Any] | str, Path | None]:
    """`draw_case`, or what it returned before for the same files; and where that is kept, None if it cannot be."""
    path = None
    try:
        path = wish.file()
        if path is not None and path.is_file():
            drawn: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return drawn, path
    except (OSError, ValueError):
        # A file of the case's that is gone: drawing says which. A picture that is damaged: drawn again.
        pass
    result = draw_case(wish)
    if path is not None and not isinstance(result, str):
        try:
            write_text(path, json.dumps(result))
        except OSError:
            path = None
    return result, path


def draw_case(wish: Wish) -> dict[str, Any] | str:
    """The JSON object of a case, or a sentence that says why there is none.

    Returns
    -------
    dict
        size: [slices, height, width]; slices: their numbers in the image; aspect: height of a pixel over its width; image: data URL,
        columns: slices in a row of it; truth, pred: {table: classes of each code, bytes: of a code, codes: base64 of deflate} or null.
    """
    try:
        loaded = read_case(wish.dataset, wish.case)
        predicted = None
        if wish.prediction is not None:
            predicted = as_codes(read_prediction(wish.prediction, wish.dataset, wish.case, loaded.geometry), loaded.geometry.shape)
    except (AutosegError, OSError, ValueError, MemoryError) as error:
        return f"{wish.case.name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    image = loaded.image if loaded.image.ndim == 4 else loaded.image[:, None]
    spacing = loaded.geometry.spacing[-2:]
    grid = sample_grid(image.shape[1:])
    picture, columns = as_picture(image, grid)
    size = [len(index) for index in grid]
    step_y, step_x = (full / small for full, small in zip(image.shape[2:], size[1:], strict=True))
    return {
        "size": size,
        "slices": [int(z) for z in grid[0]],
        "aspect": round(step_y * spacing[0] / (step_x * spacing[1]), 5),
        "columns": columns,
        "image": "data:image/webp;base64," + base64.b64encode(picture).decode(),
        "truth": None if loaded.labels is None else pack(loaded.labels, grid),
        "pred": None if predicted is None else pack(predicted, grid),
    }


def as_codes(read: CodeMap | Iterable[Mask], shape: tuple[int, ...]) -> CodeMap:
    """A prediction as a code map."""
    return read if isinstance(read, CodeMap) else encode_masks(read, shape)


def sample_grid(shape: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """The indices of (z, y, x) that are shown, at the centres of equal steps."""
    edge = EDGE if shape[0] == 1 else SLICE_EDGE
    factor = min(1.0, edge / max(shape[1:]))
    sizes = [min(shape[0], SLICES), *(max(1, round(n * factor)) for n in shape[1:])]
    return [((np.arange(m) + 0.5) * n / m).astype(np.int64) for n, m in zip(shape, sizes, strict=True)]


def as_picture(image: NDArray[Any], grid: list[NDArray[np.int64]]) -> tuple[bytes, int]:
    """The slices of an image (C, z, y, x) as WebP, and how many stand in a row.

    Three channels of bytes are colours; of others the first one is shown, grey, cut at its percentiles `io.overlay.ENDS`.
    """
    is_colour = len(image) == 3 and image.dtype == np.uint8
    low, high = (0.0, 255.0) if is_colour else window(image[0])
    slices = []
    size = (len(grid[2]), len(grid[1]))
    for z in grid[0]:
        plane = np.moveaxis(image[:, z], 0, -1) if is_colour else image[0, z]
        scaled = np.clip((plane.astype(np.float32) - low) / (high - low) * 255, 0, 255)
        with Image.fromarray(np.rint(scaled).astype(np.uint8)) as full:
            slices.append(np.asarray(full.resize(size, Image.Resampling.BOX).convert("RGB")))
    columns = math.ceil(math.sqrt(len(slices)))
    sheet = np.zeros((math.ceil(len(slices) / columns) * size[1], columns * size[0], 3), np.uint8)
    for k, plane in enumerate(slices):
        top, left = k // columns * size[1], k % columns * size[0]
        sheet[top : top + size[1], left : left + size[0]] = plane
    stream = io.BytesIO()
    with Image.fromarray(sheet) as picture:
        picture.save(stream, "WEBP", quality=QUALITY, method=3)
    return stream.getvalue(), columns


def window(channel: NDArray[Any]) -> tuple[float, float]:
    """The values that become black and white; the second is above the first."""
    some = channel.reshape(-1)[:: max(1, channel.size // 1_000_000)]
    low, high = (float(value) for value in np.percentile(some, ENDS))
    if high <= low:
        low, high = float(channel.min()), float(channel.max())
    return low, max(high, low + 1e-12 * max(1.0, abs(low)))


def pack(labels: CodeMap, grid: list[NDArray[np.int64]]) -> dict[str, Any]:
    """A code map on the shown grid, without the codes that are not seen there."""
    codes = labels.codes if labels.codes.ndim == 3 else labels.codes[None]
    seen, small = np.unique(codes[np.ix_(*grid)], return_inverse=True)
    size = 1 if len(seen) <= 256 else 2
    table = [[IGNORED] if labels.ignore[code] else np.flatnonzero(labels.table[code]).tolist() for code in seen]
    raw = small.astype("<u1" if size == 1 else "<u2").tobytes()
    return {"table": table, "bytes": size, "codes": base64.b64encode(zlib.compress(raw, 9)).decode()}
