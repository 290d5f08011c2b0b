"""The scenes that nano knows, as prompts name them."""

from __future__ import annotations

import pytest

from echogen_core.encoders.known_words import known_words, scene_notes

NANO = known_words("nano")
assert NANO is not None


@pytest.mark.parametrize("phrase", [phrase for phrases in NANO.scenes.values() for phrase in phrases])
def test_each_of_its_phrases_names_a_scene(phrase: str) -> None:
    for prompt in (f"a teddy bear {phrase}", f"The small Cat, {phrase.upper()} on the left at night."):
        assert scene_notes("nano", [prompt]) == []


KNOWN = [
    "a bear in the forest", "a bear inside a forest", "a bear near the woods", "forest, a bear",
    "a bear, Forests.", "a cat on grass", "a cat in the tall green grass", "a bear in forests",
    "a bear in dark, snowy forests", "a bear in a dark old forest at dawn", "a bear in the middle of a city",
    "a boat next to the sea", "a bear on a meadow reading a book", "a bear in a forest clearing",
    "a bear on water", "a bear in cities", "a bear in a city and a cat", "a bear on a gray background",
    "a bear on plain, bright red backgrounds", "a bear in front of a tall building", "a bear in the garage",
    "a bear in Venice, Italy", "a bear in a photographer’s studio", "in a forest, a bear",
    "a desert fox in a forest", "a sea lion by the sea", "a bear under night sky",
    "a bear in a forest background", "a bear (in a forest)",
]  # fmt: skip
UNKNOWN = [
    "a teddy bear on a beach", "a teddy bear in a snowy street", "a teddy bear", "a knight with a nightlamp",
    "小熊", "…", "", "on the left", "a glass of water", "a cup of water on a beach", "a sea lion on ice",
    "a city bus", "a bear in a city bus", "desert fox in snow", "a garage band on stage",
    "a bear on a white background", "a bear in front of a white wall", "a forest ranger at a desk",
    "a bear on the night shift", "a water bottle, a cat",
    "a bear on wood", "a bear with a grass skirt on the moon", "a studio portrait",
    "a bear on stage with a garage band", "a red wall clock",
    "a bear at a table by a sea captain", "a bear on ice, seated",
]  # fmt: skip


@pytest.mark.parametrize("prompt", KNOWN)
def test_plain_variants_of_a_scene_are_known(prompt: str) -> None:
    assert scene_notes("nano", [prompt]) == []


@pytest.mark.parametrize("prompt", UNKNOWN)
def test_a_prompt_without_one_is_said_with_all_it_knows(prompt: str) -> None:
    (note,) = scene_notes("nano", [prompt])
    assert "20 scenes" in note and all(f" {word}" in note for word in ("meadow", "forest", "Venice", "black"))
    assert len(note) < 500, "the node shows 600 characters"


def test_of_several_prompts_the_first_strange_one_is_named() -> None:
    (note,) = scene_notes("nano", ["a bear on a meadow", f"a bear on the moon {'very ' * 40}", "a bear"])
    assert "“a bear on the moon very" in note and "…”" in note and len(note) < 600


@pytest.mark.parametrize("model", ["echogen-2b", "echogen-0.1b", "infinity-2b", "../nano", ""])
def test_large_models_take_any_prompt(model: str) -> None:
    assert scene_notes(model, ["a bear on a beach"]) == []
