"""A fold of a run: not begun, running, stopped, failed or done, as its folder tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from autoseg.errors import FileFormatError
from autoseg.infer.fold_cases import trained_on
from autoseg.io.json_files import read_plain_json
from autoseg.io.locks import holder
from autoseg.io.processes import Process
from autoseg.standing.live import read_live
from autoseg.workspace import CHECKPOINT, LOCK, METRICS, RUN_RECORD, SUMMARY, TIME_SPENT, fold_of

#: "killed": its process ended without a word (SIGKILL, out of memory, power).
State = Literal["not begun", "running", "stopped", "failed", "killed", "done"]


@dataclass(frozen=True, kw_only=True)
class FoldStanding:
    """Where a fold stands.

    Parameters
    ----------
    name : str
        "0", or "all".
    state : State
    doing : str
        "training" or "validating" while it runs, else empty.
    share : float or None
        Done of the training, or of the validation cases; None where nothing tells.
    left_s : float or None
        Seconds to the end of all folds of its command, as the process said last.
    dice : float or None
        Mean validation Dice, once done.
    used_s : float
        Wall time so far, over all restarts.
    owner : Process or None
        That trains it now.
    why : str
        What went wrong, of a fold that failed.
    words : tuple of str
        Options of `autoseg train` that it was begun with, as typed; the trainer, the plan and the device left out.
    is_saved : bool
        There is a net to go on from.
    is_outdated : bool
        It was trained on other cases than splits.json gives the fold now.
    trained_at : float
        When its net was written, as files are dated; 0: there is none.
    """

    name: str
    state: State
    doing: str = ""
    share: float | None = None
    left_s: float | None = None
    dice: float | None = None
    used_s: float = 0.0
    owner: Process | None = None
    why: str = ""
    words: tuple[str, ...] = ()
    is_saved: bool = True
    is_outdated: bool = False
    trained_at: float = 0.0


def fold_standing(folder: Path, dealt: str = "") -> FoldStanding:
    """Read a fold's folder (results/NAME/PLAN/CONFIG-TRAINER/foldK); nothing in it is changed, no tensor is read.

    `dealt`: checksum of the cases that splits.json gives the fold (`infer.fold_cases.cases_digest`), if it is known.
    """
    record, (_, cases) = _read(folder / RUN_RECORD), trained_on(folder)
    trained_at = _dated(folder / CHECKPOINT)
    is_saved = trained_at > 0
    is_outdated = is_saved and bool(dealt) and bool(cases) and cases != dealt
    return replace(_standing(folder), words=tuple(_words(record)), is_saved=is_saved, is_outdated=is_outdated, trained_at=trained_at)


def _dated(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _words(record: dict[str, Any]) -> Iterator[str]:
    """The options in a run's record that are not as they are without options."""
    options = record.get("options")
    for name, value in options.items() if isinstance(options, dict) else ():
        if name == "trainer" or value is None or value is False or (name == "seed" and value == 0):
            continue
        yield f"--{name.replace('_', '-')}"
        if value is not True:
            yield f"{value:g}" if isinstance(value, float) else str(value)
    if (hours := _number(record, "hours")) is not None:
        yield from ("--hours", f"{hours:g}")
    source = record.get("source")
    if isinstance(source, dict) and source.get("path"):
        path = Path(str(source["path"]))
        # A folder of results gives each fold the net of its own number.
        yield from ("--from", str(path.parents[1] if path.name == CHECKPOINT and path.parent.name.startswith("fold") else path))


def _standing(folder: Path) -> FoldStanding:
    name, used_s = fold_of(folder), _number(_read(folder / TIME_SPENT), "used_s") or 0.0
    owner = holder(folder / LOCK)
    # A fold that is trained anew (--restart) holds what it had before for a moment.
    if owner is None and (folder / SUMMARY).is_file() and (folder / CHECKPOINT).is_file():
        dice = _number(_read(folder / SUMMARY).get("mean"), "dice")
        return FoldStanding(name=name, state="done", share=1.0, dice=dice, used_s=used_s)
    live = read_live(folder)
    if owner is not None:
        if live is None or live.doing in ("stopped", "failed"):
            return FoldStanding(name=name, state="running", doing="training", used_s=used_s, owner=owner)
        return FoldStanding(name=name, state="running", doing=live.doing, share=live.share, left_s=live.left_s, used_s=used_s, owner=owner)
    if live is not None and live.doing == "failed":
        return FoldStanding(name=name, state="failed", share=live.share, used_s=used_s, why=live.why)
    if live is not None:
        # Who ends in order says so; whoever still trains according to his last word was killed.
        validated = live.doing == "validating"
        state: State = "stopped" if live.doing == "stopped" else "killed"
        return FoldStanding(name=name, state=state, share=1.0 if validated else live.share, used_s=used_s)
    if (folder / RUN_RECORD).is_file() and (folder / CHECKPOINT).is_file():
        return FoldStanding(name=name, state="stopped", share=_share(folder), used_s=used_s)
    return FoldStanding(name=name, state="not begun", used_s=used_s)


def _share(folder: Path) -> float | None:
    """Iterations done of those planned, by the last whole line of the curve."""
    planned = _number(_read(folder / RUN_RECORD).get("stage"), "iterations")
    try:
        lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
        iteration = _number(json.loads(lines[-1]), "iteration") if lines else None
    except (OSError, ValueError):
        return None
    return min(1.0, iteration / planned) if iteration and planned else None


def _read(file: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing if it is not there, damaged, or no object: the command that needs it will say so."""
    try:
        content = read_plain_json(file)
    except FileFormatError:
        return {}
    return content if isinstance(content, dict) else {}


def _number(content: Any, key: str) -> float | None:
    value = content.get(key) if isinstance(content, dict) else None
    return float(value) if isinstance(value, int | float) else None
