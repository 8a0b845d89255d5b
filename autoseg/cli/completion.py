"""autoseg completion"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

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
