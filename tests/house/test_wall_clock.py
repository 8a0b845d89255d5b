"""Clocks that people or time servers set jump; only monotonic ones decide anything here."""

import ast
from collections.abc import Iterator
from pathlib import Path

WALL = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}
#: Where the time of day is shown to people.
SHOWN = {"autoseg/report/page.py"}


def wall_clocks(source: str) -> Iterator[int]:
    """Lines that read the time of day."""
    nodes = list(ast.walk(ast.parse(source)))
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    renamed = {name.asname: name.name for node in imports for name in node.names if name.asname}
    for node in nodes:
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value).rpartition(".")[2]
            if (renamed.get(owner, owner), node.attr) in WALL:
                yield node.lineno
        if isinstance(node, ast.ImportFrom) and any((node.module, name.name) in WALL for name in node.names):
            yield node.lineno


def test_what_counts() -> None:
    assert sorted(wall_clocks("import time\nt = time.time()\nu = time.monotonic()\nfrom time import time_ns")) == [2, 4]
    assert list(wall_clocks("import datetime\nt = datetime.datetime.now()")) == [2]
    assert list(wall_clocks("import time as t\nu = t.time()\nv = t.monotonic()")) == [2]
    assert list(wall_clocks("from datetime import datetime as d\nt = d.now()")) == [2]


def test_no_decision_hangs_on_the_time_of_day(root: Path) -> None:
    files = [path for top in ("autoseg", "planners", "trainers") for path in (root / top).rglob("*.py")]
    assert len(files) > 200
    found = {f"{path.relative_to(root)}:{line}" for path in files for line in wall_clocks(path.read_text(encoding="utf-8"))}
    assert {place for place in found if place.partition(":")[0] not in SHOWN} == set()
