"""Puts a repository's addresses into pyproject.toml, as the registry wants them, before it is published.

python tests/tools/set_repository.py OWNER/NAME [PYPROJECT]

The tree itself names no host: a fork publishes with its own addresses.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def with_addresses(text: str, repository: str) -> str:
    """pyproject.toml's text with Repository, Issues and Changelog, and with Icon and Banner as addresses."""
    page = f"https://github.com/{repository}"
    raw = f"https://raw.githubusercontent.com/{repository}/HEAD"
    urls = f'Repository = "{page}"\nIssues = "{page}/issues"\nChangelog = "{page}/blob/HEAD/CHANGELOG.md"\n'
    text, tables = re.subn(r"^\[project\.urls\]\n", lambda found: found[0] + urls, text, flags=re.MULTILINE)
    text, pictures = re.subn(
        r'^(Icon|Banner) = "(?!https:)([^"]+)"', rf'\1 = "{raw}/\2"', text, flags=re.MULTILINE
    )
    if (tables, pictures) != (1, 2):
        raise SystemExit("Expected [project.urls], and Icon and Banner as paths: has this run before?")
    return text


def main(arguments: list[str]) -> None:
    """Rewrites the file in place."""
    if not arguments or not re.fullmatch(r"[\w.-]+/[\w.-]+", arguments[0]):
        raise SystemExit(__doc__)
    file = Path(arguments[1]) if arguments[1:] else ROOT / "pyproject.toml"
    file.write_text(with_addresses(file.read_text(encoding="utf-8"), arguments[0]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
