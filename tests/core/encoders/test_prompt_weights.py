"""Weights in prompts: what is parsed, and what a weight does to the text features."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from echogen_core.checkpoints import load_bundle
from echogen_core.encoders import TextEncoder
from echogen_core.encoders.known_words import scene_notes
from echogen_core.encoders.prompt_weights import MAX_WEIGHT, layers, parse_weights, token_weights

PLAIN = "a small teddy bear on a meadow on the left"
texts = st.text("ab (): .19\\", max_size=30)
words = st.text("ab: .é", min_size=1, max_size=6)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return load_bundle("nano").text


@pytest.mark.parametrize(
    ("prompt", "segments"),
    [
        ("a cat (on the left:1.4)", [("a cat ", 1), ("on the left", 1.4)]),
        ("(a cat) b", [("a cat", 1.1), (" b", 1)]),
        ("((a))", [("a", 1.21)]),
        ("(a (b:1.4) c:0.5)", [("a ", 0.5), ("b", 1.4), (" c", 0.5)]),
        ("((a:1.4))", [("a", 1.4)]),
        ("((a) b:2)", [("a", 2.2), (" b", 2)]),
        (r"\(a\) (b\):2)", [("(a) ", 1), ("b)", 2)]),
        (r"\a \\", [(r"\a \\", 1)]),
        ("a) (b", [("a) (b", 1)]),
        ("a (b (c:2)", [("a (b ", 1), ("c", 2)]),
        ("a) (b:2)", [("a) ", 1), ("b", 2)]),
        ("(a:b)", [("a:b", 1.1)]),
        ("(a:)", [("a:", 1.1)]),
        ("(:2)", [(":2", 1.1)]),
        ("(at 1:2: 0.5 )", [("at 1:2", 0.5)]),
        ("(a:nan) (b:-inf)", [("a:nan", 1.1), (" ", 1), ("b:-inf", 1.1)]),
        ("()", []),
        ("", []),
    ],
)
def test_parsed(prompt: str, segments: list[tuple[str, float]]) -> None:
    parsed = parse_weights(prompt)
    assert [text for text, _ in parsed.segments] == [text for text, _ in segments]
    assert [weight for _, weight in parsed.segments] == pytest.approx([weight for _, weight in segments])
    assert parsed.notes == []


def test_weights_out_of_range_are_clipped_and_said() -> None:
    parsed = parse_weights(f"(at 10:30) (b:-1) {'(' * 9000}c{')' * 9000}")
    assert [segment.weight for segment in parsed.segments if segment.text != " "] == [
        MAX_WEIGHT,
        0,
        MAX_WEIGHT,
    ]
    (note,) = parsed.notes
    assert "expected 0 to 4, got 30, -1, inf" in note and r"\( and \)" in note


@given(texts)
def test_any_text_is_parsed_and_its_words_stay(prompt: str) -> None:
    segments = parse_weights(prompt).segments
    left = iter(prompt)
    assert all(character in left for segment in segments for character in segment.text), "in order"
    assert all(segment.text and 0 <= segment.weight <= MAX_WEIGHT for segment in segments)


@given(texts)
def test_a_text_without_syntax_is_itself(text: str) -> None:
    escaped = parse_weights(text.replace("\\", "").replace("(", r"\(").replace(")", r"\)"))
    assert escaped.text == text.replace("\\", "") and all(weight == 1 for _, weight in escaped.segments)


@given(st.lists(st.tuples(words, st.sampled_from([None, 0.0, 0.5, 1.0, 1.4])), max_size=5))
def test_joined_segments_are_the_prompt_without_its_syntax(parts: list[tuple[str, float | None]]) -> None:
    prompt = "".join(text if weight is None else f"({text}:{weight})" for text, weight in parts)
    parsed = parse_weights(prompt)
    assert parsed.text == "".join(text for text, _ in parts)
    expected = [1.0 if weight is None else weight for text, weight in parts for _ in text]
    assert [weight for text, weight in parsed.segments for _ in text] == expected


def test_a_token_weighs_what_its_last_character_does() -> None:
    segments = parse_weights("a (b c:2)d").segments  # "a b cd"
    assert token_weights(segments, [(0, 1), (1, 2), (2, 3), (3, 6), (0, 0)]) == [1, 2, 2, 1, 1]


@given(st.lists(st.sampled_from([0.0, 0.4, 1.0, 1.4, 2.0]), min_size=1, max_size=8))
def test_layers_of_a_token_have_its_relative_strength(weights: list[float]) -> None:
    found = layers(weights)
    strongest = max([1.0, *weights[:-1]]) ** 0.5
    for index, weight in enumerate(weights):
        share = sum(layer.share for layer in found if layer.kept[index])
        assert share == pytest.approx(
            1 if index == len(weights) - 1 else min(weight, weight**0.5) / strongest
        )
    assert all(layer.share > 0 for layer in found)


@pytest.mark.parametrize(
    "prompt", [PLAIN.replace("small", "(small:1)"), f"({PLAIN})", f"({PLAIN}:1.4)", f"(({PLAIN.title()}))"]
)
def test_weights_that_favour_nothing_leave_the_features(encoder: TextEncoder, prompt: str) -> None:
    batch = encoder.tokenize([PLAIN])
    with torch.no_grad():
        expected_LC = encoder(batch.ids_BL, batch.mask_BL)[0]
    assert torch.equal(encoder.encode(prompt).tokens_LC, expected_LC)
    assert torch.equal(encoder.encode(PLAIN).tokens_LC, expected_LC)


@pytest.mark.parametrize("phrase", ["small", "on the left", "teddy bear", "on a meadow"])
def test_features_go_from_those_without_the_phrase_to_those_with_it_alone(
    encoder: TextEncoder, phrase: str
) -> None:
    """Seen in the closing token's row, which belongs to every layer."""

    def features(prompt: str) -> torch.Tensor:
        return encoder.encode(prompt).tokens_LC

    whole_LC = features(PLAIN)
    weak, strong, none = (features(PLAIN.replace(phrase, f"({phrase}:{weight})")) for weight in (0.4, 4, 0))
    assert whole_LC.shape == weak.shape == strong.shape == none.shape
    torch.testing.assert_close(weak, none + 0.4 * (whole_LC - none))
    without_LC, alone_LC = features(PLAIN.replace(f" {phrase}", "")), features(f" {phrase}")
    torch.testing.assert_close(none[-1], without_LC[-1])
    torch.testing.assert_close(strong[-1], (whole_LC[-1] + alone_LC[-1]) / 2)


