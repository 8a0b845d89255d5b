"""A machine on which there is nothing but torch, numpy and scipy, as far as an interpreter can be made to believe it."""

import subprocess
import sys
from importlib.metadata import packages_distributions

from packaging.utils import canonicalize_name

from tests.house.distributions import needed_by

GIVEN = {"torch", "numpy", "scipy"}

# Imports argv[2:] with every top-level name of argv[1] refused, as if it were not installed.
BLOCKER = """
import importlib, sys
refused = set(sys.argv[1].split(","))
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"{name} is not on a bare machine", name=name)
sys.meta_path.insert(0, Blocker())
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


def refused_names() -> set[str]:
    """Top-level module names of all that is installed here and not on a bare machine."""
    there = needed_by(GIVEN)
    owners, stdlib = packages_distributions().items(), sys.stdlib_module_names
    return {name for name, names in owners if name not in {"autoseg", *stdlib} and not {canonicalize_name(n) for n in names} & there}


def import_without(refused: set[str], *modules: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKER, ",".join(sorted(refused)), *modules]
    return subprocess.run(command, capture_output=True, text=True, check=False)
