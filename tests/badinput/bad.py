"""One wrong input, as the tests give it and the table in docs/bad-input.md shows it; and what all answers have in common."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.evaluate.calibration import FILE as CALIBRATION
from tests.cli.conftest import Autoseg, Done

RUN = Path("results/HandBone/default/2d-default")
PLAN = Path("preprocessed/HandBone/plans/default.json")
SPLITS = Path("preprocessed/HandBone/splits.json")
TRAIN = ("train", "2d", "--epochs", "1", "--iterations-per-epoch", "1")
TRAIN_0 = (*TRAIN, "fold0")
TRAIN_2 = (*TRAIN, "fold2")
ENSEMBLE = ("predict", "--ensemble", "--device", "cpu")
PLANNING = ("plan_and_preprocess", "--gpu", "cpu", "--workers", 1)


@dataclass(frozen=True, kw_only=True)
class BadData:
    """A data set with one thing wrong or unusual, for `autoseg check` and `plan_and_preprocess`.

    Parameters
    ----------
    what : str
        In a few words.
    make : callable(folder)
        Writes the data set.
    file : str
        The file in it that is named; of the folder itself "".
    said : str
        What the message says of it.
    code : int
        Exit code of `check`: 0 for what is accepted, 1 for a problem, 2 where there is no data set.
    """

    what: str
    make: Callable[[Path], object]
    said: str
    file: str = ""
    code: int = 1


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes; links with where they lead."""
    return {str(path): _content(path) for path in root.rglob("*")}


def _content(path: Path) -> bytes:
    if path.is_symlink():
        return str(path.readlink()).encode()
    return path.read_bytes() if path.is_file() else b""


def assert_refused(done: Done, *said: str) -> None:
    """One message on stderr with all of `said`, exit code 2."""
    assert done.code == 2, done
    assert done.err.count("Error: ") == 1, done.err
    assert [text for text in said if text not in done.err] == [], (said, done.err)
    assert_for_people(done)


def assert_for_people(done: Done) -> None:
    """Nothing that a program says and no person: tracebacks, half-printed types, seventeen digits, floats for whole numbers."""
    text = done.out + done.err
    assert not any(word in text for word in ("Traceback", "None", "PosixPath", "dataclass", "0000000", "kwarg", "Errno")), text


def assert_untouched(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """No file was made, removed or changed; but for what a run's folder gets once, whatever becomes of the command that needed it first."""
    made = sorted(name for name in after.keys() - before.keys() if Path(name).name != CALIBRATION)
    gone = sorted(before.keys() - after.keys())
    changed = [name for name in before if name in after and before[name] != after[name]]
    assert (made, gone, changed) == ([], [], []), f"made {made}, removed {gone}, changed {changed}"


def check_refused(autoseg: Autoseg, workspace: Path, arguments: tuple[object, ...], *said: str) -> None:
    """The command is refused and no file of the workspace is changed, made or removed."""
    before = contents(workspace)
    assert_refused(autoseg(*arguments, "-w", workspace), *said)
    assert_untouched(before, contents(workspace))


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file."""
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")


def stage(**values: Any) -> Callable[[dict[str, Any]], object]:
    """Sets keys of the plan's 2d stage; NETWORK__KEY reaches into its network."""

    def change(content: dict[str, Any]) -> None:
        target = content["stages"]["2d"]
        for key, value in values.items():
            *above, last = key.split("__")
            node = target
            for step in above:
                node = node[step]
            node[last] = value

    return change


@dataclass(frozen=True, kw_only=True)
class BadFiles:
    """A trained workspace with one thing wrong, and a command that must refuse it.

    Parameters
    ----------
    what : str
        In a few words.
    harm : callable(workspace)
    said : str
    command : tuple
        The arguments; without -w.
    file : str
        The file in the workspace that is named; "" if none is.
    """

    what: str
    harm: Callable[[Path], object]
    said: str
    command: tuple[object, ...]
    file: str = ""


def plan_with(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """The workspace's plan changed."""
    return lambda workspace: edit(workspace / PLAN, change)
