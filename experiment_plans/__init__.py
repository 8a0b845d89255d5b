"""Complete plans that load: HandBone_v100-32gb is the competition's data set on a 32 GB V100. README.md says where the numbers are from."""

from __future__ import annotations

from importlib.resources import files

from autoseg.errors import UsageError
from autoseg.io.json_files import from_json
from autoseg.plan import Plan


def names() -> tuple[str, ...]:
    """The plans that come with autoseg."""
    return tuple(sorted(file.name.removesuffix(".json") for file in files(__name__).iterdir() if file.name.endswith(".json")))


def load_plan(name: str) -> Plan:
    """A plan by its name.

    Raises
    ------
    UsageError
        If there is no such plan; the message lists them.
    """
    if name not in names():
        raise UsageError(f"there is no plan {name}; there are {', '.join(names())}.")
    file = files(__name__) / f"{name}.json"
    return from_json(file.read_text(encoding="utf-8"), Plan, source=str(file))
