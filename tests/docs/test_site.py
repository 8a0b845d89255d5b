"""What the site's build adds to the pages. The build itself is `make docs`, which fails on every warning."""

import re
from pathlib import Path

import click
import pytest

import autoseg
from autoseg.cli import cli
from docs.site.commands import MARKER, reference, walk
from docs.site.hooks import ELSEWHERE, FETCHED, relinked


@click.command(epilog="\b\nExamples:\n  tool cut -k 3")
@click.argument("file")
@click.option("-k", "--keep", default=2, show_default=True, metavar="N", help="How many; 0 | 1 is none.")
@click.option("--secret", hidden=True)
def cut(file: str, keep: int, secret: str) -> None:
    """Cut a file."""


@click.group()
def tool() -> None:
    """A tool."""


tool.add_command(cut)


def test_a_command_is_a_section() -> None:
    assert reference(tool, "tool").splitlines() == [
        "## tool cut", "", "Cut a file.", "", "    tool cut [OPTIONS] FILE", "",
        "| option | |", "|---|---|", r"| `-k, --keep N` | How many; 0 \| 1 is none. \[default: 2] |",
        "| `--help` | Show this message and exit. |", "",
        "```", "Examples:", "  tool cut -k 3", "```",
    ]  # fmt: skip


def test_every_command_and_option_is_there(root: Path) -> None:
    assert (root / "docs/commands.md").read_text(encoding="utf-8").count(MARKER) == 1
    text = reference(cli, "autoseg")
    for name, command in walk(cli, "autoseg"):
        part = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        shown = {
            option
            for parameter in command.params
            if isinstance(parameter, click.Option) and not parameter.hidden
            for option in parameter.opts
        }
        assert shown <= set(re.findall(r"--?[a-z][a-z-]*", part)), name
    assert "## autoseg plan_and_preprocess\n" in text
    assert "## autoseg demo make\n" in text
    assert "--queued" not in text


@pytest.mark.parametrize(
    ("source", "link", "expected"),
    [
        ("docs/faq.md", "[x](data.md#dicom)", "[x](data.md#dicom)"),
        ("docs/faq.md", "[x](../benchmarks/README.md)", "[x](measurements.md)"),
        ("docs/faq.md", "[x](../README.md#install)", "[x](index.md#install)"),
        ("docs/faq.md", "![x](images/a.png)", "![x](images/a.png)"),
        ("CHANGELOG.md", "[x](docs/report.md)", "[x](report.md)"),
        ("benchmarks/README.md", "[x](../docs/report.md#size)", "[x](report.md#size)"),
        ("CHANGELOG.md", "[x](https://semver.org)", "[x](https://semver.org)"),
        ("docs/faq.md", "[x](#here)", "[x](#here)"),
    ],
)
def test_links_lead_to_pages_of_the_site(source: str, link: str, expected: str) -> None:
    assert relinked(link, source) == expected


@pytest.mark.parametrize(
    ("html", "fetches"),
    [
        ('<script src="https://host/a.js"></script>', True),
        ('<link rel="stylesheet" href="//host/a.css">', True),
        ('<img alt="x" src="http://host/a.png">', True),
        ('<script src="assets/a.js"></script><img src="../images/a.png">', False),
        ('<a href="https://semver.org">versions</a>', False),
    ],
)
def test_what_a_page_fetches(html: str, fetches: bool) -> None:
    assert bool(FETCHED.search(html)) == fetches


def test_pages_from_elsewhere_exist(root: Path) -> None:
    assert [name for name in ELSEWHERE if not (root / name).is_file()] == []
    assert [page for page in ELSEWHERE.values() if (root / "docs" / page).exists()] == []


def test_the_page_of_python_names_has_them_all(root: Path) -> None:
    listed = re.findall(r"^::: (\S+)$", (root / "docs/api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(listed) == {f"{home}.{name}" for name, home in autoseg._HOMES.items()}
    assert listed[0] == "autoseg.predictor.Predictor"
