"""`python -m autoseg` is the command `autoseg`."""

import sys


def main() -> None:
    """The entry point: `cli.main`, with an answer to Ctrl-C while it is imported."""
    try:
        from autoseg.cli import main as command
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
