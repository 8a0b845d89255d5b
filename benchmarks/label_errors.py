"""Planted label errors: a copy of the phantom in which 20 training cases have one wrong annotation each, and the list of them.

    python -m benchmarks.label_errors plant SOURCE TARGET --seed 1
    python -m benchmarks.label_errors score TARGET --ranking label_check.json

SOURCE and TARGET are workspaces; TARGET gets raw/HandBone, truth/HandBone and errors.json. Kinds and their numbers are fixed here, and
so are cases, bones and sizes by the seed: seed 1 is for development, seed 2 is run once. Pictures and all other annotations are copied
as they are. `score` says how many of the planted errors the first rows of a ranking name; the rule is `is_found`'s.

Kinds:
    swapped bones      two neighbouring bones have each other's names
    swapped fingers    all bones of two neighbouring fingers, metacarpals included, have each other's names
    missing bone       a bone is not annotated
    shifted bone       an outline lies off by 0.6 to 1 times the square root of its area
    renamed bone       a bone is annotated under its neighbour's name, which so has two outlines
    half a bone        an outline ends at the middle of the bone's length
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autoseg.demo.shapes import DIGITS
from autoseg.io.atomic import write_text
from autoseg.io.layouts import read_dataset
from autoseg.workspace import Workspace

NAME = "HandBone"
KINDS = {"swapped bones": 4, "swapped fingers": 3, "missing bone": 4, "shifted bone": 4, "renamed bone": 3, "half a bone": 2}
FIRST = 25  # rows of a ranking that are looked at
# Bones that people take for each other: the same bone of neighbouring fingers (not of the thumb, which is unlike), and carpals that touch.
FINGERS = tuple((DIGITS[digit], DIGITS[digit + 1]) for digit in (1, 2, 3))
PAIRS = (
    *(pair for left, right in FINGERS for pair in zip(left, right, strict=True)),
    ("Trapezium", "Trapezoid"), ("Trapezoid", "Capitate"), ("Capitate", "Hamate"), ("Scaphoid", "Lunate"), ("Lunate", "Triquetrum"),
    ("Hamate", "Triquetrum"), ("Triquetrum", "Pisiform"),
)  # fmt: skip
SINGLES = tuple(dict.fromkeys(name for pair in PAIRS for name in pair))
SHIFT = (0.6, 1.0)  # of the square root of an outline's area

Points = NDArray[np.float64]
#: Label -> its outlines, (N, 2) x, y in pixels.
Outlines = dict[str, list[Points]]


@dataclass(frozen=True, kw_only=True)
class PlantedError:
    """One wrong annotation: the case, its kind, the classes whose labels are changed, and what was done."""

    case: str
    kind: str
    classes: tuple[str, ...]
    what: str


def plant(source: Path, target: Path, *, seed: int) -> list[PlantedError]:
    """Copy the phantom of the workspace `source` into the new workspace `target`, with one error in each of 20 training cases.

    Raises
    ------
    FileExistsError
        If the target holds a HandBone.
    ValueError
        If the source has fewer than 20 training cases.
    """
    for part in (Workspace(root=source).raw / NAME, source / "truth" / NAME):
        shutil.copytree(part, target / part.relative_to(source))
    cases = {case.name: case for case in read_dataset(Workspace(root=target).raw / NAME).train}
    kinds = [kind for kind, count in KINDS.items() for _ in range(count)]
    if len(cases) < len(kinds):
        raise ValueError(f"{source} has {len(cases)} training cases; {len(kinds)} are needed")
    chosen = np.random.default_rng(seed).permutation(sorted(cases))[: len(kinds)]
    errors = []
    for number, (name, kind) in enumerate(zip(chosen, kinds, strict=True)):
        case = cases[str(name)]
        assert case.truth is not None
        with Image.open(case.images[0]) as picture:
            size = picture.size
        classes, what = _change(case.truth.files[0], kind, size, np.random.default_rng((seed, number)))
        errors.append(PlantedError(case=case.name, kind=kind, classes=classes, what=what))
    write_text(target / "errors.json", json.dumps({"seed": seed, "errors": [asdict(error) for error in errors]}, indent=1) + "\n")
    return errors


def is_found(error: PlantedError, case: str, classes: Collection[str]) -> bool:
    """A row of a ranking finds an error if it names the case and at least one of the changed classes."""
    return error.case == case and not set(error.classes).isdisjoint(classes)


def found_errors(errors: Sequence[PlantedError], rows: Sequence[tuple[str, Collection[str]]], first: int = FIRST) -> list[PlantedError]:
    """The errors that the first rows (case, classes) of a ranking find, each counted once however many rows name it."""
    return [error for error in errors if any(is_found(error, case, classes) for case, classes in rows[:first])]


def read_errors(path: Path) -> list[PlantedError]:
    """The list that `plant` wrote."""
    return [PlantedError(**(entry | {"classes": tuple(entry["classes"])})) for entry in json.loads(path.read_text("utf-8"))["errors"]]


def _change(path: Path, kind: str, size: tuple[int, int], rng: np.random.Generator) -> tuple[tuple[str, ...], str]:
    """Plant an error into a file of polygons; the classes that it changes, and what was done."""
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    outlines: Outlines = {}
    for annotation in content["annotations"]:
        outlines.setdefault(annotation["label"], []).append(np.array(annotation["points"], np.float64))
    before = {label: list(points) for label, points in outlines.items()}
    what = _ERRORS[kind](outlines, size, rng)
    changed = tuple(label for label in before if not _are_equal(before[label], outlines.get(label, [])))
    content["annotations"] = [
        {"id": f"planted-{place:02d}", "type": "poly_seg", "attributes": {}, "points": np.round(points, 3).tolist(), "label": label}
        for place, (label, points) in enumerate((label, points) for label, group in outlines.items() for points in group)
    ]
    write_text(path, json.dumps(content))
    return changed, what


def _are_equal(first: list[Points], second: list[Points]) -> bool:
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def _swap_bones(outlines: Outlines, size: tuple[int, int], rng: np.random.Generator) -> str:
    return _swap(outlines, [PAIRS[int(rng.integers(len(PAIRS)))]])


def _swap_fingers(outlines: Outlines, size: tuple[int, int], rng: np.random.Generator) -> str:
    left, right = FINGERS[int(rng.integers(len(FINGERS)))]
    return _swap(outlines, list(zip(left, right, strict=True)))


def _swap(outlines: Outlines, pairs: Sequence[tuple[str, str]]) -> str:
    for one, other in pairs:
        outlines[one], outlines[other] = outlines[other], outlines[one]
    return ", ".join(f"{one} and {other} swapped" for one, other in pairs)


def _remove(outlines: Outlines, size: tuple[int, int], rng: np.random.Generator) -> str:
    name = _single(rng)
    outlines[name] = []
    return f"{name} removed"


def _rename(outlines: Outlines, size: tuple[int, int], rng: np.random.Generator) -> str:
    one, other = rng.permutation(PAIRS[int(rng.integers(len(PAIRS)))])
    outlines[str(other)] += outlines[str(one)]
    outlines[str(one)] = []
    return f"{one} named {other}"


def _shift(outlines: Outlines, size: tuple[int, int], rng: np.random.Generator) -> str:
    """By a drawn length in the first drawn direction that leaves the outline inside the picture."""
    name, share = _single(rng), float(rng.uniform(*SHIFT))
    (points,) = outlines[name]
    length = share * float(np.sqrt(area(points)))
    for angle in rng.uniform(0, 2 * np.pi, 1000):
        moved = points + length * np.array([np.cos(angle), np.sin(angle)])
        if moved.min() >= 0 and (moved <= np.array(size) - 1).all():
            outlines[name] = [moved]
            return f"{name} shifted by {length:.1f} pixels, {share:.2f} of the square root of its area"
    raise ValueError(f"{name} fills the picture and cannot be shifted")


def _halve(outlines: Outlines, size: tuple[int, int], rng: np.random.Generator) -> str:
    """Cut at the middle between the two points that lie farthest apart; a drawn half is left."""
    name, side = _single(rng), int(rng.choice([-1, 1]))
    (points,) = outlines[name]
    apart = np.linalg.norm(points[:, None] - points, axis=2)
    first, second = np.unravel_index(int(apart.argmax()), apart.shape)
    axis = side * (points[second] - points[first])
    outlines[name] = [cut(points, (points[first] + points[second]) / 2, axis)]
    return f"{name} cut to one half of its length"


def _single(rng: np.random.Generator) -> str:
    return SINGLES[int(rng.integers(len(SINGLES)))]


def area(points: Points) -> float:
    """Area of a polygon (N, 2) in square pixels (the shoelace formula)."""
    (x, y), (x1, y1) = points.T, np.roll(points, -1, axis=0).T
    return abs(float(np.sum(x * y1 - x1 * y))) / 2


def cut(points: Points, through: Points, axis: Points) -> Points:
    """The part of a closed outline (N, 2) that lies on the side of `axis` (2,) of the line at right angles to it through a point (2,)."""
    height = (points - through) @ axis
    following, ahead = np.roll(points, -1, axis=0), np.roll(height, -1)
    crosses = (height >= 0) != (ahead >= 0)
    share = np.where(crosses, height / np.where(crosses, height - ahead, 1.0), 0.0)
    both = np.stack([points, points + share[:, None] * (following - points)], axis=1)
    left: Points = both[np.stack([height >= 0, crosses], axis=1)]
    return left


_ERRORS: dict[str, Callable[[Outlines, tuple[int, int], np.random.Generator], str]] = {
    "swapped bones": _swap_bones,
    "swapped fingers": _swap_fingers,
    "missing bone": _remove,
    "shifted bone": _shift,
    "renamed bone": _rename,
    "half a bone": _halve,
}


def main() -> None:
    """Plant errors, or score a ranking."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    planting = commands.add_parser("plant")
    planting.add_argument("source", type=Path)
    planting.add_argument("target", type=Path)
    planting.add_argument("--seed", type=int, required=True)
    scoring = commands.add_parser("score")
    scoring.add_argument("target", type=Path)
    scoring.add_argument("--ranking", type=Path, required=True, help='JSON with "findings", a list with "case" and "classes", worst first')
    given = parser.parse_args()
    if given.command == "plant":
        for error in plant(given.source, given.target, seed=given.seed):
            print(f"{error.case}: {error.kind}: {error.what}")
        return
    _print_score(read_errors(given.target / "errors.json"), given.ranking)


def _print_score(errors: Sequence[PlantedError], ranking: Path) -> None:
    rows = [(row["case"], row["classes"]) for row in json.loads(ranking.read_text("utf-8"))["findings"]]
    for error in errors:
        places = [place for place, (case, classes) in enumerate(rows, start=1) if is_found(error, case, classes)]
        print(f"{places[0] if places else '-':>4}  {error.case}: {error.kind}: {error.what}")
    print(f"{len(found_errors(errors, rows))} of {len(errors)} within the first {FIRST}")


if __name__ == "__main__":
    main()
