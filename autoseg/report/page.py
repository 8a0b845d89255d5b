"""report.html: everything found, drawn into one file that needs no other."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from autoseg import __version__
from autoseg.case import Case
from autoseg.evaluate.label_check import weak_note
from autoseg.evaluate.predictions import Prediction
from autoseg.io.atomic import write_text
from autoseg.io.palette import palette
from autoseg.io.parallel import map_cases
from autoseg.report import facts, outcomes
from autoseg.report.charts import box_plot, overlap_map
from autoseg.report.found import Found, find
from autoseg.report.outcomes import CaseRow
from autoseg.report.pictures import Wish, draw_or_recall
from autoseg.workspace import PICTURES, Workspace

log = logging.getLogger(__name__)

#: Bytes that the pictures of all cases may take; the page without them stays below 1 MB.
PICTURE_BYTES = 18_500_000
WORST = 10
#: Cells of a larger heat map cannot be told apart, and their number grows with the square.
MOST_CLASSES_IN_MAP = 80

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written.

    Parameters
    ----------
    path : Path
    num_bytes : int
    num_cases, num_pictures : int
        In the table, and with a picture to click.
    """

    path: Path
    num_bytes: int
    num_cases: int
    num_pictures: int


def write_report(
    place: Workspace, name: str, folder: Path, output: Path, *, pictures: int, workers: int = 1,
    progress: Progress | None = None,
) -> Written:  # fmt: skip
    """Write the report of a data set atomically.

    Parameters
    ----------
    place : Workspace
    name : str
        The data set's name.
    folder : Path
        Its raw data; without them cases have no pictures.
    output : Path
        The file.
    pictures : int
        Most cases with a picture, the worst ones; all of them together stay below `PICTURE_BYTES`.
    workers : int
        Processes that read cases.
    progress : callable(done, total), optional
    """
    found = find(place, name, folder)
    rows = outcomes.case_rows(found)
    drawn, problems = draw(found, rows, pictures, workers, place.results(name) / PICTURES, progress)
    text = render(found, rows, drawn, problems, again=place.options(folder))
    write_text(output, text)
    return Written(path=output, num_bytes=len(text.encode()), num_cases=len(rows), num_pictures=len(drawn))


def draw(
    found: Found, rows: list[CaseRow], most: int, workers: int, kept: Path, progress: Progress | None = None
) -> tuple[dict[int, dict[str, Any]], list[str]]:
    """Pictures of the worst cases by number, as many as fit, and what went wrong with others.

    They are kept in the folder `kept` for the next report, and those of before that are no longer shown are removed.
    """
    wishes = {number: replace(wish, kept=kept) for number, wish in _wishes(found, in_turn(rows))}
    numbers = list(wishes)[:most]
    drawn: dict[int, dict[str, Any]] = {}
    problems: list[str] = []
    used, files = 0, set[Path | None]()
    results = map_cases(draw_or_recall, [wishes[k] for k in numbers], workers=workers, progress=progress)
    for number, (result, file) in zip(numbers, results, strict=True):
        if isinstance(result, str):
            problems.append(result)
            continue
        used += len(json.dumps(result))
        if used > PICTURE_BYTES:
            break
        drawn[number] = result
        files.add(file)
    if None in files:
        log.warning("  The pictures could not be kept in %s; the next report draws them again.", kept)
    # A name with a dot in front is that of a picture which another report writes right now.
    for path in kept.glob("[!.]*.json"):
        if path not in files:
            with suppress(OSError):
                path.unlink()
    return drawn, problems


def in_turn(rows: list[CaseRow]) -> list[CaseRow]:
    """The ten worst, then labelled and unlabelled cases by turns, the worst of each first."""
    labelled, others = ([row for row in rows if (row.dice is not None) == is_known] for is_known in (True, False))
    first, labelled = labelled[:WORST], labelled[WORST:]
    for k in range(max(len(labelled), len(others))):
        first += [*others[k : k + 1], *labelled[k : k + 1]]
    return first


def _wishes(found: Found, rows: list[CaseRow]) -> Iterator[tuple[int, Wish]]:
    if found.dataset is None:
        return
    bare = replace(found.dataset, train=(), test=())
    held_out: dict[tuple[str, str], Prediction] = {}
    if found.runs:
        held_out = {(f"fold{one.fold}", one.case): one for one in found.runs[0].predictions()}
    tested = {one.case: one for one in (found.predicted.files if found.predicted is not None else ())}
    train, test = ({case.name: case for case in cases} for cases in (found.dataset.train, found.dataset.test))
    # predict -i takes images of anywhere, which may be named like a test image; its record knows better.
    given = found.predicted.images if found.predicted is not None else {}
    test |= {name: Case(name=name, images=images) for name, images in given.items() if name not in test or test[name].truth is None}
    for row in rows:
        prediction = held_out.get((row.part, row.name)) if row.part.startswith("fold") else tested.get(row.name)
        case: Case | None = train.get(row.name) if row.part.startswith("fold") else test.get(row.name)
        if case is not None and prediction is not None:
            yield row.number, Wish(dataset=bare, case=case, prediction=prediction)


def render(found: Found, rows: list[CaseRow], drawn: dict[int, dict[str, Any]], problems: list[str], *, again: str) -> str:
    """The page; `again`: the options by which a command means the data set, see `Workspace.options`."""
    # autoescape: every name comes from files of somebody else.
    environment = Environment(
        loader=PackageLoader("autoseg.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    measured = found.fingerprint
    fits_in_map = measured is not None and len(measured.classes) <= MOST_CLASSES_IN_MAP
    return environment.get_template("report.html").render(
        found=found,
        again=again,
        weak_note=weak_note,
        facts=facts,
        outcomes=outcomes,
        box_plot=box_plot,
        overlap=overlap_map(measured.classes, measured.overlap) if measured is not None and fits_in_map else None,
        rows=rows,
        drawn=drawn,
        problems=problems,
        names_of_cases={row.number: _about(row) for row in rows if row.number in drawn},
        warnings=facts.warnings(found),
        worst=[row for row in rows if row.dice is not None][:WORST],
        doubtful=sorted((row for row in rows if row.dice is None and row.expected is not None), key=lambda row: row.badness),
        classes=[{"name": name, "colour": colour} for name, colour in _coloured(found.classes)],
        script_hash=_hash(environment),
        version=__version__,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def _about(row: CaseRow) -> dict[str, Any]:
    """What the viewer writes beside a picture."""
    scores = (("Dice", row.dice), ("NSD", row.nsd), ("expected Dice", row.expected))
    words = [row.part, *(f"{name} {value:.3f}" for name, value in scores if value is not None)]
    return {"name": row.name, "words": ", ".join(words), "classes": row.classes}


def _coloured(classes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Each class and its colour, #rrggbb."""
    for name, (red, green, blue) in zip(classes, palette(len(classes)), strict=True):
        yield name, f"#{red:02x}{green:02x}{blue:02x}"


def _hash(environment: Environment) -> str:
    """Of the page's script, which alone its content security policy lets run: an injected one would not."""
    script = environment.get_template("report.js").render()
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
