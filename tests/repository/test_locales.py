"""Chinese and Japanese say all that the English texts say, with the same placeholders and numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LOCALES = Path(__file__).resolve().parents[2] / "locales"
LANGUAGES = ("zh", "ja")
FILES = ("main.json", "nodeDefs.json")
PLACEHOLDER = re.compile(r"\{\w+\}")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
OWN_SCRIPT = re.compile(r"[぀-ヿ一-鿿]")
WORD = re.compile(r"[a-z]{3}")
SYMBOLS = {"vae", "tokenizer", "top_p", "top_k", "tau"}
"""Words that need no other one in another language."""


def texts(language: str, file: str) -> dict[str, str]:
    """Path of each text, such as 'EchoGenSampler.inputs.tau.name' -> the text."""
    return dict(_leaves(json.loads((LOCALES / language / file).read_text(encoding="utf-8"))))


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield path + name, value


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("file", FILES)
def test_every_text_is_there_with_its_placeholders_and_numbers(language: str, file: str) -> None:
    english, other = texts("en", file), texts(language, file)
    assert other.keys() == english.keys()
    for path, text in other.items():
        assert set(PLACEHOLDER.findall(text)) == set(PLACEHOLDER.findall(english[path])), path
        assert set(NUMBER.findall(text)) >= set(NUMBER.findall(english[path])), path
        needs_no_words = english[path] in SYMBOLS or not WORD.search(english[path])
        assert needs_no_words or OWN_SCRIPT.search(text), f"{path} is not translated: {text}"


@pytest.mark.parametrize("language", ("en", *LANGUAGES))
def test_no_text_of_a_node_holds_signs_that_the_front_end_reads_as_its_own(language: str) -> None:
    # It compiles names and descriptions: {name} is a placeholder, | parts plurals, @ links to another text.
    assert {
        path: text for path, text in texts(language, "nodeDefs.json").items() if set(text) & set("{}|@")
    } == {}


def test_one_thing_has_one_name() -> None:
    """An English name or text that occurs twice is said in the same words each time."""
    for language in LANGUAGES:
        said: dict[str, set[str]] = {}
        english, other = texts("en", "nodeDefs.json"), texts(language, "nodeDefs.json")
        for path, text in english.items():
            said.setdefault(text, set()).add(other[path])
        assert {text: words for text, words in said.items() if len(words) > 1} == {}


def test_labels_are_words() -> None:
    names = {path: text for path, text in texts("en", "nodeDefs.json").items() if path.endswith(".name")}
    assert {path: text for path, text in names.items() if "_" in re.sub(r"top_[pk]|γ_[tI]", "", text)} == {}
