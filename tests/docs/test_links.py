"""Links between pages lead somewhere on a plain git host, and the pages speak of the project alone."""

import re
from collections.abc import Iterable
from pathlib import Path

from tests.docs.pages import fenced, pages, prose

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
#: What belongs to the making of the project and not to it: in its sources, and in its pages.
INSIDE = re.compile(r"/work/|/tmp/\w|\bPEERS\b|\bDESIGN\b|\bSTYLE\.md|\bhelper session")
INSIDE_PAGES = re.compile(rf"{INSIDE.pattern}|(?i:\bissue #?\d|pypi)")
FOLDERS = ("autoseg", "planners", "trainers", "experiment_plans", "tests", "benchmarks", "docs")


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as git hosts and mkdocs make them."""
    text = page.read_text(encoding="utf-8")
    for _, content in fenced(text):
        text = text.replace(content, "")
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def broken(page: Path) -> list[str]:
    found = []
    for target in LINK.findall(prose(page.read_text(encoding="utf-8"))):
        path, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            found.append(f"{page.name}: {target}")
    return found


def test_every_link_leads_somewhere(root: Path) -> None:
    assert [problem for page in pages(root) for problem in broken(page)] == []


def test_every_page_is_reached_from_the_readme(root: Path) -> None:
    seen, queue = set[Path](), [root / "README.md"]
    while queue:
        page = queue.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        text = prose(page.read_text(encoding="utf-8"))
        queue += [
            (page.parent / target.partition("#")[0]).resolve() for target in LINK.findall(text) if "://" not in target and target[0] != "#"
        ]
    assert {page.resolve() for page in pages(root)} - {page.resolve() for page in seen} == set()


def said(files: Iterable[Path], pattern: re.Pattern[str]) -> list[str]:
    return [f"{file}: {match[0]}" for file in files for match in pattern.finditer(file.read_text(encoding="utf-8"))]


def sources(root: Path) -> list[Path]:
    """All that is code, text or settings, this file excepted: it holds the words."""
    below = [path for folder in FOLDERS for kind in ("py", "md") for path in (root / folder).rglob(f"*.{kind}")]
    beside = [path for kind in ("md", "cfg", "toml") for path in root.glob(f"*.{kind}")]
    return sorted({*below, *beside, root / "Makefile"} - {root / "tests/docs/test_links.py"})


def test_pages_speak_of_the_project_alone(root: Path) -> None:
    assert said(pages(root), INSIDE_PAGES) == []


def test_sources_speak_of_the_project_alone(root: Path) -> None:
    files = sources(root)
    assert {"autoseg/plan.py", "planners/search.py", "tests/docs/pages.py", "README.md", "setup.cfg", "Makefile"} <= {
        str(file.relative_to(root)) for file in files
    }
    assert said(files, INSIDE) == []


def test_other_words_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.py"
    words = ["DESIGN", "PEERS", "STYLE.md", "helper session", "/tmp/f"]  # noqa: S108
    page.write_text("".join(f"# as {word} says, a design in /tmp, by its peers\n" for word in words), encoding="utf-8")
    assert said([page], INSIDE) == [f"{page}: {word}" for word in words]


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A title, here\n[a](page.md#a-title-here) [b](other.md) [c](#nowhere) `[d](code.md)`\n", encoding="utf-8")
    assert broken(page) == ["page.md: other.md", "page.md: #nowhere"]
