"""What is computed while a test runs."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from echogen_core.encoders.text import TextEncoder
from echogen_core.features import TextFeatures
from echogen_core.model import EchoGenTransformer


class Prefill(NamedTuple):
    """Of one branch. prompt: None for the null prompt. subject: whether there is one. length: in tokens."""

    prompt: str | None
    subject: bool
    length: int


@pytest.fixture
def prefills(monkeypatch: pytest.MonkeyPatch) -> list[Prefill]:
    """Every prefill, as it is computed."""
    computed: list[Prefill] = []
    prompts: dict[Any, str] = {}
    encode, conditions = TextEncoder.encode, EchoGenTransformer.conditions

    def encoding(encoder: TextEncoder, prompt: str) -> TextFeatures:
        features = encode(encoder, prompt)
        prompts[features.key] = prompt
        return features

    def counting(model: EchoGenTransformer, text: TextFeatures | None, semantic: Any, *rest: Any) -> Any:
        prompt = None if text is None else prompts[text.key]
        length = rest[1] if text is None else len(text.tokens_LC)
        computed.append(Prefill(prompt, semantic is not None, length))
        return conditions(model, text, semantic, *rest)

    monkeypatch.setattr(TextEncoder, "encode", encoding)
    monkeypatch.setattr(EchoGenTransformer, "conditions", counting)
    return computed
