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


@pytest.mark.parametrize(
    "prompt", ["a bear in the forest", "a bear inside a forest", "a bear near the woods", "forest, a bear"]
)
def test_articles_and_prepositions_do_not_matter(prompt: str) -> None:
    assert scene_notes("nano", [prompt]) == []


@pytest.mark.parametrize(
    "prompt",
    [
        "a teddy bear on a beach",
        "a teddy bear in a snowy street",
        "a teddy bear",
        "a knight with a nightlamp",
        "a bear in forests",
        "小熊",
        "…",
        "on the left",
    ],
)
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
