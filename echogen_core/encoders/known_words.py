"""The scenes and words that a small model was trained on; the large models take any prompt.

They are a file beside the model's weights: {"scenes": {name: [phrase, ...]}, "sizes": [...], "places": [...],
"night": "..."}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parents[1] / "assets"
FILE = "words.json"

_ARTICLES = {"a", "an", "the"}
_OPENINGS = {"in", "on", "at", "by", "above", "over", "under", "among", "inside", "front", "of"}


class KnownWords(NamedTuple):
    """A model's vocabulary.

    scenes: name -> phrases for it, the usual one first; sizes, places, night: words that go with any of them.
    """

    scenes: dict[str, tuple[str, ...]]
    sizes: tuple[str, ...]
    places: tuple[str, ...]
    night: str

    def names_scene(self, prompt: str) -> bool:
        """Whether a prompt has a phrase of one of the scenes, whatever its preposition and articles."""
        words = f" {' '.join(_plain(prompt))} "
        return any(
            f" {' '.join(_without_opening(phrase))} " in words
            for phrases in self.scenes.values()
            for phrase in phrases
        )

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
    return KnownWords(scenes, tuple(found["sizes"]), tuple(found["places"]), found["night"])


def scene_notes(model: str, prompts: Sequence[str]) -> list[str]:
    """What to say of prompts without a scene that the model knows: a sentence or two, or nothing.

    model: name of its preset.
    """
    words = known_words(model)
    if words is None:
        return []
    strange = [prompt for prompt in prompts if not words.names_scene(prompt)]
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


def _plain(text: str) -> list[str]:
    """Its words in lower case, without articles."""
    return [word for word in re.findall(r"[^\W\d_]+", text.lower()) if word not in _ARTICLES]


def _without_opening(phrase: str) -> list[str]:
    words = _plain(phrase)
    while len(words) > 1 and words[0] in _OPENINGS:
        words = words[1:]
    return words
