"""The three scores of DreamBench: DINO, CLIP-I and CLIP-T, with the backbones named.

DINO and CLIP-I of a picture: the mean cosine between its feature and those of all real pictures of its
subject. CLIP-T: the cosine between the features of the picture and of its prompt. Nothing is rescaled or
clamped. Pictures are prepared as the networks' authors do: the shorter side resized (bicubic) to 256 for
DINO's 224 and to 224 for CLIP's, the middle cut out.

Shapes: R real pictures, D features, H and W pixels. Features have unit length.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ..checkpoints.fingerprint import weights_fingerprint
from ..pictures import IMAGENET_MEAN, IMAGENET_STD, middle_of_strip

DINO = "facebook/dino-vits16"
CLIP = "openai/clip-vit-base-patch32"
PUBLISHED_SHAPES = {"DINO": "ViT 12 x 384, patch 16", "CLIP": "ViT 12 x 768, patch 32"}
"""ViT-S/16 and ViT-B/32, by convention; other backbones give scores that cannot be compared."""

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class Backbone(NamedTuple):
    """A scorer's network: the folder or hub id asked for, its shape, and whether that is as published."""

    name: str
    shape: str
    published: bool
    fingerprint: str


class Scores(NamedTuple):
    """Of one picture, each -1..1."""

    dino: float
    clip_i: float
    clip_t: float


class ReferenceFeatures(NamedTuple):
    """Features of a subject's real pictures."""

    dino_RD: Tensor
    clip_RD: Tensor


def mean_cosine(feature_D: Tensor, real_RD: Tensor) -> float:
    """Mean cosine of one feature with several; lengths do not matter."""
    return float((F.normalize(real_RD, dim=1) @ F.normalize(feature_D, dim=0)).mean())


def prepare(
    image: Image.Image, shorter: int, side: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> Tensor:
    """[1, 3, side, side]: the shorter side resized to `shorter` pixels, the middle cut out, normalised."""
    image = middle_of_strip(image)
    width, height = image.size
    scale = shorter / min(width, height)
    size = (max(shorter, int(width * scale)), max(shorter, int(height * scale)))
    resized = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    pixels_HW3 = np.asarray(resized.crop((left, top, left + side, top + side)), dtype=np.float32) / 255
    normal_HW3 = (pixels_HW3 - np.array(mean, np.float32)) / np.array(std, np.float32)
    return torch.from_numpy(normal_HW3).permute(2, 0, 1)[None]


class Scorers:
    """ViTModel and CLIPModel from folders, or from hub ids that are already on disk; float32."""

    def __init__(self, dino: str = DINO, clip: str = CLIP, device: torch.device | str = "cpu") -> None:
        """Raises FileNotFoundError when one is not on disk: nothing is ever downloaded here."""
        import transformers

        library: Any = transformers
        self._device = device
        self._dino = _load(library.ViTModel, dino, "--dino", add_pooling_layer=False).to(device)
        self._clip = _load(library.CLIPModel, clip, "--clip").to(device)
        self._words = _load(library.AutoTokenizer, clip, "--clip")
        self._texts: dict[str, Tensor] = {}
        self.backbones = {
            "DINO": _backbone("DINO", dino, self._dino, self._dino.config),
            "CLIP": _backbone("CLIP", clip, self._clip, self._clip.config.vision_config),
        }

    def real(self, images: Iterable[Image.Image]) -> ReferenceFeatures:
        """Features of the real pictures of one subject (at least one)."""
        pairs = [(self._dino_feature(image), self._clip_feature(image)) for image in images]
        return ReferenceFeatures(
            torch.stack([dino for dino, _ in pairs]), torch.stack([clip for _, clip in pairs])
        )

    def score(self, image: Image.Image, real: ReferenceFeatures, prompt: str) -> Scores:
        """All three of one picture."""
        clip_D = self._clip_feature(image)
        return Scores(
            mean_cosine(self._dino_feature(image), real.dino_RD),
            mean_cosine(clip_D, real.clip_RD),
            mean_cosine(clip_D, self._text_feature(prompt)[None]),
        )

    @torch.inference_mode()
    def _dino_feature(self, image: Image.Image) -> Tensor:
        side = int(self._dino.config.image_size)
        pixels_13HW = prepare(image, round(side * 256 / 224), side, IMAGENET_MEAN, IMAGENET_STD)
        return self._dino(pixel_values=pixels_13HW.to(self._device)).last_hidden_state[0, 0].cpu()

    @torch.inference_mode()
    def _clip_feature(self, image: Image.Image) -> Tensor:
        side = int(self._clip.config.vision_config.image_size)
        pixels_13HW = prepare(image, side, side, _CLIP_MEAN, _CLIP_STD).to(self._device)
        pooled_1D = self._clip.vision_model(pixel_values=pixels_13HW).pooler_output
        return self._clip.visual_projection(pooled_1D)[0].cpu()

    @torch.inference_mode()
    def _text_feature(self, prompt: str) -> Tensor:
        if prompt not in self._texts:
            longest = self._clip.config.text_config.max_position_embeddings
            tokens = self._words(prompt, truncation=True, max_length=longest, return_tensors="pt")
            tokens = {name: tokens[name].to(self._device) for name in ("input_ids", "attention_mask")}
            pooled_1D = self._clip.text_model(**tokens).pooler_output
            self._texts[prompt] = self._clip.text_projection(pooled_1D)[0].cpu()
        return self._texts[prompt]


def _load(kind: Any, name: str, option: str, **settings: Any) -> Any:
    try:
        found = kind.from_pretrained(name, local_files_only=True, **settings)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"Can't load {name} as {kind.__name__}; nothing is downloaded automatically. Pass {option} a "
            f"folder in the hub's format, or run `hf download {name}` first. ({error})"
        ) from error
    return found.eval().requires_grad_(False) if isinstance(found, nn.Module) else found


def _backbone(kind: str, name: str, module: nn.Module, vision: Any) -> Backbone:
    shape = f"ViT {vision.num_hidden_layers} x {vision.hidden_size}, patch {vision.patch_size}"
    return Backbone(name, shape, shape == PUBLISHED_SHAPES[kind], weights_fingerprint([module]))