def test_weights_in_a_prompt_that_is_cut(encoder: TextEncoder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="echogen_core.encoders.text"):
        features = encoder.encode(f"(a bear:0.5) {'in a forest ' * 99}(at 10:30)")
    assert features.tokens_LC.shape[0] == encoder.config.max_tokens and features.tokens_LC.isfinite().all()
    assert "longer than the 64" in caplog.text and "expected 0 to 4, got 30" in caplog.text


@pytest.mark.parametrize("prompt", ["()", "( :1.4)", "(:0)\ud800 (a:0)", "(🐈‍⬛:2) é(́:0.1)", "(a:0)"])
def test_any_weighted_prompt_has_features(encoder: TextEncoder, prompt: str) -> None:
    assert encoder.encode(prompt, allow_empty=True).tokens_LC.isfinite().all()


@pytest.mark.parametrize("prompt", ["()", "( :1.4)", "((  ))"])
def test_weights_around_nothing_are_an_empty_prompt(encoder: TextEncoder, prompt: str) -> None:
    with pytest.raises(ValueError, match="The prompt is empty"):
        encoder.encode(prompt)


def test_known_scenes_are_found_behind_weights() -> None:
    assert scene_notes("nano", ["a bear in a (forest:1.4)", "a bear in (a (dark:1.2) forest)"]) == []
