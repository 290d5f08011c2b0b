"""Nodes that only the tests' server has: what no node of ComfyUI makes."""

from __future__ import annotations

from typing import Any, ClassVar

import torch


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


NODE_CLASS_MAPPINGS = {
    node.__name__: node
    for node in (
        TestPicture,
        TestNumber,
        TestOtherModelsFeatures,
        TestOtherModelsSemantic,
        TestOtherModelsContent,
    )
}
