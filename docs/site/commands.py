"""Every command and option as Markdown, from the parsers themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

#: The line of commands.md that the reference replaces.
MARKER = "<!-- every command: filled in when the site is built; here `autoseg COMMAND --help` says the same -->"


def reference(group: click.Group, program: str) -> str:
    """A section for each command of a group: usage, what it does, arguments, options, examples.

    Parameters
    ----------
    group : click.Group
    program : str
        What is typed before the command.
    """
    return "\n".join(line for name, command in walk(group, program) for line in section(name, command))


def walk(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group with the words that call it, in the order of --help; hidden ones are left out."""
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if command.hidden:
            continue
        if isinstance(command, click.Group):
            yield from walk(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def section(name: str, command: click.Command) -> Iterator[str]:
    """The Markdown lines of one command."""
    context = click.Context(command, info_name=name, max_content_width=110)
    yield from (f"## {name}", "", inspect.cleandoc(command.help or ""), "")
    yield from (f"    {name} {' '.join(command.collect_usage_pieces(context))}", "")
    rows = [row for row in map(option_row, command.get_params(context)) if row]
    if rows:
        yield from ("| option | |", "|---|---|", *rows, "")
    # click's mark for "leave these lines as they are".
    lines = inspect.cleandoc((command.epilog or "").replace("\b", "")).splitlines()
    if any(line.strip() for line in lines):
        yield from ("```", *[line for line in lines if line.strip()], "```", "")


def option_row(parameter: click.Parameter) -> str:
    """A row of the table of options; empty for arguments and for what is hidden."""
    if not isinstance(parameter, click.Option) or parameter.hidden:
        return ""
    record = parameter.get_help_record(click.Context(click.Command("any")))
    assert record is not None
    names, text = record
    # Between backticks nothing is escaped but what ends a cell.
    names = names.replace("|", "\\|")
    return f"| `{names}` | {escaped(' '.join(text.split()))} |"


def escaped(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("[", "\\[")
