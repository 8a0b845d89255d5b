"""What the shell offers at the tab key for names that lie in the workspace; `autoseg completion` switches it on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from autoseg.errors import AutosegError
from autoseg.workspace import Workspace


def datasets(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Data sets in raw/."""
    return [name for name in _place(context).raw_names() if name.startswith(incomplete)]


def plans(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The data set's plans."""
    return [file.stem for file in _plan_files(context) if file.stem.startswith(incomplete)]


def configs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Configurations of the plan that --plan names."""
    wanted = context.params.get("plan_name") or "default"
    found: list[str] = []
    for file in _plan_files(context):
        if file.stem == wanted:
            found += _read(file).get("stages", {})
    return [name for name in found if name.startswith(incomplete)]


def folds(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """All folds at once, each fold, and the net of all cases."""
    file = _place(context).splits_file(_dataset(context))
    num = len(_read(file).get("folds", ()))
    names = [f"fold0..{num - 1}", *(f"fold{k}" for k in range(num)), "all"] if num else []
    return [name for name in names if name.startswith(incomplete)]


#: Names in `infer.formats.FORMATS`, which takes too long to import between two keys.
FORMATS = ("masks", "map", "rle", "polygons", "coco", "probabilities", "npz", "overlay")


def formats(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Formats of predictions, behind those that are typed already."""
    before, comma, begun = incomplete.rpartition(",")
    taken = before.split(",")
    return [f"{before}{comma}{name}" for name in FORMATS if name.startswith(begun) and name not in taken]


def devices(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The processor and the first GPU; a number behind a colon is soon typed."""
    return [name for name in ("cpu", "cuda") if name.startswith(incomplete)]


def _place(context: click.Context) -> Workspace:
    return Workspace(root=Path(context.params.get("workspace") or "."))


def _dataset(context: click.Context) -> str:
    try:
        return _place(context).resolve(context.params.get("dataset"))[0].name
    except AutosegError:
        return ""  # an ambiguous or unknown one: nothing to offer


def _plan_files(context: click.Context) -> list[Path]:
    return _place(context).plan_files(_dataset(context))


def _read(file: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing if it is not there or damaged: the command itself will say so."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
