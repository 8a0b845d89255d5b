"""Links between pages lead somewhere on a plain git host, and the pages speak of the project alone."""

import re
from pathlib import Path

from tests.docs.pages import fenced, pages, prose

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
#: What belongs to the making of the project and not to it.
INSIDE = re.compile(r"/work/|/tmp/\w|\bissue #?\d|pypi|\bPEERS\b|\bDESIGN\.md|\bhelper session", re.IGNORECASE)


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
    assert {page.name for page in pages(root)} - {page.name for page in seen} == set()


def test_pages_speak_of_the_project_alone(root: Path) -> None:
    found = [f"{page.name}: {match[0]}" for page in pages(root) for match in INSIDE.finditer(page.read_text(encoding="utf-8"))]
    assert found == []


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A title, here\n[a](page.md#a-title-here) [b](other.md) [c](#nowhere) `[d](code.md)`\n", encoding="utf-8")
    assert broken(page) == ["page.md: other.md", "page.md: #nowhere"]
