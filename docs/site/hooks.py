"""mkdocs' hooks: pages that lie elsewhere in the repository, and the page of all commands."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import TYPE_CHECKING

from docs.site.commands import MARKER, reference

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
#: Files of the repository that are pages of the site, too, and the page that each one is. README.md is answered by index.md.
ELSEWHERE = {
    "benchmarks/README.md": "measurements.md",
    "experiment_plans/README.md": "experiment-plans.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
PAGES = ELSEWHERE | {"README.md": "index.md"}
#: What a browser would fetch from elsewhere by opening a page; a link may lead anywhere.
FETCHED = re.compile(r"""<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*""" "")
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/."""
    from mkdocs.structure.files import File

    for source, page in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in the commands, and let links lead to where the site has what they name."""
    if MARKER in markdown:
        from autoseg.cli import cli

        markdown = markdown.replace(MARKER, reference(cli, "autoseg"))
    home = {page: source for source, page in ELSEWHERE.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return relinked(markdown, home)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Nothing is fetched by opening a page."""
    from mkdocs.exceptions import PluginError

    if match := FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri} would fetch {match[0]}")
    return output


def relinked(markdown: str, source: str) -> str:
    """The text with its links to files of the repository turned into links between pages.

    Parameters
    ----------
    markdown : str
    source : str
        Path of the file in the repository.
    """

    def turned(match: re.Match[str]) -> str:
        target = match[2]
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        path = normpath(str(PurePosixPath(source).parent / target))
        at = PAGES.get(path, path.removeprefix("docs/"))
        here = ELSEWHERE.get(source, source.removeprefix("docs/"))
        return f"{match[1]}{relpath(at, PurePosixPath(here).parent)}{match[3]}"

    return LINK.sub(turned, markdown)
