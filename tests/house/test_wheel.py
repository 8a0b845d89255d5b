"""The wheel holds the whole tree once, under the one name autoseg, and works where the tree is not."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest

from tests.house.imports import HOMES


def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """stdout of a command that must succeed."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def list_sources(root: Path) -> list[str]:
    """The files that a commit of the tree as it stands would hold."""
    listed = run("git", "ls-files", "-co", "--exclude-standard", "-z", cwd=root).split("\0")
    return [name for name in listed if name and ((root / name).exists() or (root / name).is_symlink())]


@pytest.fixture(scope="module")
def built(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tree/ (a clean copy), direct/ (the wheel made from it) and dist/ (the sdist, and the wheel made from that)."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in list_sources(root):
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, folder / "tree" / name, follow_symlinks=False)
    build = [sys.executable, "-m", "build", "--no-isolation"]
    run(*build, "--wheel", "--outdir", folder / "direct", cwd=folder / "tree")
    shutil.rmtree(folder / "tree" / "build")
    run(*build, "--outdir", folder / "dist", cwd=folder / "tree")
    return folder


@pytest.fixture(scope="module")
def installed(built: Path) -> Path:
    """The folder into which the wheel is installed, without downloading."""
    (wheel,) = (built / "direct").glob("*.whl")
    target = built / "site"
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", target, wheel, cwd=built)
    return target


def outside(installed: Path) -> dict[str, str]:
    """The environment in which python finds the installed autoseg and not the tree."""
    return {name: value for name, value in os.environ.items() if name != "AUTOSEG_WORKSPACE"} | {
        "PYTHONPATH": str(installed),
        "PYTHONSAFEPATH": "1",
    }


def expected_files(root: Path) -> set[str]:
    """Every file of the four folders, symlinks and notes for developers aside, where it is imported from."""
    files = [PurePosixPath(name) for name in list_sources(root) if not (root / name).is_symlink() and not name.endswith(".md")]
    return {str(PurePosixPath(*HOMES[f.parts[0]].split("."), *f.parts[1:])) for f in files if f.parts[0] in HOMES}


@pytest.mark.parametrize("kind", ["direct", "dist"])
def test_the_wheel_is_the_tree(root: Path, built: Path, kind: str) -> None:
    (path,) = (built / kind).glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert set(names) == expected_files(root)
    assert max(Counter(names).values()) == 1


def test_the_sdist_holds_no_file_twice(built: Path) -> None:
    (path,) = (built / "dist").glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        names = [PurePosixPath(*PurePosixPath(member.name).parts[1:]) for member in sdist if not member.isdir()]
    assert max(Counter(names).values()) == 1
    assert not [name for name in names if name.parts[:2] in {("autoseg", short) for short in HOMES}]
    assert PurePosixPath("LICENSE") in names


def test_the_installed_package_is_imported(installed: Path, tmp_path: Path) -> None:
    names = ["autoseg", *(home for home in HOMES.values() if home != "autoseg")]
    script = f"import importlib\nfor name in {names}: print(importlib.import_module(name).__file__)"
    printed = run(sys.executable, "-c", script, cwd=tmp_path, env=outside(installed)).split()
    assert [Path(line).relative_to(installed).as_posix() for line in printed] == [f"{n.replace('.', '/')}/__init__.py" for n in names]


def test_the_three_commands_run_outside_the_tree(installed: Path, tmp_path: Path) -> None:
    command = installed / "bin" / "autoseg"

    def autoseg(*arguments: str) -> str:
        return run(command, *arguments, cwd=tmp_path, env=outside(installed))

    autoseg("demo", "make", "-w", ".", "--people", "6", "--size", "64")
    autoseg("plan_and_preprocess", "-d", "HandBone", "--gpu", "cpu")
    autoseg("train", "2d", "fold0,1", "--epochs", "1", "--iterations-per-epoch", "2")
    autoseg("predict", "--ensemble")

    assert (tmp_path / "results" / "HandBone" / "report.html").is_file()  # its templates are in the wheel
    images = sorted((tmp_path / "raw" / "HandBone" / "test" / "DCM").rglob("*.png"))
    ensemble = tmp_path / "results" / "HandBone" / "predictions" / "ensemble"
    lines = (ensemble / "submission.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "image_name,class,rle"
    assert len(lines) == 1 + 29 * len(images)
    assert len(list(ensemble.rglob("*.png"))) == 29 * len(images)
    (run_folder,) = (tmp_path / "results" / "HandBone" / "default").glob("2d-*")
    assert {"fold0", "fold1"} <= {folder.name for folder in run_folder.iterdir() if (folder / "summary.json").is_file()}
