"""Memory that comes back, with ComfyUI's own memory manager and real numbers, on a card of few megabytes.

The card is the processor under another name ("cpu:0"): the manager treats it as any device but "cpu", and the
pictures can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from test_execution import SAMPLER, run, same_bits
from torch import nn

import comfy_pack

CARD = torch.device("cpu:0")
MEGABYTE = 1 << 20


@dataclass
class Card:
    """Bytes of the card, and those that its loaded models leave."""

    size: int

    @property
    def free(self) -> int:
        import comfy.model_management as mm

        held = [model for model in mm.loaded_models() if model is not None and model.load_device == CARD]
        return self.size - int(sum(model.loaded_size() for model in held))


@pytest.fixture
def card(pack: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    import comfy.model_management as mm

    made = Card(512 * MEGABYTE)

    def free_memory(device: Any = None, torch_free_too: bool = False) -> Any:
        free = made.free if device in (None, CARD) else 1 << 40
        return (free, 0) if torch_free_too else free

    mm.unload_all_models()
    monkeypatch.setattr(mm, "get_torch_device", lambda: CARD)
    monkeypatch.setattr(mm, "get_free_memory", free_memory)
    monkeypatch.setattr(mm, "minimum_inference_memory", lambda: 0)
    monkeypatch.setattr(mm, "EXTRA_RESERVED_VRAM", 0)
    yield made
    mm.free_memory(1e30, CARD)


@pytest.fixture(scope="module", autouse=True)
def bundle(short_folder: Path) -> Iterator[None]:
    """The built-in model made short: one more block is asked of the card what the others are."""
    with comfy_pack.bundles_in(short_folder):
        yield


@pytest.fixture
def artist(pack: dict[str, Any], card: Card) -> Artist:
    return Artist(pack, pack["EchoGenLoadBundle"].execute("nano (built in)").result)


@dataclass
class Artist:
    """Who draws the same picture again and again."""

    pack: dict[str, Any]
    loaded: tuple[Any, ...]

    @property
    def model(self) -> Any:
        return self.loaded[0]

    def features(self, prompt: str = "a car on a beach") -> dict[str, Any]:
        image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(3))
        _, _, text, semantic, content = self.loaded
        encode = {"image": image, "strength": 1.0}
        (words,) = run(self.pack, "EchoGenEncodeText", text_encoder=text, prompt=prompt)
        (seen,) = run(self.pack, "EchoGenEncodeSemantic", semantic_encoder=semantic, **encode)
        (detail,) = run(self.pack, "EchoGenEncodeContent", content_encoder=content, **encode)
        return {"text": words, "semantic": seen, "content": detail}

    def draw(self, features: dict[str, Any], **changed: Any) -> Any:
        choice = {**SAMPLER, **changed}
        return run(
            self.pack, "EchoGenSampler", model=self.model, tokenizer=self.loaded[1], **choice, **features
        )[0]


def foreign(size: int, offload: str = "cpu") -> Any:
    """Another pack's model of `size` bytes."""
    from comfy.model_patcher import ModelPatcher

    module = nn.Sequential(nn.Linear(size // 4 // 64, 64, bias=False, device="meta").to_empty(device="cpu"))
    return ModelPatcher(module, load_device=CARD, offload_device=torch.device(offload))


def load(patcher: Any, working: int = 0) -> None:
    import comfy.model_management as mm

    mm.load_models_gpu([patcher], memory_required=working)


def test_a_foreign_model_gets_the_room_and_the_next_run_is_the_same_picture(
    artist: Artist, card: Card
) -> None:
    features = artist.features()
    bits = artist.draw(features)
    prefills, held = artist.model.prefill_cache, card.size - card.free
    assert prefills.computed == 3 and prefills.nbytes > 0
    other = foreign(card.size - 8 * MEGABYTE)
    load(other)
    assert other.loaded_size() == other.model_size() and held > 8 * MEGABYTE
    assert prefills.nbytes == 0 and card.free >= 0
    ours = [*artist.model.get_models(), *(part.patcher for part in artist.loaded[1:])]
    assert not any(patcher.loaded_size() for patcher in ours)
    assert same_bits(artist.draw(features), bits)
    assert prefills.computed == 6 and other.loaded_size() == 0 and card.free >= 0


def test_plain_modules_leave_whole_and_come_back_whole(artist: Artist, card: Card) -> None:
    first = artist.features()
    encoders = artist.loaded[2:4]
    wanted = [encoder.patcher.model_size() for encoder in encoders]
    assert [encoder.patcher.loaded_size() for encoder in encoders] == wanted
    freed = encoders[0].patcher.model_size() // 2
    load(foreign(card.free - 1), working=freed)
    assert all(
        encoder.patcher.loaded_size() in (0, size) for encoder, size in zip(encoders, wanted, strict=True)
    )
    assert sum(encoder.patcher.loaded_size() for encoder in encoders) < sum(wanted)
    again = artist.features()
    assert torch.equal(again["text"].tokens_LC, first["text"].tokens_LC)
    assert torch.equal(again["semantic"].patches_VPC, first["semantic"].patches_VPC)


def test_a_little_room_costs_the_prefills_that_were_not_used_for_longest(artist: Artist) -> None:
    old, new = artist.features(), artist.features("a cat in a forest")
    artist.draw(old)
    artist.draw(new)
    prefills = artist.model.prefill_cache
    before = prefills.nbytes
    freed = artist.model.prefill_cache_patcher.partially_unload(None, 1)
    assert 0 < freed == before - prefills.nbytes
    known = prefills.computed
    artist.draw(new)
    assert prefills.computed == known, "those of the newest run are still there"
    artist.draw(old)
    assert prefills.computed > known


def test_a_card_that_holds_one_phase_at_a_time_draws_without_computing_anything_twice(
    artist: Artist, card: Card
) -> None:
    import comfy.model_management as mm

    from echogen_core.sampling.memory import Run, estimate_memory
    from echogen_core.scales import find_schedule

    features = artist.features()
    bits = artist.draw(features)
    model, drawn = artist.model, artist.model.prefill_cache.computed
    phases = [model.patcher.model_size(), model.prefill_patcher.model_size()]
    tokenizer = artist.loaded[1].patcher.model_size()
    nano = Run(find_schedule("nano"), branches=3, dtype=torch.float32)
    mm.free_memory(1e30, CARD)
    card.size = int(1.1 * estimate_memory(model.module.config, nano).two_phase) + tokenizer
    assert same_bits(artist.draw(features), bits)
    assert model.prefill_cache.computed == drawn + 3
    assert model.patcher.loaded_size() + model.prefill_patcher.loaded_size() < sum(phases)
    artist.draw(features, gamma_t=1.5)
    assert model.prefill_cache.computed == drawn + 3 and card.free >= 0


def test_what_cannot_leave_is_no_room(artist: Artist, card: Card) -> None:
    runtime = comfy_pack.pack_module("nodes.runtime")
    assert runtime.available_memory(artist.model.patcher) == card.size, "all of ours can leave"
    pinned = foreign(100 * MEGABYTE, offload="cpu:0")
    leaving = foreign(50 * MEGABYTE)
    load(pinned)
    load(leaving)
    assert runtime.available_memory(artist.model.patcher) == card.size - pinned.model_size()


def test_what_another_model_knows_does_not_leave_main_memory(
    artist: Artist, monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.model_management as mm

    runtime = comfy_pack.pack_module("nodes.runtime")
    with monkeypatch.context() as patch:
        patch.setattr(mm, "get_torch_device", lambda: torch.device("cpu"))
        at_home = Artist(artist.pack, artist.pack["EchoGenLoadBundle"].execute("nano (built in)").result)
        at_home.draw(at_home.features())
        assert at_home.model.prefill_cache.nbytes > 0
        patch.setattr(mm, "get_free_memory", lambda *_, **__: 1000)
        assert runtime.available_memory(at_home.model.patcher) == 1000, (
            "ComfyUI never unloads for the sake of the processor"
        )


def test_an_entry_whose_model_has_ended_is_no_fault(artist: Artist) -> None:
    import comfy.model_management as mm

    features, ended = artist.features(), foreign(MEGABYTE)
    module = ended.model
    load(ended)
    del ended
    assert None in mm.loaded_models() and module is not None
    assert artist.draw(features).complete
