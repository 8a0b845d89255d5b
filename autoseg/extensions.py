"""What other installed packages add to autoseg, by name: entry points in groups called autoseg.KIND.

A plan, a checkpoint or an option names such a thing and never a module or a file: what a stranger's plan can call is what the user of this
machine has installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Literal, TypeVar

from autoseg.errors import UsageError

Kind = Literal["layouts", "planners", "recipes", "losses", "nets", "transforms", "trackers"]
T = TypeVar("T")
#: What one of a kind is called in messages.
NOUNS: dict[Kind, str] = {
    "layouts": "layout", "planners": "planner", "recipes": "trainer", "losses": "loss", "nets": "net", "transforms": "transform",
    "trackers": "tracker",
}  # fmt: skip


@cache
def installed(kind: Kind) -> dict[str, EntryPoint]:
    """What installed packages offer of a kind, by name; none of it is imported.

    Raises
    ------
    UsageError
        If two packages offer the same name: which one is meant would hang on the order of installing.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"autoseg.{kind}"):
        if (other := found.setdefault(point.name, point)).value != point.value:
            both = f"{other.value} and {point.value}"
            raise UsageError(f"two installed packages offer a {NOUNS[kind]} {point.name}: {both}. Remove one of them.")
    return found


def known(kind: Kind, own: Mapping[str, object]) -> tuple[str, ...]:
    """All names of a kind, autoseg's own first."""
    return (*own, *(name for name in installed(kind) if name not in own))


def find(kind: Kind, name: str, own: Mapping[str, T], *, option: str = "") -> T:
    """The thing of a name: autoseg's own, which no package can replace, or another package's.

    Parameters
    ----------
    kind : Kind
    name : str
    own : mapping
        autoseg's, by name.
    option : str
        Where the name was given, for messages: "--planner". By default the kind's noun.

    Raises
    ------
    UsageError
        If there is none of this name, or it cannot be imported.
    """
    if name in own:
        return own[name]
    where = option or NOUNS[kind]
    if name not in installed(kind):
        there = ", ".join(known(kind, own)) or "none"
        more = f"Installed packages may add others (entry points autoseg.{kind})."
        raise UsageError(f"{where} {name} is not known; there are {there}. {more}")
    point = installed(kind)[name]
    try:
        loaded: T = point.load()
    except Exception as error:  # whatever another package raises when it is imported
        package = point.dist.name if point.dist is not None else point.value
        raise UsageError(f"{where} {name} of the package {package} cannot be imported ({point.value}): {error}") from error
    return loaded
