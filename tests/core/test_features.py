"""The key of features: over every field, and what the prefill cache finds by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import SMALL, random_conditions, random_transformer
from torch import Tensor

from echogen_core import features
from echogen_core.features import ContentFeatures, SemanticFeatures, Subject, TextFeatures
from echogen_core.sampling import PrefillCache, RunConditions, SamplingSettings, sample
from echogen_core.sampling.memory import Run
from echogen_core.scales import find_schedule

tensors = st.builds(
    lambda shape, seed: torch.rand(shape, generator=torch.Generator().manual_seed(seed)),
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.integers(0, 9),
)
strengths = st.floats(0, 2)
texts = st.builds(TextFeatures, tensors)
semantics = st.builds(SemanticFeatures, tensors, tensors, strengths)
contents = st.builds(ContentFeatures, tensors, strengths)
subjects = st.builds(Subject, st.none() | semantics, st.none() | contents)
KINDS: dict[type, st.SearchStrategy[Any]] = {
    TextFeatures: texts, SemanticFeatures: semantics, ContentFeatures: contents, Subject: subjects
}  # fmt: skip


def test_every_class_of_features_is_here() -> None:
    found = {kind for kind in vars(features).values() if hasattr(kind, "_fields") and kind is not NamedTuple}
    assert found == KINDS.keys()


def other(value: object) -> object:
    """Another value for a field."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, float):
        return value + 0.5
    if isinstance(value, SemanticFeatures):
        return value._replace(strength=value.strength + 0.5)
    return ContentFeatures(torch.zeros(1))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_key_depends_on_every_field_and_on_nothing_else(kind: type[Any], data: st.DataObject) -> None:
    drawn = data.draw(KINDS[kind])
    assert kind(*drawn).key == drawn.key and hash(kind(*drawn).key) == hash(drawn.key)
    for name, value in zip(kind._fields, drawn, strict=True):
        assert drawn._replace(**{name: other(value)}).key != drawn.key, name
    for other_features in (texts, semantics, contents, subjects):
        another = data.draw(other_features)
        assert another.key != drawn.key or all(a is b for a, b in zip(another, drawn, strict=True))


def test_a_tensor_changed_in_place_has_another_key() -> None:
    for build in (TextFeatures, ContentFeatures, lambda x: SemanticFeatures(torch.zeros(1), x)):
        tensor = torch.zeros(2)
        given_features = build(tensor)
        before = given_features.key
        tensor.add_(1)
        assert given_features.key != before


def test_a_key_outlives_its_features() -> None:
    keys = {ContentFeatures(torch.zeros(1)).key for _ in range(50)}
    assert len(keys) == 50, "no later tensor takes the place of one that is gone"


def test_features_made_in_inference_mode_have_a_key() -> None:
    with torch.inference_mode():
        made = TextFeatures(torch.zeros(2))
        assert made.key == TextFeatures(made.tokens_LC).key != TextFeatures(torch.zeros(2)).key


CHANGES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "tokens": ("text", lambda text: TextFeatures(text.tokens_LC.flip(0))),
    "class token": ("semantic", lambda semantic: semantic._replace(cls_VC=-semantic.cls_VC)),
    "patches": ("semantic", lambda semantic: semantic._replace(patches_VPC=-semantic.patches_VPC)),
    "semantic strength": ("semantic", lambda semantic: semantic._replace(strength=0.25)),
    "latents": ("content", lambda content: content._replace(latents_VCHW=-content.latents_VCHW)),
    "content strength": ("content", lambda content: content._replace(strength=0.25)),
}


@pytest.mark.parametrize(("part", "change"), CHANGES.values(), ids=CHANGES.keys())
def test_features_that_differ_in_one_field_give_another_picture(
    part: str, change: Callable[[Any], Any]
) -> None:
    config = replace(SMALL, depth=1, width=64, heads=2, content_length=64)
    run = Run(find_schedule("nano"), branches=3)
    model = random_transformer(config)
    prefill = PrefillCache(model)
    first = random_conditions(config, run, seed=1)  # with the seed of the model they are its nulls

    def logits(conditions: RunConditions) -> Tensor:
        assert conditions.guidance is not None
        settings = SamplingSettings(conditions.guidance)
        steps = sample(model, prefill.branches(*conditions), run.schedule, [1], settings)
        return list(steps)[-1].branch_logits_NLd2

    before, known = logits(first), prefill.computed
    assert torch.equal(logits(first), before) and prefill.computed == known
    assert (
        not torch.equal(logits(first._replace(**{part: change(getattr(first, part))})), before)
        and prefill.computed > known
    )
    assert torch.equal(logits(first), before)
