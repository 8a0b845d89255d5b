"""Imports point down only."""

import re
from pathlib import Path

import pytest

from tests.house.imports import find_violations, read_imports, read_modules

# From top to bottom. `|`: not each other. Names side by side may import each other, without a cycle.
# __init__ is `autoseg` itself with its lazy names.
ORDER = """
    __init__ __main__ > cli > trainers | planners | experiment_plans > report standing > predictor bundle select
    > evaluate | ensemble | postprocess > infer > memory stopwatch > step > preprocess | augment | nets | losses | optimizers | metrics
    > fingerprint | checkpoint | demo > io > workspace > plan > recipe budget > case labels > geometry > extensions > errors
"""


def plant(root: Path, files: dict[str, str]) -> Path:
    """A small tree of these files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_imports_point_down(root: Path) -> None:
    assert find_violations(root, ORDER) == []


def test_every_source_file_is_read_once(root: Path) -> None:
    paths = [module.path for module in read_modules(root).values()]
    assert len(paths) == len({path.resolve() for path in paths})
    assert {"autoseg", "planners", "trainers", "experiment_plans"} == {path.relative_to(root).parts[0] for path in paths}


def test_what_tests_share_stands_in_no_test(root: Path) -> None:
    lent = re.compile(r"^ *(?:from|import) tests\.(?:\w+\.)*test_\w+", re.MULTILINE)
    files = [path for folder in ("tests", "benchmarks") for path in (root / folder).rglob("*.py")]
    found = [f"{path.relative_to(root)}: {line}" for path in files for line in lent.findall(path.read_text(encoding="utf-8"))]
    # Code for an interpreter of its own, which imports the very test that starts it.
    assert found == ["tests/fingerprint/test_parallel.py: from tests.fingerprint.test_parallel"]


def from_plan(text: str) -> dict[str, str]:
    return {"autoseg/plan.py": text}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (from_plan("import autoseg.io"), "autoseg/plan.py:1 imports autoseg.io: io stands above plan"),
        (from_plan("from autoseg.io.store import save"), "autoseg/plan.py:1 imports autoseg.io.store: io stands above plan"),
        (from_plan("def f():\n    from . import io"), "autoseg/plan.py:2 imports autoseg.io: io stands above plan"),
        (from_plan("if TYPE_CHECKING:\n    from .io import store"), "autoseg/plan.py:2 imports autoseg.io.store: io stands above plan"),
        (from_plan("import_module('autoseg.io')"), "autoseg/plan.py:1 imports autoseg.io: io stands above plan"),
        (from_plan("from autoseg import Predictor"), "imports autoseg: __init__ stands above plan"),
        (from_plan("import autoseg.utils"), "imports autoseg.utils, which is in no layer"),
        ({"autoseg/utils.py": ""}, "autoseg.utils stands in no layer"),
        ({"autoseg/nets/unet.py": "from ..losses import dice"}, "losses stands beside nets, and they may not import each other"),
        ({"planners/flat.py": "from autoseg.trainers import fit"}, "planners/flat.py:1 imports autoseg.trainers: trainers stands beside"),
        ({"autoseg/infer/tiling.py": "import autoseg.planners"}, "planners stands above infer"),
        ({"autoseg/infer/tiling.py": "from autoseg import demo"}, "imports autoseg.demo: only cli and the tests may"),
        ({"autoseg/cli/train.py": "import planners"}, "imports planners: the package is autoseg.planners"),
        ({"autoseg/cli/train.py": "from tests.house import imports"}, "nothing imports tests or benchmarks"),
        ({"trainers/loop.py": "import benchmarks.gpu"}, "nothing imports tests or benchmarks"),
        ({"autoseg/case.py": "import autoseg.labels", "autoseg/labels.py": "from .case import Case"}, "import cycle: autoseg.case"),
        ({"autoseg/nets/unet.py": "from . import norm", "autoseg/nets/norm.py": "from .unet import UNet"}, "import cycle: autoseg.nets"),
        (
            {"autoseg/nets/__init__.py": "from .unet import UNet", "autoseg/nets/unet.py": "from autoseg.nets import UNet"},
            "import cycle: autoseg.nets",
        ),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    around = {"autoseg/io/__init__.py": "", "autoseg/io/store.py": "", "autoseg/demo/__init__.py": ""}
    (violation,) = find_violations(plant(tmp_path, around | files), ORDER)
    assert expected in violation


def test_what_is_allowed_passes(tmp_path: Path) -> None:
    files = {
        "autoseg/errors.py": "import re",
        "autoseg/geometry.py": "from . import errors",
        "autoseg/labels.py": "from autoseg import __version__, geometry",
        "autoseg/case.py": "from .labels import LabelSpace",
        "autoseg/nets/__init__.py": "from autoseg.nets.unet import UNet",
        "autoseg/nets/unet.py": "from .norm import Norm",
        "autoseg/nets/norm.py": "import torch",
        "autoseg/demo/__init__.py": "from ..case import Case",
        "autoseg/cli/__init__.py": "from autoseg import demo\nfrom autoseg.planners import flat",
        "planners/flat.py": "from autoseg.nets import UNet",
    }
    assert find_violations(plant(tmp_path, files), ORDER) == []


def test_relative_imports_start_at_the_imported_name(tmp_path: Path) -> None:
    files = {"planners/__init__.py": "from .flat import F", "planners/flat.py": "from ..nets.unet import UNet, Head"}
    known = read_modules(plant(tmp_path, files))
    assert [i.target for i in read_imports(known["autoseg.planners"], known)] == ["autoseg.planners.flat"]
    assert {i.target for i in read_imports(known["autoseg.planners.flat"], known)} == {"autoseg.nets.unet"}
