"""JSON schemas of autoseg's own files, each field with what its docstring says."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from autoseg.io.json_files import adapter

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(cls: type) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a dataclass's file.

    Parameters
    ----------
    cls : type
        A dataclass, free to hold others. Descriptions come from the numpydoc docstrings of all of them.
    """
    schema = adapter(cls).json_schema()
    for each in dict.fromkeys(_classes(cls)):
        _describe(schema.get("$defs", {}).get(each.__name__, schema if each is cls else {}), each)
    return {"$schema": DRAFT, "title": cls.__name__, **schema}


def _classes(kind: Any) -> Iterator[type]:
    """The dataclasses in a type."""
    if is_dataclass(kind) and isinstance(kind, type):
        yield kind
        hints = get_type_hints(kind)
        for field in fields(kind):
            yield from _classes(hints[field.name])
    for argument in get_args(kind):
        yield from _classes(argument)


def _describe(node: dict[str, Any], cls: type) -> None:
    summary, parameters = read_docstring(cls)
    node["description"] = summary
    for name, field in node.get("properties", {}).items():
        # pydantic's title repeats the name.
        field.pop("title", None)
        if name in parameters:
            field["description"] = parameters[name]


def read_docstring(cls: type) -> tuple[str, dict[str, str]]:
    """The first paragraph of a numpydoc docstring, and the text of each parameter that has one."""
    text = inspect.getdoc(cls) or ""
    summary, _, rest = text.partition("\n\n")
    found: dict[str, str] = {}
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-{3,}$|\Z)", rest, re.MULTILINE | re.DOTALL)
    for entry in re.finditer(r"^(\w[^\n]*)((?:\n(?:[ ]{4}[^\n]*|))*)", section[1] if section else "", re.MULTILINE):
        words = " ".join(entry[2].split())
        for name in entry[1].partition(" : ")[0].split(","):
            if words:
                found[name.strip()] = words
    return " ".join(summary.split()), found
