"""The pages speak of the pack, and their links lead to sections that are there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .test_house import PAGES, ROOT

OF_THE_WORK = re.compile(
    r"while (?:this|it) was (?:written|made)|at hand\b|beside other work|git log|used to (?:raise|be|take)",
    re.IGNORECASE,
)
"""How or when something was worked on: only the changelog tells that."""
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_sections_that_are_there(page: Path) -> None:
    for path, anchor in re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", page.read_text("utf-8")):
        text = (page.parent / path if path else page).read_text("utf-8")
        assert anchor in {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", [*PAGES, *WORKFLOWS], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_page_or_note_tells_how_it_was_worked_on(page: Path) -> None:
    text = page.read_text("utf-8")
    if page.suffix == ".json":
        notes = [node for node in json.loads(text)["nodes"] if node["type"] == "MarkdownNote"]
        assert notes
        text = "\n".join(note["widgets_values"][0] for note in notes)
    if page.name != "CHANGELOG.md" and "golden" not in page.parts:
        assert not OF_THE_WORK.findall(text)
