"""What the subject is, in one to three words: Qwen2.5-VL asked as the paper asks it.

Shape suffixes: B pictures, C channels, H height, W width, L tokens. Values 0..1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..pictures import check_pictures, fit_within, flatten_alpha, to_pil
from .phrases import clean_phrase

INSTRUCTION = (
    "Analyze the given image. Identify the primary subject and provide a concise, one-to-three noun phrase "
    "to describe it."
)
"""The paper's, word for word."""

LARGEST_SIDE = 1024
"""Pixels; about 1,300 picture tokens, more than a phrase needs."""
_SMALLEST_SIDE = 28  # one picture token; also keeps a strip within the proportions that the processor takes
_NEW_TOKENS = 24


class Describer(nn.Module):
    """transformers' Qwen2_5_VLForConditionalGeneration with its processor."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model = model
        self.processor = processor

    @torch.no_grad()
    def describe(self, images_BCHW: Tensor) -> list[str]:
        """A phrase for each picture, cleaned by `clean_phrase`; '' where the answer held none.

        Raises ValueError for an unusable picture (`check_pictures`).
        """
        images_B3HW = flatten_alpha(check_pictures(images_BCHW))
        return [clean_phrase(self.answer(image_3HW)) for image_3HW in images_B3HW]

    def answer(self, image_3HW: Tensor) -> str:
        """The model's own words about one checked picture: the likeliest at every step, no chance."""
        picture = to_pil(_working_size(image_3HW))
        question = [{"type": "image", "image": picture}, {"type": "text", "text": INSTRUCTION}]
        inputs = self.processor.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(self.model.device)
        ids_1L = self.model.generate(**inputs, max_new_tokens=_NEW_TOKENS, do_sample=False)
        words: str = self.processor.decode(
            ids_1L[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
        return words


def describe(images_BCHW: Tensor, describer: Describer | None, phrase: str = "") -> list[str]:
    """A phrase for each picture: the artist's own where there is one (the model is not asked then).

    describer: None asks nothing; every phrase is then the artist's, or ''.
    """
    own = clean_phrase(phrase)
    if own or describer is None:
        return [own] * len(check_pictures(images_BCHW))
    return describer.describe(images_BCHW)


def _working_size(image_3HW: Tensor) -> Tensor:
    small_13HW = fit_within(image_3HW[None], LARGEST_SIDE)
    size = [max(_SMALLEST_SIDE, side) for side in small_13HW.shape[-2:]]
    return F.interpolate(small_13HW, size, mode="bilinear")[0]
