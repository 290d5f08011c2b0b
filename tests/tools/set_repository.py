"""Puts a repository's addresses into pyproject.toml and the pages before they are published.

python tests/tools/set_repository.py OWNER/NAME [FOLDER]

The tree itself names no host: a fork publishes with its own addresses. Links between pages stay relative,
except those to files that .comfyignore keeps out of the archive.
"""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from pathlib import Path, PurePosixPath
from posixpath import normpath

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?P<picture>!?)(?P<text>\[[^\]]*\])\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
"""A link or picture of a page, by a relative path."""


def page_address(repository: str) -> str:
    """Where GitHub shows a file, but for its path."""
    return f"https://github.com/{repository}/blob/HEAD"


def raw_address(repository: str) -> str:
    """Where GitHub serves a file's bytes, but for its path."""
    return f"https://raw.githubusercontent.com/{repository}/HEAD"


def with_addresses(text: str, repository: str) -> str:
    """pyproject.toml's text with Repository, Issues and Changelog, and with Icon and Banner as addresses."""
    page = f"https://github.com/{repository}"
    changelog = f"{page_address(repository)}/CHANGELOG.md"
    urls = f'Repository = "{page}"\nIssues = "{page}/issues"\nChangelog = "{changelog}"\n'
    text, tables = re.subn(r"^\[project\.urls\]\n", lambda found: found[0] + urls, text, flags=re.MULTILINE)
    text, pictures = re.subn(
        r'^(Icon|Banner) = "(?!https:)([^"]+)"',
        rf'\1 = "{raw_address(repository)}/\2"',
        text,
        flags=re.MULTILINE,
    )
    if (tables, pictures) != (1, 2):
        raise SystemExit("Expected [project.urls], and Icon and Banner as paths: has this run before?")
    return text


def with_links(text: str, page: PurePosixPath, left_out: set[str], repository: str) -> str:
    """A page's text in which links to files of `left_out`, paths in the repository, are addresses."""

    def absolute(link: re.Match[str]) -> str:
        path = normpath(page.parent / link["target"])
        if path not in left_out:
            return link[0]
        base = raw_address(repository) if link["picture"] else page_address(repository)
        return f"{link['picture']}{link['text']}({base}/{path}{link['anchor'] or ''})"

    return LINK.sub(absolute, text)


def tracked(folder: Path, *options: str) -> set[str]:
    """Paths of git's files in the folder."""
    listed = subprocess.run(["git", "ls-files", "-z", *options], cwd=folder, check=True, capture_output=True)
    return {name for name in listed.stdout.decode().split("\0") if name}


def rewrite(folder: Path, repository: str) -> None:
    """Changes pyproject.toml and the shipped pages in place."""
    left_out = tracked(folder, "--cached", "--ignored", "--exclude-from=.comfyignore")
    changes = {"pyproject.toml": partial(with_addresses, repository=repository)}
    for name in tracked(folder) - left_out:
        page = PurePosixPath(name)
        if page.suffix == ".md":
            changes[name] = partial(with_links, page=page, left_out=left_out, repository=repository)
    for name, change in changes.items():
        file = folder / name
        file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")


def main(arguments: list[str]) -> None:
    """Reads the command line."""
    if not arguments or not re.fullmatch(r"[\w.-]+/[\w.-]+", arguments[0]):
        raise SystemExit(__doc__)
    rewrite(Path(arguments[1]) if arguments[1:] else ROOT, arguments[0])


if __name__ == "__main__":
    main(sys.argv[1:])
