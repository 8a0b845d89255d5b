"""autoseg's own dataclasses as JSON files: checked both ways, unknown keys refused."""

from __future__ import annotations

import json
from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from autoseg.errors import FileFormatError
from autoseg.io.atomic import write_bytes

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

T = TypeVar("T")
#: A value that is longer is not repeated in a message.
SHORT = 60


def adapter(cls: type[T]) -> TypeAdapter[T]:
    """pydantic's adapter of a dataclass, built once."""
    return _adapter(cast(Hashable, cls))


@cache
def _adapter(cls: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, cls))


def to_json(value: object) -> str:
    """A dataclass as indented JSON."""
    return adapter(type(value)).dump_json(value, indent=2).decode() + "\n"


def from_json(text: str, cls: type[T], *, source: str, hint: str = "") -> T:
    """The dataclass `cls` from JSON text; `source` names the file in messages, `hint` says what to do about it.

    Raises
    ------
    FileFormatError
        Naming the file, each field that is wrong, and what was found.
    """
    try:
        return adapter(cls).validate_json(text)
    except ValidationError as error:
        message = f"{source} is damaged or was edited wrongly:\n{describe(error)}"
        raise FileFormatError(f"{message}\n{hint}" if hint else message) from None


def describe(error: ValidationError) -> str:
    """What is wrong with a file, a line per field: where, and why."""
    lines = []
    for item in error.errors()[:20]:
        where = ".".join(str(part) for part in item["loc"]) or "(top)"
        lines.append(f"  {where}: {_why(item)}")
    return "\n".join(lines)


def _why(item: ErrorDetails) -> str:
    """pydantic's reason in this house's words, with the value that was found."""
    if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return "unknown key"
    if item["type"] == "missing":
        return "is missing"
    reason = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    found = item["input"]
    is_short = isinstance(found, str | int | float | None) and len(repr(found)) <= SHORT
    return f"{reason}, got {found!r}" if is_short and item["type"] not in ("value_error", "json_invalid") else reason


def save_json(path: Path, value: object) -> None:
    """Write a dataclass atomically."""
    write_bytes(path, to_json(value).encode())


def load_json(path: Path, cls: type[T], *, hint: str = "") -> T:
    """Read a dataclass; FileFormatError names the file and what is wrong, and says with `hint` what to do about it."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileFormatError(f"{path} does not exist. {hint}".rstrip()) from None
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is no UTF-8 text (byte {error.start}). {hint}".rstrip()) from None
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read ({error.strerror})") from None
    return from_json(text, cls, source=str(path), hint=hint)


def read_plain_json(path: Path) -> Any:
    """Any JSON file, such as one that another program wrote; FileFormatError names the file, line and column."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise FileFormatError(f"{path} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise FileFormatError(f"{path} is not valid JSON: nested too deeply") from None
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is no UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except ValueError as error:  # a number of more digits than Python converts
        raise FileFormatError(f"{path} is not valid JSON: {error}") from None
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read ({error.strerror})") from None
