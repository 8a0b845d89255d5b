"""What --set says: a field of a plan by its dotted path, and a value of that field's type."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from pydantic import ValidationError

from autoseg.errors import UsageError
from autoseg.io.json_files import adapter, describe
from autoseg.plan import CONFIGURATIONS, Plan, Stage

T = TypeVar("T")
Path = tuple[str, ...]

_OF_DATA = "it is what the data set holds"
#: Fields that are no choice, and where they come from instead.
FIXED: dict[str, str] = {
    **dict.fromkeys(("dataset", "fingerprint", "labels", "num_axes", "unit", "channels", "stages.image_shape"), _OF_DATA),
    **dict.fromkeys(("version", "overrides", "reasons", "stages.name", "stages.reasons"), "autoseg writes it"),
    **dict.fromkeys(("stages.memory", "stages.step_s"), "it is measured"),
    **dict.fromkeys(("stages.slice_axis", "stages.previous"), "the whole configuration depends on it"),
    **dict.fromkeys(("stages.network.in_channels", "stages.network.num_heads"), "it follows from the data set"),
    "name": "--plan NAME gives it",
    "planner": "--planner NAME gives it",
    "budget": "--gpu, --gpu-memory and --hours give it",
    "stages": "set their fields, such as 2d.batch",
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One --set.

    Parameters
    ----------
    text : str
        As typed: "2d.patch=1024,1024".
    stage : str or None
        The configuration; None for a field of the plan itself.
    path : tuple of str
        From the stage or the plan down: ("recipe", "lr"); items of tuples by number: ("normalization", "0", "kind").
    value : object
        Of the field's type.
    """

    text: str
    stage: str | None
    path: Path
    value: Any

    def refused(self, why: str) -> UsageError:
        """The error that names this option."""
        return UsageError(f"--set {self.text}: {why}")


def parse_settings(texts: Sequence[str]) -> tuple[Setting, ...]:
    """What was typed, checked by the types of a plan's fields.

    Parameters
    ----------
    texts : sequence of str
        PATH=VALUE each. PATH is CONFIG.FIELD, or FIELD for the plan itself. A list is 1024,1024; what is nested is JSON; none is nothing.

    Raises
    ------
    UsageError
        If a field does not exist (the nearest are listed), is no choice, is given twice, or the value is not of its type.
    """
    known: dict[tuple[str | None, Path], Setting] = {}
    for text in texts:
        setting = _parse(text.strip())
        key = (setting.stage, setting.path)
        if key in known:
            raise setting.refused(f"given twice, also as --set {known[key].text}")
        known[key] = setting
    return tuple(known.values())


def _parse(text: str) -> Setting:
    name, found, value = text.partition("=")
    if not found or not name.strip():
        raise UsageError(f"--set {text}: say PATH=VALUE, such as 2d.batch=4.")
    steps = tuple(name.strip().removeprefix("stages.").split("."))
    stage = steps[0] if steps[0] in CONFIGURATIONS else None
    top: type = Plan if stage is None else Stage
    path = _with_keys(top, steps if stage is None else steps[1:])
    full = ("stages", *path) if stage else path
    kind = _kind_of(top, path)
    for length in range(1, len(full) + 1):
        if (why := FIXED.get(".".join(full[:length]))) and (length == len(full) or full[:length] != ("stages",)):
            raise UsageError(f"--set {text}: {name.strip()} cannot be set: {why}.")
    if kind is None or not path:
        raise UsageError(f"--set {text}: there is no field {name.strip()}; {_nearest(name.strip(), stage)}.")
    return Setting(text=text, stage=stage, path=path, value=_value(text, value.strip(), kind))


def _with_keys(top: Any, path: Path) -> Path:
    """The path with all that follows a field of free names as one step: a class's name may hold dots."""
    for length in range(1, len(path) - 1):
        if get_origin(_kind_of(top, path[:length])) is dict:
            return (*path[:length], ".".join(path[length:]))
    return path


def _kind_of(top: Any, path: Path) -> Any:
    """The type of a field; None if there is no such field."""
    kind = top
    for step in path:
        item = _item(kind)
        if get_origin(kind) is dict:
            kind = get_args(kind)[1]
            continue
        if is_dataclass(kind):
            kind = _hints(kind).get(step)
        elif step.isdigit() and is_dataclass(item):
            kind = item
        else:
            return None
    return kind


