"""What SECURITY.md promises of the source: nothing read is run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

#: Modules whose formats hold code, or are undone by running it.
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
#: Functions that run text, or a shell.
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "literal_eval"}
FOLDERS = ("autoseg", "planners", "trainers", "experiment_plans")


def sources(root: Path) -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py"))


def findings(tree: ast.AST) -> Iterator[str]:
    """What a source does that it must not."""
    for node in ast.walk(tree):
        names = (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else
            [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        )  # fmt: skip
        yield from (f"import {name}" for name in names if name.partition(".")[0] in MODULES)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if called in CALLS or given.get("shell") == "True" or given.get("allow_pickle") == "True":
                yield f"{called}({given})"
            if called == "torch.load" and given.get("weights_only") != "True":
                yield "torch.load without weights_only=True"
            if called in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
                yield "np.load without allow_pickle=False"
            if called.endswith(".extractall") or called.endswith(".extract"):
                yield f"{called}: names in an archive are a stranger's"


def test_nothing_read_is_run(root: Path) -> None:
    found = [f"{path}: {what}" for path in sources(root) for what in findings(ast.parse(path.read_text(encoding="utf-8")))]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from yaml import load", "eval('1')", "torch.load(f)", "torch.load(f, weights_only=False)", "np.load(f)",
        "np.load(f, allow_pickle=True)", "subprocess.run('ls', shell=True)", "os.system('ls')", "archive.extractall(p)",
    ],
)  # fmt: skip
def test_it_would_be_found(source: str) -> None:
    assert list(findings(ast.parse(source)))


def test_ruff_looks_for_it_as_well(root: Path) -> None:
    import tomllib

    lint = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert [rule for rule in lint["ignore"] if rule.startswith("S")] == ["S101"]
    outside_of_tests = [pattern for pattern in lint["per-file-ignores"] if "autoseg" in pattern or pattern == "**"]
    assert outside_of_tests == []


def test_commands_read_raw_data_with_the_workspaces_salt(root: Path) -> None:
    # cli/options.read_raw: a salt that is forgotten gives patients other names with every command.
    calls = {
        f"{path.relative_to(root)}: {ast.unparse(node)}"
        for package in ("cli", "evaluate", "report")
        for path in (root / "autoseg" / package).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "read_dataset" and "salt" not in {word.arg for word in node.keywords}
    }
    assert calls == set()
