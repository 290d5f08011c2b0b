"""The scenes and words that a small model was trained on; the large models take any prompt.

They are a file beside the model's weights: {"scenes": {name: [phrase, ...]}, "nouns": [...], "sizes": [...],
"places": [...], "night": "..."}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .prompt_weights import parse_weights

FOLDER = Path(__file__).resolve().parents[1] / "assets"
FILE = "words.json"

_ARTICLES = {"a", "an", "the"}
_PLACING = (
    "in|on|at|by|above|over|under|among|inside|into|onto|near|through|across|beside|within|amid|against|"
    "(?:front|middle|center|centre|edge|side) of|(?:next|close) to"
)
_FOLLOWING = (
    "and|with|as|is|are|was|while|where|that|which|who|of|to|for|from|behind|between|during|before|after|its|his|"
    "her|their|dusk|dawn|night|day|sunset|sunrise|scene|setting|background|backdrop|landscape|full|left|right"
)
"""Words that can follow a scene's noun; before any other it is part of a longer name: "in a city bus"."""


class KnownWords(NamedTuple):
    """A model's vocabulary.

    scenes: name -> phrases for it, the usual one first; nouns: what names one of them after a
    preposition, in the singular; sizes, places, night: words that go with any of them.
    """

    scenes: dict[str, tuple[str, ...]]
    nouns: tuple[str, ...]
    sizes: tuple[str, ...]
    places: tuple[str, ...]
    night: str

    def names_scene(self, prompt: str) -> bool:
        """Whether a prompt places something in one of the scenes.

        By one of their phrases, or by a preposition, adjectives and one of the nouns. A noun alone between
        commas counts as well. Articles, singular and plural don't matter.
        """
        phrases = tuple(_plain(phrase) for known in self.scenes.values() for phrase in known)
        return _places(phrases, tuple(map(_plain, self.nouns))).search(_plain(prompt)) is not None

    def listed(self) -> str:
        """One phrase for each scene, the plain backgrounds together."""
        first = [phrases[0] for phrases in self.scenes.values()]
        scenes = [phrase for phrase in first if not phrase.endswith(" background")]
        colours = [phrase.split()[-2] for phrase in first if phrase.endswith(" background")]
        joined = f"{', '.join(colours[:-1])} or {colours[-1]}" if len(colours) > 1 else "".join(colours)
        return ", ".join([*scenes, *([f"on a {joined} background"] if colours else [])])


@cache
def known_words(model: str) -> KnownWords | None:
    """The vocabulary of the built-in model with this name; None for a model that takes any prompt."""
    file = FOLDER / model / FILE
    if not file.is_file():
        return None
    found = json.loads(file.read_text(encoding="utf-8"))
    scenes = {name: tuple(phrases) for name, phrases in found["scenes"].items()}
    return KnownWords(
        scenes, tuple(found["nouns"]), tuple(found["sizes"]), tuple(found["places"]), found["night"]
    )


def scene_notes(model: str, prompts: Sequence[str]) -> list[str]:
    """What to say of prompts without a scene that the model knows: a sentence or two, or nothing.

    model: name of its preset. prompts: with weights or without.
    """
    words = known_words(model)
    if words is None:
        return []
    strange = [prompt for prompt in prompts if not words.names_scene(parse_weights(prompt).text)]
    if not strange:
        return []
    which = "this prompt" if len(prompts) == 1 else f"“{_short(strange[0])}”"
    return [
        f"{model} knows {len(words.scenes)} scenes, and {which} names none of them, so the background is "
        f"a guess. Try one of these: {words.listed()}."
    ]


def _short(prompt: str, longest: int = 60) -> str:
    line = " ".join(prompt.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


@cache
def _places(phrases: tuple[str, ...], nouns: tuple[str, ...]) -> re.Pattern[str]:
    """What finds a scene in a plain text; phrases and nouns plain too."""
    known, noun = "|".join(phrases), "|".join(nouns)
    adjectives = rf"(?:(?!(?:{_PLACING}|{_FOLLOWING})\b)\w+,? ){{0,3}}"
    after = rf"(?=,|$| (?:{_PLACING}|{_FOLLOWING}|\w+(?:ing|ed|ly))\b)"
    return re.compile(
        rf"\b(?:{known}|(?:{_PLACING}) {adjectives}(?:{noun})){after}|(?:^|, )(?:{noun})(?=,|$)"
    )


def _plain(text: str) -> str:
    """Its words in lower case and the singular, without articles; each mark between them as a comma."""
    found = re.findall(r"[^\W\d_]+|[^\w\s-]", re.sub(r"['’]s\b", "", text.lower()))
    words = [_singular(word) if word[0].isalpha() else "," for word in found if word not in _ARTICLES]
    return " ".join(words).replace(" ,", ",")


def _singular(word: str) -> str:
    """Its singular, near enough to compare words, in British spelling."""
    if word == "gray":
        return "grey"
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    plural = len(word) > 3 and word.endswith("s") and not word.endswith("ss") and word != "woods"
    return word[:-1] if plural else word
