"""The repository as a house: one name for one thing, short files, and pages that point to what is there."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("echogen_core", "miniature", "nodes", "runner", "web/js")
LONGEST = 400
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("miniature/*.md"),
    *ROOT.glob("web/docs/*.md"),
]
PAGES += [*ROOT.glob("tests/golden/*.md"), *ROOT.glob("echogen_core/assets/*/README.md")]
FOLDERS = "echogen_core|miniature|nodes|runner|web|workflows|subgraphs|locales|tests|benchmarks|docs"


def sources(package: str) -> list[Path]:
    return [path for path in (ROOT / package).rglob("*") if path.suffix in (".py", ".js")]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_file_name_stands_for_one_thing_in_a_package(package: str) -> None:
    names = Counter(path.name for path in sources(package) if not path.name.startswith("__"))
    assert names and [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_is_longer_than_one_reads(package: str) -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in sources(package)}
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_names_is_there(page: Path) -> None:
    """Files in backticks (of this repository's folders), and links that lead to files."""
    text = page.read_text("utf-8")
    named = re.findall(rf"`((?:{FOLDERS})/[\w./*-]+)`", text)
    linked = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in link]
    gone = [name for name in named if not any(ROOT.glob(name.rstrip("/")))]
    gone += [link for link in linked if not (page.parent / link).exists()]
    assert gone == []
