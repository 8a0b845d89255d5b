"""Every command line that the documentation shows is one that the command line takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from autoseg.cli import cli
from autoseg.errors import UsageError
from tests.docs.pages import code_lines, pages

INLINE = re.compile(r"`(autoseg [^`\n]+)`")


def typed(line: str) -> Iterator[list[str]]:
    """The words of each autoseg command in a line of shell."""
    for part in re.split(r"&&|\||\s>\s", line):
        try:
            words = shlex.split(part, comments=True)
        except ValueError:  # prose with an apostrophe
            continue
        while words and re.fullmatch(r"\w+=\S*|taskset|-c|[\d,]+|time|eval", words[0]):
            words = words[1:]
        if words and words[0] == "autoseg":
            yield words[1:]


def found(root: Path) -> list[tuple[str, tuple[str, ...]]]:
    lines: dict[tuple[str, tuple[str, ...]], None] = {}
    for page in pages(root):
        for line in code_lines(page.read_text(encoding="utf-8")):
            # "..." stands for something that is not typed.
            lines.update(dict.fromkeys((page.name, tuple(words)) for words in typed(line) if "..." not in words))
    return list(lines)


def parse(words: tuple[str, ...]) -> None:
    """Parse as the command line does, without running anything."""
    command: click.Command = cli
    context = click.Context(cli, info_name="autoseg")
    rest = list(words)
    while isinstance(command, click.Group) and rest and rest[0] not in ("-h", "--help", "--version"):
        known = command.get_command(context, rest[0])
        assert known is not None, f"there is no command {rest[0]}"
        command, rest = known, rest[1:]
    if not {"-h", "--help", "--version"} & set(rest):
        command.make_context(command.name, rest)


def test_every_command_line_is_taken(root: Path) -> None:
    lines = found(root)
    assert len(lines) > 80
    refused = []
    for page, words in lines:
        try:
            parse(words)
        except (click.ClickException, UsageError, AssertionError) as error:
            refused.append(f"{page}: autoseg {shlex.join(words)}: {error}")
    assert refused == []


def test_every_command_in_a_sentence_exists_with_its_options(root: Path) -> None:
    refused = []
    for page in pages(root):
        for match in INLINE.finditer(page.read_text(encoding="utf-8")):
            for words in typed(match[1]):
                if problem := unknown(words):
                    refused.append(f"{page.name}: {match[1]}: {problem}")
    assert refused == []


def unknown(words: list[str]) -> str:
    """What no parser knows of a command that may be cut short; empty if all is known."""
    if not words or words[0].startswith("-") or words[0].isupper():
        return ""
    context = click.Context(cli)
    command = cli.get_command(context, words[0])
    if isinstance(command, click.Group) and len(words) > 1:
        command = command.get_command(context, words[1])
    if command is None:
        return "no such command"
    options = {name for parameter in command.params for name in parameter.opts} | {"--help", "-h"}
    given = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return next((f"no option {word}" for word in given if word not in options), "")


@pytest.mark.parametrize(
    "words", [("trian", "2d", "fold0"), ("train", "2d", "fold0", "--epoch-number", "3"), ("train", "2d"), ("plan", "shwo")]
)
def test_a_wrong_line_would_be_found(words: tuple[str, ...]) -> None:
    with pytest.raises((click.ClickException, AssertionError)):
        parse(words)


def test_a_wrong_command_in_a_sentence_would_be_found() -> None:
    assert unknown(["trian"]) == "no such command"
    assert unknown(["train", "--epoch-number=3"]) == "no option --epoch-number"
    assert unknown(["train", "--epochs", "3"]) == ""
