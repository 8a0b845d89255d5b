"""The HandBone phantom on disk, in the competition's files: X-rays of both hands of every person, outlines as JSON, a table of persons."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autoseg.demo.case import PARTS, SIDES, Scene, draw_hands, outlines, render
from autoseg.demo.xlsx import workbook
from autoseg.errors import UsageError
from autoseg.io.atomic import remove_leftovers, write_fleeting
from autoseg.io.pool import in_pool

Row = tuple[str | int | float, ...]

NAME = "HandBone"
SIZES = (64, 4096)
# More would need IDs of four digits, which the competition does not have: 734 and 264 persons are ID001 to ID998.
PEOPLE = (1, 734)
_VERSION = 1  # raised when the same parameters give other files
_FIRST_MS = 1661130000000  # the competition's pictures are named by the millisecond they were taken


@dataclass(frozen=True, kw_only=True)
class PhantomFiles:
    """Where the phantom lies: raw is the data set's folder, truth holds the test outlines; num_train and num_test count pictures."""

    raw: Path
    train_images: Path
    train_outlines: Path
    test_images: Path
    truth: Path
    meta_data: Path
    num_people: int
    num_test_people: int
    num_train: int
    num_test: int


@dataclass(frozen=True, kw_only=True)
class _Record:
    """What the files on disk were made with."""

    version: int
    people: int
    test_people: int
    size: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One person's files."""

    part: str
    index: int
    person_id: str
    images: Path
    outlines: Path
    size: int
    seed: int


def write_phantom(
    root: Path, *, people: int = 40, size: int = 512, seed: int = 0, workers: int = 2, progress: Callable[[int, int], None] | None = None
) -> PhantomFiles:
    """Write the phantom of people training persons, and 0.36 times as many test persons (at least 2), into root/raw and root/truth.

    size: pixels a side, 64 to 4096. A person is a function of (seed, part, number) alone: neither workers nor people changes a
    picture, and size only its sampling. progress is called with (pictures done, pictures in all). Files that the same call left
    behind are kept, so an interrupted call can be repeated. workers > 1 starts processes by spawn: a script that calls this needs the
    usual `if __name__ == "__main__"`.

    Raises ValueError for parameters out of range, and UsageError if root holds another phantom or a real HandBone.
    """
    _check("size", size, *SIZES)
    _check("people", people, *PEOPLE)
    _check("seed", seed, 0, 2**63 - 1)
    _check("workers", workers, 1, 256)
    files = _files(Path(root), people)
    _claim(files, _Record(version=_VERSION, people=people, test_people=files.num_test_people, size=size, seed=seed))
    tasks = list(_tasks(files, size=size, seed=seed))
    rows: dict[str, Row] = {}
    for done, (person_id, row) in enumerate(_run(tasks, workers), start=1):
        rows[person_id] = row
        if progress is not None:
            progress(len(SIDES) * done, len(SIDES) * len(tasks))
    table: list[Row] = [("ID", "Age", "Sex", "Height", "Weight"), *(rows[task.person_id] for task in tasks)]
    _write(files.meta_data, workbook(table))
    return files


def _check(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}; allowed is a whole number from {low} to {high}.")


def _files(root: Path, people: int) -> PhantomFiles:
    raw, tests = root / "raw" / NAME, max(2, round(0.36 * people))
    return PhantomFiles(
        raw=raw, train_images=raw / "train" / "DCM", train_outlines=raw / "train" / "outputs_json", test_images=raw / "test" / "DCM",
        truth=root / "truth" / NAME, meta_data=raw / "meta_data.xlsx", num_people=people, num_test_people=tests,
        num_train=len(SIDES) * people, num_test=len(SIDES) * tests,
    )  # fmt: skip


