"""The nodes on a card, in each way of loading: no two devices are mixed, and the room comes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_card import CARD, FakeCard, dynamic_is_known, insert_card
from random_models import random_conditions
from test_execution import SAMPLER, run
from torch import nn

import comfy_pack

GIGABYTE = 1 << 30
comfy_pack.load_pack()
WAYS = ["classic", "dynamic"] if dynamic_is_known() else ["classic"]


@pytest.fixture(scope="module")
def bundle(short_folder: Path) -> Iterator[None]:
    """The built-in model made short: one more block is asked of the card what the others are."""
    with comfy_pack.bundles_in(short_folder):
        yield


@pytest.fixture(params=WAYS)
def card(request: pytest.FixtureRequest, pack: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCard]:
    yield insert_card(8 * GIGABYTE, request.param == "dynamic", monkeypatch)
    monkeypatch.undo()  # before the next test asks for the processor


def patcher_of(module: nn.Module) -> Any:
    """As another pack hands a model of ComfyUI's layers to the memory manager."""
    import comfy.model_patcher as patchers

    kind = getattr(patchers, "CoreModelPatcher", patchers.ModelPatcher)
    return kind(module, load_device=CARD, offload_device=torch.device("cpu"))


class Foreign(nn.Module):
    """Another pack's model: matrices of 256 MB."""

    def __init__(self, count: int) -> None:
        import comfy.ops

        super().__init__()
        make = comfy.ops.manual_cast.Linear
        self.layers = nn.Sequential(
            *(make(8192, 8192, bias=False, dtype=torch.float32, device="cpu") for _ in range(count))
        )
        state = {f"layers.{n}.weight": torch.empty(8192, 8192) for n in range(count)}
        self.load_state_dict(state, assign=True)


def picture(pack: dict[str, Any], loaded: Any) -> torch.Tensor:
    """What all of the nodes make together, of what Load EchoGen gave."""
    model, tokenizer, text, semantic, content = loaded
    runtime = comfy_pack.pack_module("nodes.runtime")
    (words,) = run(pack, "EchoGenEncodeText", text_encoder=text, prompt="a car on a beach")
    # not by their nodes: a picture without numbers cannot be looked at
    reference = torch.empty(1, 3, model.preset.reference_size, model.preset.reference_size)
    seen = runtime.loaded(semantic).encode(reference, semantic.device)
    detail = runtime.loaded(content).encode(reference, content.device)
    features = {"text": words, "semantic": seen, "content": detail}
    bits, _ = run(pack, "EchoGenSampler", model=model, **SAMPLER, **features)
    (image,) = run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=tokenizer)
    assert image.shape == (SAMPLER["batch"], 256, 256, 3)
    return image


@pytest.mark.parametrize("dtype", ["fp32", "fp8"])
def test_a_picture_is_drawn_without_mixing_devices(
    pack: dict[str, Any], bundle: None, card: FakeCard, dtype: str
) -> None:
    loaded = pack["EchoGenLoadBundle"].execute("nano (built in)", dtype).result
    with card.without_numbers():
        assert picture(pack, loaded).device.type == "cpu" and card.used > 0
    assert card.used < 1 << 20, "but for the small parameters between the layers"


@pytest.mark.parametrize(
    ("option", "dtype"), [("gpu_only", "bf16"), ("highvram", "fp16"), ("lowvram", "fp16"), ("novram", "bf16")]
)
def test_a_picture_is_drawn_however_memory_is_to_be_used(
    pack: dict[str, Any],
    bundle: None,
    card: FakeCard,
    option: str,
    dtype: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import comfy.model_management as mm
    from comfy.cli_args import args

    states = {"lowvram": mm.VRAMState.LOW_VRAM, "novram": mm.VRAMState.NO_VRAM}
    monkeypatch.setattr(args, option, True)
    monkeypatch.setattr(mm, "vram_state", states.get(option, mm.VRAMState.HIGH_VRAM))
    loaded = pack["EchoGenLoadBundle"].execute("nano (built in)", dtype).result
    with card.without_numbers():
        assert picture(pack, loaded).device == (CARD if option == "gpu_only" else torch.device("cpu"))
        streamed = option == "novram" and not isinstance(loaded[0].patcher, runtime_dynamic())
        assert (loaded[0].patcher.loaded_size() < 1 << 20) == streamed
        plain = loaded[2].patcher
        assert plain.loaded_size() == plain.model_size(), "no layer of a plain module stays behind"


def runtime_dynamic() -> tuple[type, ...]:
    """The patchers that load models dynamically."""
    import comfy.model_patcher as patchers

    return (patchers.ModelPatcherDynamic,) if dynamic_is_known() else ()


class Plain(nn.Module):
    """As large as Flan-T5-XL's encoder in bfloat16, of torch.nn's layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(8192, 8192, bias=False, dtype=torch.bfloat16) for _ in range(18))
        )


def large_model() -> Any:
    """Two blocks of EchoGen-2B in bfloat16, as the loader makes it."""
    from echogen_core.checkpoints.load import fill
    from echogen_core.config import PRESETS
    from echogen_core.model import EchoGenTransformer

    runtime = comfy_pack.pack_module("nodes.runtime")
    preset = PRESETS["echogen-2b"]
    preset = replace(preset, transformer=replace(preset.transformer, depth=2))
    config = preset.transformer
    wanted = EchoGenTransformer(config, dtype=torch.bfloat16, device="meta").state_dict()
    state = {name: torch.empty(tensor.shape, dtype=tensor.dtype) for name, tensor in wanted.items()}
    model = EchoGenTransformer(config, runtime.operations(), torch.bfloat16, "meta")
    fill(model, state, "EchoGen", wanted)
    return runtime.manage_model(model, preset)


def draw(managed: Any, conditions: Any, schedule: Any) -> None:
    from echogen_core.sampling import SamplingSettings, sample

    phases = comfy_pack.pack_module("nodes.phases")
    (branches,) = phases.prefill(managed, [conditions], schedule, 1)
    for _ in sample(managed.module, branches, schedule, [0], SamplingSettings(conditions.guidance)):
        pass


def test_another_model_gets_the_room_of_a_large_one(pack: Any, card: FakeCard) -> None:
    import comfy.model_management as mm

    from echogen_core.config import PRESETS
    from echogen_core.sampling.memory import Run
    from echogen_core.scales import find_schedule

    runtime = comfy_pack.pack_module("nodes.runtime")
    config = PRESETS["echogen-2b"].transformer
    wanted = Run(find_schedule("0.25M"), prompt_tokens=24)
    conditions = random_conditions(config, wanted)
    with card.without_numbers():
        model, encoder = large_model(), runtime.manage(Plain(), PRESETS["echogen-2b"], plain=True)
        runtime.loaded(encoder)
        draw(model, conditions, wanted.schedule)
        held, prefills = card.used, model.prefill_cache.nbytes
        assert prefills > GIGABYTE // 8 and encoder.patcher.loaded_size() > 2 * GIGABYTE
        assert held == pytest.approx(sum(p.loaded_size() for p in mm.loaded_models()), rel=0.01)
        foreign = Foreign(26)
        other = patcher_of(foreign)
        mm.load_models_gpu([other])
        foreign.layers(torch.empty(1, 8192, device=CARD))
        assert other.loaded_size() == other.model_size() > 0.8 * card.size
        assert model.prefill_cache.nbytes == encoder.patcher.loaded_size() == 0
        assert card.used <= card.size
        draw(model, conditions, wanted.schedule)
        assert model.prefill_cache.computed == 4 and model.prefill_cache.nbytes == prefills
        assert other.loaded_size() < other.model_size() and card.used <= card.size
