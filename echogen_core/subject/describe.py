"""What the subject is, in one to three words: Qwen2.5-VL asked as the paper asks it.

Shape suffixes: B pictures, C channels, H height, W width. Values 0..1.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

INSTRUCTION = (
    "Analyze the given image. Identify the primary subject and provide a concise, one-to-three noun phrase "
    "to describe it."
)
"""The paper's, word for word."""


class Describer(nn.Module):
    """transformers' Qwen2_5_VLForConditionalGeneration with its processor."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model = model
        self.processor = processor

    def describe(self, images_BCHW: Tensor) -> list[str]:
        """A phrase for each picture, cleaned by `clean_phrase`; '' where the answer held none.

        Raises ValueError for an unusable picture (`check_picture`).
        """
        raise NotImplementedError


def describe(images_BCHW: Tensor, describer: Describer | None, phrase: str = "") -> list[str]:
    """A phrase for each picture: the artist's own where there is one (the model is not asked then).

    describer: None asks nothing; every phrase is then the artist's, or ''.
    """
    raise NotImplementedError


def clean_phrase(answer: str) -> str:
    """The noun phrase in a model's or an artist's words: no quotes, markup, lead-in, article or full stop.

    One line of at most MAX_PHRASE characters, in any language; '' when nothing is left.
    """
    raise NotImplementedError