def _claim(files: PhantomFiles, record: _Record) -> None:
    """Make sure that what lies in the folders was made with the same parameters, and leave the record of them."""
    path = files.truth / "phantom.json"
    if path.exists():
        try:
            found = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            found = {}
        wanted = asdict(record)
        if found != wanted:
            differ = ", ".join(f"{key} {found.get(key)} there, {wanted[key]} asked for" for key in wanted if found.get(key) != wanted[key])
            raise UsageError(
                f"{path} says that another phantom lies there: {differ}. Choose another folder (-w), or remove that phantom, "
                f"{files.raw} and {files.truth}."
            )
    elif files.raw.exists() and any(files.raw.iterdir()):
        raise UsageError(f"{files.raw} holds files that are no phantom ({path} is missing). Choose another folder.")
    else:
        _write(path, json.dumps(asdict(record), indent=1).encode())


def _tasks(files: PhantomFiles, *, size: int, seed: int) -> Iterator[_Task]:
    for number in range(files.num_people + files.num_test_people):
        test = number >= files.num_people
        person_id = f"ID{number + 1:03d}"
        yield _Task(
            part=PARTS[test], index=number - test * files.num_people, person_id=person_id, size=size, seed=seed,
            images=(files.test_images if test else files.train_images) / person_id,
            outlines=(files.truth if test else files.train_outlines) / person_id,
        )  # fmt: skip


def _run(tasks: list[_Task], workers: int) -> Iterator[tuple[str, Row]]:
    """The ID and the row of each person."""
    workers = min(workers, len(tasks))
    if workers == 1:
        yield from map(_write_person, tasks)
        return
    with closing(in_pool(_write_person, tasks, workers=workers, name=_id_of)) as written:
        yield from written


def _id_of(task: _Task) -> str:
    return task.person_id


def _write_person(task: _Task) -> tuple[str, Row]:
    """Write what is missing of a person's files; returns the ID and the row of the table."""
    person, scenes = draw_hands(seed=task.seed, part=task.part, index=task.index)
    names = np.random.default_rng((task.seed, PARTS.index(task.part), task.index, 3))
    for folder in (task.images, task.outlines):
        remove_leftovers(folder)
    start = _FIRST_MS + 600_000 * (task.index + PEOPLE[1] * PARTS.index(task.part))
    for number, (side, scene) in enumerate(scenes.items()):
        stem = f"image{start + 300_000 * number + int(names.integers(300_000))}_{side}"
        image, outline = task.images / f"{stem}.png", task.outlines / f"{stem}.json"
        if not outline.exists():
            _write(outline, json.dumps(_annotate(scene, stem, task, number)).encode())
        if not image.exists():
            _write(image, _png(render(scene, size=task.size)))
    # Some cells of the original table carry an escaped backspace before the sex.
    sex = f"_x0008_{person.sex}" if names.random() < 0.3 else person.sex
    return task.person_id, (task.person_id, person.age, sex, person.height_cm, person.weight_kg)


def _annotate(scene: Scene, stem: str, task: _Task, number: int) -> dict[str, object]:
    """The competition's JSON with its traps: the size in metadata is wrong, and filename ends in .jpg."""
    annotations = [
        {"id": f"{stem}-{place:02d}", "type": "poly_seg", "attributes": {}, "points": np.round(points, 3).tolist(), "label": label}
        for place, (label, points) in enumerate(outlines(scene, size=task.size).items())
    ]
    return {
        "annotations": annotations, "attributes": {}, "file_id": f"{task.person_id}-{number}", "filename": f"{stem}.jpg",
        "parent_path": f"/{task.person_id}", "last_modifier_id": "phantom", "metadata": {"width": 3060, "height": 3060},
        "last_workers": ["phantom"],
    }  # fmt: skip


def _png(grey: NDArray[np.uint8]) -> bytes:
    packed = io.BytesIO()
    # Grain hardly packs: harder compression costs seconds a picture and gains a tenth.
    Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2)).save(packed, "PNG", compress_level=2)
    return packed.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write a file that is either whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_fleeting(path, content)
