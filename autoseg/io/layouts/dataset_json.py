"""dataset.json, as people and nnU-Net write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from autoseg.errors import DataError
from autoseg.io.json_files import describe, read_plain_json
from autoseg.io.truth import IGNORE

FILE_NAME = "dataset.json"
_BACKGROUND = "background"
#: Keys of nnU-Net's that resemble those that are read.
_OTHERS = {"training", "numtest"}
#: So alike (difflib's ratio, from 0 to 1) are two keys of which one may be the other, mistyped: "channels" and "channel_names" are 0.76.
_ALIKE = 0.75


class _File(BaseModel):
    """The keys that are read. nnU-Net's files hold others (name, licence, reference ...), which stay unread."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    labels: dict[str, Any] | list[str] | None = None
    channel_names: dict[str, str] | list[str] | None = None
    modality: dict[str, str] | None = None
    spacing: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = Field(default=None, min_length=2, max_length=3)
    ignore: StrictInt | None = None
    groups: dict[str, str] | list[list[str]] | None = None
    file_ending: str | None = None
    num_training: int | None = Field(default=None, alias="numTraining")


@dataclass(frozen=True, kw_only=True)
class Description:
    """What dataset.json says, or nothing if there is none.

    Parameters
    ----------
    classes : tuple of str or None
        Without background and ignore, in the file's order; None if not given.
    values : dict int -> tuple of str
        The classes that each value of an integer map stands for; the background, if it is 0, is left out.
    ignore_value : int or None
    channels : tuple of str
    spacing : tuple of float or None
        mm, (z,) y, x.
    groups : dict str -> str
        Case name -> group.
    file_ending : str or None
        Given by nnU-Net's files: images then end in _0000 and so on.
    num_training : int or None
    """

    classes: tuple[str, ...] | None = None
    values: dict[int, tuple[str, ...]] = field(default_factory=dict)
    ignore_value: int | None = None
    channels: tuple[str, ...] = ()
    spacing: tuple[float, ...] | None = None
    groups: dict[str, str] = field(default_factory=dict)
    file_ending: str | None = None
    num_training: int | None = None


def read_description(folder: Path) -> Description:
    """dataset.json of a data set's folder; an empty Description if there is none.

    Raises
    ------
    FileFormatError
        If it is no JSON.
    DataError
        Naming the file and each key that is wrong.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return Description()
    content = read_plain_json(path)
    if not isinstance(content, dict):
        raise DataError([f"{path}: must hold an object {{...}}, got {type(content).__name__}"])
    try:
        file = _File.model_validate(content)
    except ValidationError as error:
        raise DataError([f"{path} cannot be understood:\n{describe(error)}"]) from None
    try:
        classes, values, ignore = _labels(file)
    except ValueError as error:
        raise DataError([f"{path}: labels: {error}"]) from None
    return Description(
        classes=classes,
        values=values,
        ignore_value=file.ignore if file.ignore is not None else ignore,
        channels=_channels(file),
        spacing=tuple(file.spacing) if file.spacing else None,
        groups=_groups(file),
        file_ending=file.file_ending,
        num_training=file.num_training,
    )


def mistyped_keys(folder: Path) -> list[str]:
    """A sentence for each key of dataset.json that is not read and resembles one that is; none if there is no such file."""
    path = folder / FILE_NAME
    content = read_plain_json(path) if path.exists() else {}
    known = {key.lower(): key for name, field_ in _File.model_fields.items() for key in {name, field_.alias or name}}
    found = []
    for key in content if isinstance(content, dict) else ():
        alike = [] if key in known.values() or key.lower() in _OTHERS else get_close_matches(key.lower(), known, 1, _ALIKE)
        if alike:
            found.append(f"{path}: {key!r} is not read; is {known[alike[0]]!r} meant?")
    return found


def _labels(file: _File) -> tuple[tuple[str, ...] | None, dict[int, tuple[str, ...]], int | None]:
    """classes, values, ignore value."""
    if file.labels is None:
        return None, {}, None
    if isinstance(file.labels, list):
        names = tuple(name for name in file.labels if name not in (_BACKGROUND, IGNORE))
        if len(set(names)) != len(names):
            raise ValueError(f"names must differ, got {list(names)}")
        return names, {value: (name,) for value, name in enumerate(names, 1)}, len(names) + 1 if IGNORE in file.labels else None
    declared = _name_to_values(file.labels)
    ignore = declared.pop(IGNORE, (None,))
    background = declared.pop(_BACKGROUND, (0,))
    if len(ignore) != 1:
        raise ValueError(f"{IGNORE} must be one value, got {list(ignore)}")
    if not declared:
        raise ValueError("must name at least one class besides the background")
    values: dict[int, tuple[str, ...]] = {value: () for value in background if value != 0}
    for name, members in declared.items():
        for value in members:
            values[value] = (*values.get(value, ()), name)
    if 0 in values or any(not members for members in declared.values()):
        raise ValueError("0 is the background, and every class needs a value")
    return tuple(declared), values, ignore[0]


def _name_to_values(labels: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name -> values; accepts the decathlon's older form, value -> name, as well."""
    declared: dict[str, tuple[int, ...]] = {}
    for key, given in labels.items():
        if isinstance(given, str) and key.isdecimal():
            declared[given] = (int(key),)
            continue
        members = given if isinstance(given, list) else [given]
        if not all(type(value) is int and value >= 0 for value in members):
            raise ValueError(f"{key!r} must have a whole number from 0, or a list of them, got {given!r}")
        declared[key] = tuple(members)
    single = [members[0] for members in declared.values() if len(members) == 1]
    plain = all(len(members) == 1 for members in declared.values())
    if len(declared) != len(labels) or (plain and len(set(single)) != len(single)):
        raise ValueError(f"two names share a value, or two values a name, in {dict(labels)}")
    return declared


def _channels(file: _File) -> tuple[str, ...]:
    given = file.channel_names if file.channel_names is not None else file.modality
    if given is None:
        return ()
    if isinstance(given, list):
        return tuple(given)
    return tuple(given[key] for key in sorted(given, key=lambda key: (not key.isdecimal(), int(key) if key.isdecimal() else 0, key)))


def _groups(file: _File) -> dict[str, str]:
    if isinstance(file.groups, list):
        return {case: members[0] for members in file.groups for case in members}
    return file.groups or {}
