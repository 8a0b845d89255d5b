"""Measuring one case: every number that a `CaseFacts` holds, and a sketch of it."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.case import Case, LoadedCase
from autoseg.fingerprint.facts import CaseFacts, ClassFacts, Intensity
from autoseg.fingerprint.sketch import SKETCH_SIZE, Sketch, shrink, shrink_classes
from autoseg.io.filenames import files_in
from autoseg.io.tif_regions import slabs_of
from autoseg.labels import CodeMap

#: Values drawn per case and channel for foreground statistics (nnU-Net draws 10,000).
FOREGROUND_SAMPLES = 10_000
#: Percentiles of float images come from at most this many values: a standard error of 0.0001 in rank.
PERCENTILE_SAMPLES = 1_000_000


def files_of(case: Case) -> tuple[Path, ...]:
    """All files of a case, images before labels."""
    images = tuple(file for image in case.images for file in files_in(image))
    return images + (case.truth.files if case.truth else ())


def identity_of_files(files: Iterable[Path], root: Path) -> str:
    """16 hex digits from the names below `root`, sizes and modification times of `files`; no content is read."""
    digest = hashlib.sha256()
    for path in files:
        name = path.relative_to(root) if path.is_relative_to(root) else path
        stat = path.stat() if path.exists() else None
        line = f"{name.as_posix()}\0{stat.st_size if stat else -1}\0{stat.st_mtime_ns if stat else -1}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def measure_loaded(loaded: LoadedCase, root: Path) -> tuple[CaseFacts, Sketch]:
    """Facts and sketch of a labelled case in memory."""
    image, labels = loaded.image, loaded.labels
    if labels is None:
        raise ValueError(f"case {loaded.case.name} has no labels; only labelled cases are measured")
    grey = len(image) == 3 and len(loaded.case.images) == 1 and all(np.array_equal(image[0], channel) for channel in image[1:])
    measured = image[:1] if grey else image
    sample = _foreground_sample(measured, labels, loaded.case.name)
    intensity = tuple(describe(channel) for channel in measured)
    foreground = tuple(describe(values) for values in sample) if sample.shape[1] else ()
    repeat = len(image) if grey else 1
    geometry = loaded.geometry
    facts = CaseFacts(
        name=loaded.case.name,
        group=loaded.case.group,
        identity=identity_of_files(files_of(loaded.case), root),
        shape=geometry.shape,
        spacing=geometry.spacing,
        unit=geometry.unit,
        channels=len(image),
        is_grey=grey,
        dtype=image.dtype.name,
        nonzero_box=nonzero_box(measured),
        intensity=intensity * repeat,
        foreground=foreground * repeat,
        classes=class_facts(labels),
        labelled=int(labels.codes.size - labels.ignored().sum()) if labels.ignore.any() else labels.codes.size,
    )
    cells = SKETCH_SIZE[geometry.num_axes]
    picture = np.asarray(np.mean([shrink(channel, cells) for channel in measured], axis=0), np.float32)
    return facts, Sketch(image=picture, classes=shrink_classes(labels, cells), foreground=np.repeat(sample, repeat, axis=0))


def describe(values: NDArray[Any]) -> Intensity:
    """Minimum to maximum of an array of any shape; exact for 8 and 16 bit, percentiles of a sample for wide floats."""
    if values.dtype in (np.uint8, np.uint16):
        return _describe_histogram(np.bincount(values.ravel()))
    flat = values.ravel()
    step = max(1, flat.size // PERCENTILE_SAMPLES)
    low, median, high = np.percentile(flat[::step], (0.5, 50, 99.5))
    return Intensity(
        minimum=float(flat.min()),
        maximum=float(flat.max()),
        mean=float(flat.mean(dtype=np.float64)),
        std=float(flat.std(dtype=np.float64)),
        percentile_00_5=float(low),
        median=float(median),
        percentile_99_5=float(high),
    )


def _describe_histogram(counts: NDArray[np.int64]) -> Intensity:
    total, grey = int(counts.sum()), np.arange(len(counts), dtype=np.float64)
    mean = float(counts @ grey) / total
    below = np.cumsum(counts)
    low, median, high = (int(np.searchsorted(below, share * total, side="left")) for share in (0.005, 0.5, 0.995))
    present = np.flatnonzero(counts)
    return Intensity(
        minimum=float(present[0]),
        maximum=float(present[-1]),
        mean=mean,
        std=float(np.sqrt(counts @ (grey - mean) ** 2 / total)),
        percentile_00_5=float(low),
        median=float(median),
        percentile_99_5=float(high),
    )


def nonzero_box(image: NDArray[Any]) -> tuple[tuple[int, int], ...]:
    """Half-open range per axis of the voxels where any channel differs from zero; the whole image if all are zero. Image (C, (z,) y, x)."""
    top, found = 0, []
    for slab in slabs_of(image):
        inside = slab[0] != 0
        for channel in slab[1:]:
            inside |= channel != 0
        box = bounding_box(inside)
        found += [((box[0][0] + top, box[0][1] + top), *box[1:])] if box is not None else []
        top += len(inside)
    if not found:
        return tuple((0, n) for n in image.shape[1:])
    return tuple((min(start for start, _ in axis), max(stop for _, stop in axis)) for axis in zip(*found, strict=True))


def bounding_box(mask: NDArray[np.bool_]) -> tuple[tuple[int, int], ...] | None:
    """Half-open range per axis of the true voxels; None if there are none."""
    box = []
    for axis in range(mask.ndim):
        hits = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        if not len(hits):
            return None
        box.append((int(hits[0]), int(hits[-1]) + 1))
    return tuple(box)


def class_facts(labels: CodeMap) -> tuple[ClassFacts | None, ...]:
    """Area, components, extent and centroid of each class; each is looked at only inside the boxes of its codes."""
    boxes = ndimage.find_objects(labels.codes, max_label=len(labels.table) - 1)
    found: list[ClassFacts | None] = []
    for k in range(labels.num_classes):
        members = [boxes[code - 1] for code in np.flatnonzero(labels.table[:, k])]
        inside = [box for box in members if box is not None]
        if not inside:
            found.append(None)
            continue
        box = tuple(slice(min(b[a].start for b in inside), max(b[a].stop for b in inside)) for a in range(labels.codes.ndim))
        found.append(_one_class(labels.table[:, k][labels.codes[box]], tuple(s.start for s in box)))
    return tuple(found)


def _one_class(mask: NDArray[np.bool_], start: tuple[int, ...]) -> ClassFacts:
    area = int(mask.sum())
    centroid = []
    for axis, length in enumerate(mask.shape):
        profile = mask.sum(axis=tuple(a for a in range(mask.ndim) if a != axis))
        centroid.append(start[axis] + float(profile @ np.arange(length)) / area)
    _, components = ndimage.label(mask, structure=np.ones((3,) * mask.ndim, np.bool_))
    return ClassFacts(area=area, components=int(components), extent=mask.shape, centroid=tuple(centroid))


def _foreground_sample(image: NDArray[Any], labels: CodeMap, name: str) -> NDArray[np.float32]:
    """Values at random foreground positions, (C, N) with N up to `FOREGROUND_SAMPLES`; the draw depends on the case's name alone."""
    foreground = np.asarray(labels.table.any(axis=1))
    where = np.flatnonzero(foreground[labels.codes.ravel()])
    if len(where) > FOREGROUND_SAMPLES:
        where = np.random.default_rng(zlib.crc32(name.encode("utf-8", "surrogateescape"))).choice(where, FOREGROUND_SAMPLES)
    return image.reshape(len(image), -1)[:, where].astype(np.float32)
