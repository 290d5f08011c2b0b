"""What an artist reads where a model is not installed: one line about it, the command, then the links."""

from __future__ import annotations

from pathlib import Path

import pytest

from echogen_core.checkpoints.catalog.installed import FoundParts
from echogen_core.checkpoints.catalog.missing_files import missing_model_message, missing_part_message
from echogen_core.checkpoints.catalog.published_models import FOLDERS, PUBLISHED

TARGETS = {kind: Path("models") / folder for kind, folder in FOLDERS.items()}


@pytest.mark.parametrize(
    ("model", "installed", "headline"),
    [
        ("echogen-2b", [], "EchoGen-2B is not installed: 5 files, about 22 to 32 GB."),
        ("infinity-2b", [], "Infinity-2B is not installed: 3 files, about 16 to 21 GB."),
        (
            "echogen-2b",
            ["text"],
            "EchoGen-2B is not complete: 4 of its 5 files are missing, about 11 to 21 GB.",
        ),
        (
            "echogen-2b",
            ["transformer", "tokenizer", "text", "content"],
            "EchoGen-2B is not complete: 1 of its 5 files is missing, about 0.35 GB.",
        ),
    ],
)
def test_the_headline_the_command_and_the_links(model: str, installed: list[str], headline: str) -> None:
    found = FoundParts({kind: Path(kind) for kind in installed})
    said = missing_model_message(model, found, TARGETS, "Or choose nano.") or ""
    first, command, alternative, *links = said.split("\n\n")
    assert first == headline and alternative == "Or choose nano."
    assert command.splitlines()[1] == f"python -m echogen_core models download {model}"
    absent = [part for part in PUBLISHED[model] if part.kind not in installed]
    assert [link.split(" ")[0] for link in links] == [part.name for part in absent]


def test_what_is_complete_is_not_mentioned() -> None:
    found = FoundParts({part.kind: Path(part.name) for part in PUBLISHED["echogen-2b"]})
    assert missing_model_message("echogen-2b", found, TARGETS) is None


def test_an_unpublished_model_has_no_command_and_no_dead_link() -> None:
    said = missing_model_message("echogen-0.1b", FoundParts({}), TARGETS) or ""
    assert said.startswith(
        "EchoGen-0.1B can't be installed: its authors have not published echogen_0.1b.safetensors."
    )
    assert "models download" not in said and "\necho" not in said and "\nflan-t5-xl" in said
    alone = missing_part_message("transformer", "echogen_0.1b.safetensors", Path("models"))
    assert alone == "echogen_0.1b.safetensors can't be installed: its authors have not published it."
    assert missing_part_message("transformer", "of nobody.safetensors", Path("models")) is None
