"""The documentation's pages, as its tests read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

#: Pages of the repository that users read.
TOP = ("README.md", "SECURITY.md", "CHANGELOG.md", "benchmarks/README.md", "experiment_plans/README.md")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^|\n\n)((?: {4}.*\n|\n(?= {4}))+)")


def pages(root: Path) -> list[Path]:
    """Every page: docs/*.md and those that lie elsewhere."""
    return [*sorted((root / "docs").glob("*.md")), *[root / name for name in TOP]]


def fenced(text: str) -> Iterator[tuple[str, str]]:
    """Language and content of each fenced block."""
    yield from ((match[1], match[2]) for match in FENCED.finditer(text))


def code_lines(text: str) -> Iterator[str]:
    """The lines of all blocks, fenced and indented ones, without their indentation; lines that end in a backslash are joined."""
    without = FENCED.sub("", text)
    blocks = [content for _, content in fenced(text)] + [match[1] for match in INDENTED.finditer(without)]
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            yield line.strip()


def prose(text: str) -> str:
    """The text without its code."""
    return re.sub(r"`[^`\n]+`", "", INDENTED.sub("\n", FENCED.sub("", text)))
