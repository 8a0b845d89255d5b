"""submission.csv in the HandBone competition's form: image_name,class,rle."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from autoseg.io.atomic import replacing, write_text

HEADER = ("image_name", "class", "rle")


@dataclass(frozen=True, kw_only=True)
class SubmissionRow:
    """One class of one image.

    Parameters
    ----------
    image_name : str
        The bare file name with its suffix, such as "image1661130828152_R.png".
    class_name : str
    rle : str
        Row-major run lengths with starts from 1; empty for an empty mask.
    """

    image_name: str
    class_name: str
    rle: str


def write_submission(path: Path, rows: Iterable[SubmissionRow], classes: Sequence[str]) -> None:
    """Write the file atomically, sorted by image, then by the order of `classes`.

    Raises
    ------
    ValueError
        If an image and class come twice, or a class is not among `classes`.
    """
    place = {name: k for k, name in enumerate(classes)}
    table = list(rows)
    unknown = {row.class_name for row in table} - set(place)
    if unknown:
        raise ValueError(f"rows of the classes {sorted(unknown)}; the data set has {list(classes)}")
    table.sort(key=lambda row: (row.image_name, place[row.class_name]))
    for first, second in pairwise(table):
        if (first.image_name, first.class_name) == (second.image_name, second.class_name):
            raise ValueError(f"two rows for {first.image_name}, {first.class_name}: image names must be unique in a submission")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows((row.image_name, row.class_name, row.rle) for row in table)
    write_text(path, text.getvalue())


def join_submissions(path: Path, pieces: Sequence[tuple[str, Path]]) -> None:
    """Write one submission from those of single images, (image_name, file) pairs, atomically; sorted by image, read one at a time.

    Raises
    ------
    ValueError
        If two have the same image_name.
    """
    ordered = sorted(pieces)
    for (first, _), (second, _) in pairwise(ordered):
        if first == second:
            raise ValueError(f"two images are called {first}: image names must be unique in a submission")
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        stream.write(",".join(HEADER) + "\n")
        for _, piece in ordered:
            stream.write(piece.read_text(encoding="utf-8").partition("\n")[2])


def read_submission(path: Path) -> list[SubmissionRow]:
    """The rows of a submission file, in its order.

    Raises
    ------
    ValueError
        If the header or the number of columns is another.
    """
    with path.open(encoding="utf-8", newline="") as handle:
        limit = csv.field_size_limit(2**31 - 1)  # a mask of single pixels exceeds the default of 128 KiB
        try:
            lines = list(csv.reader(handle))
        finally:
            csv.field_size_limit(limit)
    if not lines or tuple(lines[0]) != HEADER or any(len(line) != len(HEADER) for line in lines):
        raise ValueError(f"{path} is no submission: every line must have the columns {','.join(HEADER)}")
    return [SubmissionRow(image_name=image, class_name=name, rle=rle) for image, name, rle in lines[1:]]
