"""Names of other packages, by entry points that the standard library finds in a folder on the path."""

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from autoseg.errors import UsageError
from autoseg.extensions import find, installed, known

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Writes a module and the entry points of its package as an installer would."""

    def write(source: str, points: str) -> None:
        (tmp_path / "someones.py").write_text(source, encoding="utf-8")
        info = tmp_path / "someones-1.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: someones\nVersion: 1\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(points, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "someones", raising=False)
        installed.cache_clear()

    yield write
    installed.cache_clear()


def test_a_package_adds_a_name(install: Install) -> None:
    install("THING = 7", "[autoseg.losses]\nmine = someones:THING\n")
    assert known("losses", {"own": 1}) == ("own", "mine")
    assert find("losses", "mine", {"own": 1}) == 7
    assert known("nets", {"own": 1}) == ("own",)


def test_no_package_takes_a_name_that_autoseg_has(install: Install) -> None:
    install("raise RuntimeError('imported')", "[autoseg.losses]\nown = someones:THING\n")
    assert find("losses", "own", {"own": 1}) == 1
    assert known("losses", {"own": 1}) == ("own",)


def test_an_unknown_name_is_answered_with_those_that_there_are(install: Install) -> None:
    install("THING = 7", "[autoseg.planners]\nmine = someones:THING\n")
    with pytest.raises(UsageError, match=r"--planner other is not known; there are own, mine\. Installed packages may add others"):
        find("planners", "other", {"own": 1}, option="--planner")
    with pytest.raises(UsageError, match=r"^net other is not known; there are unet\."):
        find("nets", "other", {"unet": 1})


def test_two_packages_of_one_name_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint(name="mine", value=value, group="autoseg.losses") for value in ("ones:THING", "others:THING")]
    monkeypatch.setattr("autoseg.extensions.entry_points", lambda group: points)
    installed.cache_clear()
    with pytest.raises(UsageError, match="two installed packages offer a loss mine: ones:THING and others:THING"):
        find("losses", "mine", {"own": 1})


@pytest.mark.parametrize(("source", "said"), [("raise ValueError('no licence')", "no licence"), ("", "THING")])
def test_a_package_that_cannot_be_imported_is_named(install: Install, source: str, said: str) -> None:
    install(source, "[autoseg.losses]\nmine = someones:THING\n")
    with pytest.raises(UsageError, match=rf"loss mine of the package someones cannot be imported \(someones:THING\): .*{said}"):
        find("losses", "mine", {"own": 1})


@pytest.mark.parametrize("name", ["os:system", "os.path", "../loss.py"])
def test_a_module_or_file_is_no_name(name: str) -> None:
    with pytest.raises(UsageError, match="is not known"):
        find("losses", name, {"own": 1})