def _hints(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls)}


def _item(kind: Any) -> Any:
    """X of tuple[X, ...]; None for anything else."""
    arguments = get_args(kind)
    return arguments[0] if get_origin(kind) is tuple and arguments[1:] == (...,) else None


def _nearest(name: str, stage: str | None) -> str:
    known = [*_paths(Plan, ()), *(f"{stage or '2d'}.{path}" for path in _paths(Stage, ("stages",)))]
    near = get_close_matches(name, known, n=4, cutoff=0.6) or [path for path in known if path.rpartition(".")[2] == name]
    if near:
        return f"the nearest are {', '.join(near)}"
    # Fields one level down are reached through their parents' names: thirty probabilities would hide the rest.
    return f"fields are {', '.join(path for path in known if path.count('.') < 2)} and those below them"


def _paths(cls: Any, above: Path) -> Iterator[str]:
    """Dotted paths of all fields that may be set, below `cls`."""
    for name, kind in _hints(cls).items():
        if ".".join((*above, name)) in FIXED:
            continue
        item = _item(kind)
        deeper = kind if is_dataclass(kind) else item
        if is_dataclass(deeper):
            below = (name,) if is_dataclass(kind) else (name, "0")
            yield from (".".join((*below, path)) for path in _paths(deeper, (*above, name)))
        else:
            yield name


def _value(text: str, value: str, kind: Any) -> Any:
    is_tuple = get_origin(kind) is tuple
    given: Any = value
    if value[:1] in ("[", "{"):
        try:
            given = json.loads(value)
        except json.JSONDecodeError as error:
            raise UsageError(f"--set {text}: not valid JSON: {error.msg} at column {error.colno} of the value.") from None
    elif value.lower() in ("none", "null"):
        given = () if is_tuple else None if NoneType in get_args(kind) else value
    elif is_tuple:
        given = [part.strip() for part in value.split(",") if part.strip()]
    try:
        parsed = adapter(kind).validate_python(given)
    except ValidationError as error:
        raise UsageError(f"--set {text}: {_in_a_line(error)}.") from None
    if not all(map(math.isfinite, _floats(parsed))):
        raise UsageError(f"--set {text}: must be finite.")
    return parsed


def _in_a_line(error: ValidationError) -> str:
    return "; ".join(line.strip().removeprefix("(top): ") for line in describe(error).splitlines())


def _floats(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _floats(item)


def merged(value: T, changes: Mapping[Path, Any]) -> T:
    """The value with fields below it replaced, all at once: what is checked on creation sees all of them.

    Parameters
    ----------
    value : dataclass or tuple of dataclasses
    changes : mapping of path -> object
        The empty path replaces the value itself; deeper ones are applied on top.

    Raises
    ------
    ValueError
        If the result contradicts itself, or there is no item of a number.
    """
    base: Any = changes.get((), value)
    deeper: dict[str, dict[Path, Any]] = {}
    for path, new in changes.items():
        if path:
            deeper.setdefault(path[0], {})[path[1:]] = new
    result: Any = base
    if deeper and isinstance(base, dict):
        result = {**base, **{name: below[()] for name, below in deeper.items()}}
    elif deeper and isinstance(base, tuple):
        if beyond := [step for step in deeper if int(step) >= len(base)]:
            raise ValueError(f"there is no item {beyond[0]}, only 0 to {len(base) - 1}")
        result = tuple(merged(item, deeper.get(str(k), {})) for k, item in enumerate(base))
    elif deeper:
        result = replace(base, **{name: merged(getattr(base, name), below) for name, below in deeper.items()})
    return cast(T, result)


def typed(settings: Iterable[Setting]) -> str:
    """Settings as they were typed, for a message."""
    return " ".join(f"--set {setting.text}" for setting in settings)


def with_settings(value: T, given: Mapping[Path, Setting]) -> T:
    """`merged` with what was set, by path from `value`; UsageError names the options where the result contradicts itself."""
    try:
        return merged(value, {path: setting.value for path, setting in given.items()})
    except ValueError as error:
        raise UsageError(f"{typed(given.values())}: {error}.") from None
