"""What an installed distribution needs in turn: for test_bare.py and test_pins.py."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def needed_by(wanted: Iterable[str]) -> set[str]:
    """Canonical names of the distributions in `wanted` ("torch", "autoseg[test]") and of all that they need on this machine."""
    seen: set[tuple[str, str]] = set()
    queue = [Requirement(line) for line in wanted]
    while queue:
        requirement = queue.pop()
        for extra in {"", *requirement.extras}:
            key = (canonicalize_name(requirement.name), extra)
            if key not in seen:
                seen.add(key)
                queue += [need for need in _requirements(requirement.name) if need.marker is None or need.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


def _requirements(name: str) -> list[Requirement]:
    try:
        return [Requirement(line) for line in requires(name) or []]
    except PackageNotFoundError:  # its absence is for pip to report
        return []
