"""The inner modules run on a bare GPU machine, where there is nothing but torch, numpy and scipy."""

import sys
from pathlib import Path

import pytest

from tests.house.bare import GIVEN, import_without, refused_names
from tests.house.imports import read_imports, read_modules

BARE = [
    *("autoseg.errors", "autoseg.extensions", "autoseg.geometry", "autoseg.labels", "autoseg.case"),
    *("autoseg.recipe", "autoseg.budget", "autoseg.plan"),
    *("autoseg.nets", "autoseg.losses", "autoseg.optimizers", "autoseg.augment", "autoseg.step", "autoseg.memory", "autoseg.stopwatch"),
    "autoseg.infer.tiling",
]


def part_of(package: str, known: list[str]) -> list[str]:
    return [name for name in known if name == package or name.startswith(package + ".")]


@pytest.mark.parametrize("package", BARE)
def test_imports_only_what_a_bare_machine_has(root: Path, package: str) -> None:
    known = read_modules(root)
    modules = part_of(package, list(known))
    assert modules, f"{package} is not in the tree"
    allowed = GIVEN | {"autoseg"} | sys.stdlib_module_names
    written = {(name, imported.target) for name in modules for imported in read_imports(known[name], known)}
    assert {pair for pair in written if pair[1].partition(".")[0] not in allowed} == set()


def test_bare_modules_load_where_nothing_else_is_installed(root: Path) -> None:
    known = list(read_modules(root))
    modules = [name for package in BARE for name in part_of(package, known) or [package]]
    done = import_without(refused_names(), *modules)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("refused", ["pydantic", "SimpleITK", "blosc2", "skimage", "batchgenerators", "acvl_utils", "click", "tqdm", "PIL"])
def test_the_blocker_refuses(refused: str) -> None:
    assert refused in refused_names()
    done = import_without({refused}, refused)
    assert done.returncode == 1
    assert f"{refused} is not on a bare machine" in done.stderr
