"""The options are a promise: adding one is a line here, losing one fails. And every --help answers with an example."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from autoseg.cli import cli

OPTIONS = {
    "check": {"-d --dataset", "-w --workspace", "--workers", "--labels", "--config", "--plan", "--trainer"},
    "plan_and_preprocess": {
        "-d --dataset", "-w --workspace", "--gpu", "--gpu-memory", "--configs", "--hours", "--workers", "--group-regex", "--plan",
        "--planner", "--set",
    },
    "train": {
        "-d --dataset", "-w --workspace", "--plan", "--trainer", "--epochs", "--iterations-per-epoch", "--hours", "--lr", "--loss",
        "--optimizer", "--schedule", "--augmentation", "--warmup", "--batch",
        "--seed", "--patience", "--ema", "--from", "--track", "--deterministic", "--device", "--queued", "--restart",
    },
    "predict": {
        "--ensemble", "--no-selection", "-d --dataset", "-i --input", "-o --output", "--model", "--folds", "--no-tta",
        "--step", "--config", "--plan",
        "--trainer", "--device", "--engine", "--format", "--part", "--overwrite", "-w --workspace",
    },
    "export": {
        "-d --dataset", "-o --output", "--onnx", "--folds", "--config", "--plan", "--trainer", "--no-selection", "--overwrite",
        "-w --workspace",
    },
    "evaluate": {"-d --dataset", "-o --output", "--tolerance", "--groups", "--by", "--workers", "-w --workspace"},
    "compare": {"--json"},
    "select": {"-d --dataset", "-w --workspace", "--members", "--workers"},
    "report": {"-d --dataset", "-o --output", "--pictures", "--workers", "-w --workspace"},
    "status": {"-d --dataset", "-w --workspace", "--json"},
    "clean": {"-d --dataset", "-w --workspace", "--prepared", "--probabilities", "--dry-run", "-y --yes"},
    "info": {"-w --workspace", "--json"},
    "completion": set(),
    "plan show": {"-d --dataset", "-w --workspace", "--json"},
    "plan list": {"-d --dataset", "-w --workspace"},
    "plan diff": {"-d --dataset", "-w --workspace", "--reasons"},
    "plan schema": {"-o --output"},
    "demo make": {"-w --workspace", "--people", "--size", "--seed", "--workers"},
    "demo score": {"-w --workspace", "-p --predictions"},
}  # fmt: skip
ARGUMENTS = {
    "train": ["config", "folds"], "evaluate": ["pred", "truth"], "compare": ["run_a", "run_b"], "plan show": ["name"],
    "completion": ["shell"],
    "plan diff": ["first", "second"],
}  # fmt: skip


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def test_the_commands() -> None:
    assert {name for name, _ in commands(cli)} == OPTIONS.keys()


@pytest.mark.parametrize(("name", "command"), list(commands(cli)))
def test_the_options_of_each_command(name: str, command: click.Command) -> None:
    assert {" ".join(p.opts) for p in command.params if isinstance(p, click.Option)} == OPTIONS[name]
    assert [p.name for p in command.params if isinstance(p, click.Argument)] == ARGUMENTS.get(name, [])


@pytest.mark.parametrize("name", OPTIONS)
def test_every_help_has_an_example_and_explains_every_option(name: str) -> None:
    result = CliRunner().invoke(cli, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert f"autoseg {name}" in result.output.partition("Examples:")[2]
    context = click.Context(cli)
    words = name.split()
    command = cli.get_command(context, words[0])
    for word in words[1:]:
        assert isinstance(command, click.Group)
        command = command.get_command(context, word)
    assert command is not None
    assert [p.name for p in command.params if isinstance(p, click.Option) and not p.help] == []


def test_the_first_help_names_the_three_commands_in_order() -> None:
    output = CliRunner().invoke(cli, ["-h"]).output
    places = [output.index(f"autoseg {command}") for command in ("plan_and_preprocess", "train", "predict")]
    assert places == sorted(places)


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['autoseg', *sys.argv[1:]]\n"
        "from autoseg.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'pydantic', 'SimpleITK', 'scipy') if name in sys.modules])\n"
    )
    for arguments in (["--help"], ["train", "--help"], ["predict", "--help"], ["plan_and_preprocess", "--help"], ["plan", "--help"]):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]", arguments
