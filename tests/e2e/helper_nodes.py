"""Nodes that only the tests' server has: what no node of ComfyUI makes."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from comfy import model_management
from server import PromptServer

_kept_looks = ExitStack()


@cache
def _keep_looks() -> None:
    from .kept_looks import keep_looks  # the pack has been loaded by now

    _kept_looks.enter_context(keep_looks({}))


def _before_each_prompt(request: dict[str, Any]) -> dict[str, Any]:
    _keep_looks()
    return request


if (Path(__file__).parent / "kept_looks.py").exists():
    PromptServer.instance.add_on_prompt_handler(_before_each_prompt)


class TestPicture:
    """A picture of any size: a disc on white, or filled with NaN."""

    CATEGORY = "tests"
    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        side = ("INT", {"default": 64, "min": 1, "max": 20000})
        return {
            "required": {
                "width": side,
                "height": side,
                "count": ("INT", {"default": 1}),
                "nan": ("BOOLEAN", {"default": False}),
                "empty_mask": ("BOOLEAN", {"default": False}),
            }
        }

    def make(self, width: int, height: int, count: int, nan: bool, empty_mask: bool) -> tuple[Any, Any]:
        down = torch.linspace(-1, 1, height)[:, None]
        across = torch.linspace(-1, 1, width)[None, :]
        mask_HW = ((down**2 + across**2) < 0.5).float()
        colour = torch.tensor([0.8, 0.2, 0.1])
        image_HW3 = 1 - mask_HW[..., None] * (1 - colour)
        if nan:
            image_HW3[height // 2, width // 2] = float("nan")
        if empty_mask:
            mask_HW = torch.zeros_like(mask_HW)
        return image_HW3.expand(count, -1, -1, -1).clone(), mask_HW.expand(count, -1, -1).clone()


class TestNumber:
    """A number that no front end can know before the run."""

    CATEGORY = "tests"
    RETURN_TYPES = ("FLOAT",)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"half": ("FLOAT", {"default": 1.0})}}

    def make(self, half: float) -> tuple[float]:
        return (2 * half,)


class TestGate:
    """Keeps the server busy, without work, until a file is there or the run is interrupted; then a number."""

    CATEGORY = "tests"
    RETURN_TYPES = ("FLOAT",)
    OUTPUT_NODE = True
    FUNCTION = "wait"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"file": ("STRING", {"default": ""})}}

    def wait(self, file: str) -> dict[str, Any]:
        while not Path(file).exists():
            model_management.throw_exception_if_processing_interrupted()
            time.sleep(0.02)
        return {"result": (2.5,)}


class Anything(str):
    """The type that fits all, as packs have long written it."""

    __slots__ = ()

    def __ne__(self, other: object) -> bool:
        return False


def _box(x: Any, y: Any, width: Any, height: Any, **more: Any) -> dict[str, Any]:
    return {"x": x, "y": y, "width": width, "height": height, **more}


def _values() -> dict[str, Any]:
    nan, infinity = float("nan"), float("inf")
    picture = torch.full((1, 64, 64, 3), 0.5)
    return {
        "none": None, "text": "abc", "surrogates": "\ud800\udfff", "long text": "word " * 200_000,
        "number": 3, "nan": nan, "infinity": infinity, "huge": 10**400, "complex": 1j, "bytes": b"\xff",
        "dict": {"a": {"b": 1}}, "list": [1, 2], "object": object(),
        "picture": picture, "grey": picture[..., :1], "five channels": picture[..., [0, 1, 2, 0, 1]],
        "no pictures": picture[:0], "no pixels": picture[:, :0], "one pixel": picture[:, :1, :1],
        "flat": picture[0, :, :, 0], "nans": picture * nan, "whole numbers": (picture * 255).to(torch.uint8),
        "halves": picture.half(), "tuple": (picture, picture),
        # Their numbers are all one: they take no memory until someone copies them.
        "gigabytes": torch.tensor(0.5).expand(64, 16384, 16384, 3),
        "wide": torch.tensor(0.5).expand(1, 8, 10_000_000_000, 3),
        "box": _box(4, 4, 30, 30), "inverted box": _box(30, 30, -10, -10),
        "nan box": _box(nan, 0, infinity, 9),
        "far box": _box(1e30, -1e30, 5, 5), "many boxes": [_box(n % 90, 4, 9, 9) for n in range(20_000)],
        "boxes in boxes": [[[_box(4, 4, 9, 9)]]], "box of texts": _box("a", None, [], {}),
        "labelled box": _box(4, 4, 30, 30, label="\ud800" + "x" * 100_000, score=nan),
    }  # fmt: skip


class TestAnything:
    """Any value over a link of any type, as switches of many packs give it."""

    CATEGORY = "tests"
    RETURN_TYPES = (Anything("*"),)
    FUNCTION = "give"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"name": ("STRING", {})}}

    def give(self, name: str) -> tuple[Any]:
        return (_values()[name],)


class TestPassOn:
    """A text over a link of any type, for inputs that take no link of texts."""

    CATEGORY = "tests"
    RETURN_TYPES = (Anything("*"),)
    FUNCTION = "give"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"text": ("STRING", {})}}

    def give(self, text: str) -> tuple[str]:
        return (text,)


class TestOtherModelsFeatures:
    """Turns features into ones as wide as the 2B model's encoders give them."""

    CATEGORY = "tests"
    FUNCTION = "widen"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {cls.FEATURES.lower(): (f"ECHOGEN_{cls.FEATURES}",)}}

    FEATURES: ClassVar[str] = "TEXT"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("ECHOGEN_TEXT",)

    def widen(self, text: Any) -> tuple[Any]:
        return (text._replace(tokens_LC=torch.zeros(7, 2048)),)


