"""autoseg completion"""

from __future__ import annotations

import os
import re
import shlex

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, get_completion_class

from autoseg.errors import UsageError

#: Shell -> the file that it reads at its start, and the line that belongs there.
STARTS = {
    "bash": ("~/.bashrc", 'eval "$(autoseg completion bash)"'),
    "zsh": ("~/.zshrc", 'eval "$(autoseg completion zsh)"'),
    "fish": ("~/.config/fish/config.fish", "autoseg completion fish | source"),
}
EPILOG = """\b
Examples:
  eval "$(autoseg completion bash)"                       in this shell; in ~/.bashrc: in every one
  eval "$(autoseg completion zsh)"                        the same in ~/.zshrc
  autoseg completion fish | source                        in ~/.config/fish/config.fish
"""


@add_completion_class
class QuotingBash(BashComplete):
    """Bash, which takes what is offered as it is typed: a name with spaces would be several words."""

    def format_completion(self, item: CompletionItem) -> str:
        """TYPE,VALUE, with a backslash before what means something to the shell; within quotes that were typed nothing does."""
        value = item.value if _is_quoted(os.environ["COMP_WORDS"]) else re.sub(r"([^\w@%+=:,./-])", r"\\\1", item.value)
        # The script's `read` takes a backslash away.
        return f"{item.type},{value.replace(chr(92), 2 * chr(92))}"


def _is_quoted(typed: str) -> bool:
    """True if a quote is open at the end."""
    try:
        shlex.split(typed)
    except ValueError:
        return True
    return False


@click.command(name="completion", epilog=EPILOG)
@click.argument("shell", type=click.Choice(tuple(STARTS)))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options, data sets, plans, configurations and folds at the tab key."""
    found = get_completion_class(shell)
    if found is None:  # pragma: no cover - click knows these three
        raise UsageError(f"{shell} is not known here; known are {', '.join(STARTS)}.")
    root = context.find_root().command
    click.echo(found(root, {}, "autoseg", "_AUTOSEG_COMPLETE").source())
