"""ComfyUI's start options and kinds of device: what each makes of a model, and that a picture comes of it.

docs/start_options.md is the same table in words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_execution import SAMPLER, run

import comfy_pack

E4M3 = torch.float8_e4m3fn
BF16, FP16, FP32, FP64 = torch.bfloat16, torch.float16, torch.float32, torch.float64
LARGE = 4_843_978_560
"""Parameters of EchoGen-2B."""


@dataclass(frozen=True)
class Machine:
    """A device as ComfyUI asks for it: kind, compute capability and name of a card, gigabytes."""

    device: str
    major: int = 0
    name: str = ""
    gigabytes: int = 8
    windows: bool = False
    prefers_fp16: bool = False  # what --fast makes of a card

    def insert(self, patch: pytest.MonkeyPatch) -> None:
        import comfy.model_management as mm

        if self.device == "cpu":
            return
        properties = SimpleNamespace(major=self.major, minor=0, name=self.name)
        patch.setattr(mm, "cpu_state", mm.CPUState.MPS if self.device == "mps" else mm.CPUState.GPU)
        patch.setattr(mm, "get_torch_device", lambda: torch.device(self.device))
        patch.setattr(mm, "get_total_memory", lambda *_, **__: self.gigabytes << 30)
        patch.setattr(mm, "WINDOWS", self.windows)
        patch.setattr(mm, "PRIORITIZE_FP16", self.prefers_fp16)
        patch.setattr(mm, "mac_version", lambda: (15, 0), raising=False)
        patch.setattr(torch.cuda, "get_device_properties", lambda *_: properties)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)  # it says so of Pascal too: emulated


PROCESSOR = Machine("cpu")
AMPERE = Machine("cuda:0", 8, "NVIDIA GeForce RTX 3090", 24)
TURING = Machine("cuda:0", 7, "NVIDIA GeForce RTX 2080")
TURING_16 = Machine("cuda:0", 7, "NVIDIA GeForce GTX 1660")
PASCAL = Machine("cuda:0", 6, "NVIDIA GeForce GTX 1080")
PASCAL_ON_WINDOWS = replace(PASCAL, windows=True)
AMPERE_FAST = replace(AMPERE, prefers_fp16=True)
APPLE = Machine("mps", gigabytes=16)


def started_with(option: str, patch: pytest.MonkeyPatch) -> None:
    """As if ComfyUI had been started with --`option`."""
    from comfy.cli_args import args

    if option:
        patch.setattr(args, option.replace("-", "_"), True)


@pytest.mark.parametrize(
    ("machine", "option", "stored", "weights", "compute"),
    [
        (PROCESSOR, "", BF16, FP32, FP32),
        (PROCESSOR, "", E4M3, E4M3, BF16),
        (PROCESSOR, "fp32-unet", E4M3, FP32, FP32),
        (PROCESSOR, "fp64-unet", BF16, FP64, FP64),
        (PROCESSOR, "bf16-unet", FP32, BF16, BF16),
        (PROCESSOR, "fp16-unet", FP32, FP16, FP16),
        (PROCESSOR, "fp8_e4m3fn-unet", BF16, E4M3, BF16),
        (PROCESSOR, "fp8_e5m2-unet", BF16, E4M3, BF16),
        (PROCESSOR, "fp8_e8m0fnu-unet", BF16, E4M3, BF16),
        (AMPERE, "", FP32, BF16, BF16),
        (AMPERE, "", E4M3, E4M3, BF16),
        (AMPERE, "fp16-unet", E4M3, FP16, FP16),
        (AMPERE, "fp32-unet", FP32, FP32, FP32),
        (AMPERE, "fp8_e5m2-unet", BF16, E4M3, BF16),
        (TURING, "", BF16, FP16, FP16),
        (TURING, "", E4M3, E4M3, FP16),
        (TURING_16, "", BF16, BF16, FP32),
        (PASCAL, "", BF16, BF16, FP32),
        (PASCAL, "", E4M3, E4M3, FP32),
        (APPLE, "", FP32, BF16, BF16),
        (APPLE, "", E4M3, BF16, BF16),
        (PASCAL_ON_WINDOWS, "", BF16, FP16, FP16),
        (PASCAL_ON_WINDOWS, "", E4M3, E4M3, FP16),
        (AMPERE_FAST, "", BF16, FP16, FP16),
        (APPLE, "fp8_e4m3fn-unet", BF16, BF16, BF16),
        (APPLE, "fp8_e5m2-unet", BF16, BF16, BF16),
        (APPLE, "fp64-unet", BF16, FP32, FP32),
    ],
)
def test_what_auto_takes(
    pack: Any, monkeypatch: pytest.MonkeyPatch, machine: Machine, option: str, stored: Any, weights: Any,
    compute: Any,
) -> None:  # fmt: skip
    runtime = comfy_pack.pack_module("nodes.runtime")
    machine.insert(monkeypatch)
    started_with(option, monkeypatch)
    assert runtime.precision(None, LARGE, stored) == (weights, compute)


@pytest.mark.parametrize(
    ("weights", "compute"),
    [
        (FP64, FP64),
        (FP32, FP32),
        (BF16, BF16),
        (FP16, FP16),
        (BF16, FP32),
        (E4M3, BF16),
        (E4M3, FP16),
        (E4M3, FP32),
    ],
    ids=str,
)
def test_a_picture_comes_of_every_pair_of_types(
    pack: Any, short_folder: Path, weights: torch.dtype, compute: torch.dtype
) -> None:
    from echogen_core.checkpoints import load_bundle

    runtime = comfy_pack.pack_module("nodes.runtime")
    bundle = load_bundle(
        "nano",
        short_folder / "nano",
        operations=runtime.operations(),
        dtype=compute,
        transformer_dtype=weights,
        compute_dtype=compute,
    )
    model = runtime.manage_model(bundle.transformer, bundle.preset)
    text, semantic = (runtime.manage(part, bundle.preset, True) for part in (bundle.text, bundle.semantic))
    tokenizer, content = (runtime.manage(part, bundle.preset) for part in (bundle.tokenizer, bundle.content))
    encode = {"image": torch.rand(1, 64, 64, 3), "strength": 1.0}
    (words,) = run(pack, "EchoGenEncodeText", text_encoder=text, prompt="a car on a beach")
    (seen,) = run(pack, "EchoGenEncodeSemantic", semantic_encoder=semantic, **encode)
    (detail,) = run(pack, "EchoGenEncodeContent", content_encoder=content, **encode)
    features = {"text": words, "semantic": seen, "content": detail, "tokenizer": tokenizer}
    bits, _ = run(pack, "EchoGenSampler", model=model, **SAMPLER, **features)
    (image,) = run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=tokenizer)
    assert bits.complete and bool(torch.isfinite(image).all())
    assert all(layer.cross.k_BHSD.dtype == compute for layer in first_branch(model).layers)


def first_branch(model: Any) -> Any:
    branch, *_ = model.prefill_cache._branches.values()
    return branch


@pytest.mark.parametrize(
    ("started", "asked", "shown"),
    [
        ([], None, True), ([], "default", True), ([], "none", False), ([], "taesd", True),
        (["--preview-method", "none"], None, False), (["--preview-method=none"], "bogus", False),
        (["--preview-method", "none"], "auto", True), (["--preview-size", "256"], "default", True),
    ],
)  # fmt: skip
def test_who_says_whether_previews_are_shown(
    pack: Any, monkeypatch: pytest.MonkeyPatch, started: list[str], asked: Any, shown: bool
) -> None:
    import sys

    runtime = comfy_pack.pack_module("nodes.runtime")
    options = (0, "run", {}, {"preview_method": asked}, [])
    queue = SimpleNamespace(get_current_queue_volatile=lambda: ([options], []))
    monkeypatch.setattr(runtime, "prompt_server", lambda: SimpleNamespace(prompt_queue=queue))
    monkeypatch.setattr(sys, "argv", ["main.py", *started])
    assert runtime.previews_enabled() == shown