class TestOtherModelsSemantic(TestOtherModelsFeatures):
    FEATURES = "SEMANTIC"
    RETURN_TYPES = ("ECHOGEN_SEMANTIC",)

    def widen(self, semantic: Any) -> tuple[Any]:  # type: ignore[override]
        views = semantic.cls_VC.shape[0]
        wide = semantic._replace(cls_VC=torch.zeros(views, 768), patches_VPC=torch.zeros(views, 1369, 768))
        return (wide,)


class TestOtherModelsContent(TestOtherModelsFeatures):
    FEATURES = "CONTENT"
    RETURN_TYPES = ("ECHOGEN_CONTENT",)

    def widen(self, content: Any) -> tuple[Any]:  # type: ignore[override]
        views = content.latents_VCHW.shape[0]
        return (content._replace(latents_VCHW=torch.zeros(views, 16, 64, 64)),)


class TestNaiveSampler:
    """What the sampler and Decode Bits do together, without this project's savings: for benchmarks."""

    CATEGORY = "tests"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "draw"
    PARTS: ClassVar[tuple[str, ...]] = ("MODEL", "TOKENIZER", "TEXT", "SEMANTIC", "CONTENT")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        parts = {part.lower(): (f"ECHOGEN_{part}",) for part in cls.PARTS}
        gamma = ("FLOAT", {"default": 2.5})
        return {"required": {**parts, "gamma_t": gamma, "gamma_i": gamma, "seed": ("INT", {"default": 0})}}

    def draw(
        self, model: Any, tokenizer: Any, gamma_t: float, gamma_i: float, seed: int, **features: Any
    ) -> tuple[Any]:
        from echogen_core.sampling import Guidance, RunConditions  # the pack has been loaded by now
        from echogen_core.sampling.memory import Run
        from echogen_core.scales import preset_schedule

        from .naive_run import naive_sample

        schedule = preset_schedule(model.preset)
        guidance = Guidance.constant(gamma_t, gamma_i, len(schedule.scales))
        conditions = RunConditions(**features, guidance=guidance)
        codes_BdHW = naive_sample(model.module, conditions, Run(schedule), [seed], model.device, guidance)
        return (tokenizer.module.decode(codes_BdHW).movedim(1, -1),)


NODE_CLASS_MAPPINGS = {
    node.__name__: node
    for node in (
        TestPicture,
        TestNumber,
        TestGate,
        TestAnything,
        TestPassOn,
        TestOtherModelsFeatures,
        TestOtherModelsSemantic,
        TestOtherModelsContent,
        TestNaiveSampler,
    )
}
