"""Encode Text reads weights as ComfyUI's own text encoders do, and says what it could not use."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echogen_core.encoders.prompt_weights import MAX_WEIGHT, parse_weights

balanced = st.recursive(
    st.text("ab :.1\\", max_size=4).map(lambda text: f"{text}a")
    | st.sampled_from([r"\(", r"\)", ":1.4", ": 0.5 "]),
    lambda inner: st.lists(inner, max_size=3).map("".join) | inner.map("({})".format),
    max_leaves=8,
)


@settings(max_examples=200)
@given(balanced)
def test_weights_are_comfyuis(prompt: str) -> None:
    from comfy import sd1_clip

    theirs = [
        (character, max(0.0, min(weight, MAX_WEIGHT)))
        for text, weight in sd1_clip.token_weights(sd1_clip.escape_important(prompt), 1.0)
        for character in sd1_clip.unescape_important(text)
    ]
    ours = [(character, weight) for text, weight in parse_weights(prompt).segments for character in text]
    assert "".join(character for character, _ in ours) == "".join(character for character, _ in theirs)
    assert [weight for _, weight in ours] == pytest.approx([weight for _, weight in theirs])


def encoded(pack: dict[str, Any], models: Any, prompt: str) -> Any:
    node = pack["EchoGenEncodeText"].PREPARE_CLASS_CLONE({})
    return node.EXECUTE_NORMALIZED(text_encoder=models.text_encoder, prompt=prompt)


def test_encode_text_takes_weights(pack: dict[str, Any], models: Any) -> None:
    plain, same, left = (
        encoded(pack, models, f"a toy car on a meadow {phrase}")
        for phrase in ("on the left", "(on the left:1)", "(on the left:1.4)")
    )
    assert torch.equal(plain.result[0].tokens_LC, same.result[0].tokens_LC)
    assert left.result[0].tokens_LC.shape == plain.result[0].tokens_LC.shape
    assert not torch.equal(left.result[0].tokens_LC, plain.result[0].tokens_LC)
    assert plain.ui["echogen_notices"] == left.ui["echogen_notices"] == ()


def test_weights_out_of_range_and_unknown_scenes_are_said(pack: dict[str, Any], models: Any) -> None:
    range_note, scene_note = encoded(pack, models, "a toy car (at 10:30)").ui["echogen_notices"]
    assert "expected 0 to 4, got 30" in range_note and "names none of them" in scene_note
