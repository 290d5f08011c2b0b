"""Finding what a phrase names: one interface, two GroundingDINO backends.

Shape suffixes: B pictures, C channels, H height, W width, Q queries, T text positions. Values 0..1; boxes in
pixels.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..pictures import check_pictures, fit_within, flatten_alpha, to_pil
from .phrases import clean_phrase
from .regions import Detection, check_box

logger = logging.getLogger(__name__)

DEFAULT_THRESHOLD = 0.35
"""Least confidence of a box, the value of GroundingDINO's own demonstrations."""
TEXT_THRESHOLD = 0.25
"""Least confidence of a word to be among those that a box answers to."""


_FRAME = re.compile(r"\[(?:CLS|SEP|UNK|PAD)\]")  # what the tokenizer adds to words


class Detector(Protocol):
    """What both backends are: an nn.Module with this method."""

    def find(self, image_3HW: Tensor, phrase: str, threshold: float) -> list[Detection]:
        """Hits in one checked picture, best first; the phrase is cleaned and not empty."""


class GroundingDino(nn.Module):
    """transformers' GroundingDinoForObjectDetection with its processor."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model = model
        self.processor = processor

    @torch.no_grad()
    def find(self, image_3HW: Tensor, phrase: str, threshold: float) -> list[Detection]:
        """As `Detector.find`; pictures over 2048 px are reduced first, boxes are the given picture's."""
        height, width = image_3HW.shape[-2:]
        picture = to_pil(fit_within(image_3HW[None])[0])
        # The model was trained on lower case, every phrase closed by a full stop.
        caption = phrase.lower() + "."
        inputs = self.processor(images=picture, text=caption, return_tensors="pt")
        weight = next(self.model.parameters())
        inputs = inputs.to(weight.device)
        inputs["pixel_values"] = inputs["pixel_values"].to(weight.dtype)
        outputs = self.run(inputs, caption)
        found = self.processor.post_process_grounded_object_detection(
            outputs,
            input_ids=inputs["input_ids"].cpu(),
            threshold=threshold,
            text_threshold=TEXT_THRESHOLD,
            target_sizes=[(height, width)],
        )[0]
        # Not strict: without a box transformers 5 still gives one label, an empty one.
        rows = zip(found["boxes"].tolist(), found["scores"].tolist(), found["text_labels"], strict=False)
        hits = [
            Detection(check_box(box, height, width), score, clean_phrase(_FRAME.sub("", label)) or phrase)
            for box, score, label in rows
            if _has_area(box, height, width)
        ]
        return sorted(hits, key=lambda hit: -hit.score)

    def run(self, inputs: Any, caption: str) -> Any:
        """Logits [1, Q, T] and pred_boxes [1, Q, 4] (middle and size, shares of the picture), see `on_cpu`.

        inputs: the processor's, of the caption and one picture.
        """
        outputs = self.model(**inputs)
        return on_cpu(outputs.logits, outputs.pred_boxes)


def on_cpu(logits: Tensor, pred_boxes: Tensor) -> Any:
    """What the post-processing takes, in full precision: an object with these two."""
    return SimpleNamespace(logits=logits.float().cpu(), pred_boxes=pred_boxes.float().cpu())


def detect(
    images_BCHW: Tensor,
    phrases: str | Sequence[str],
    detector: Detector,
    threshold: float = DEFAULT_THRESHOLD,
) -> list[list[Detection]]:
    """For each picture its hits, best first; an empty list where nothing was found.

    phrases: one for all pictures, or one for each; several subjects are parted by full stops. A picture
    whose phrase is empty has no hits. One longer than the model reads is cut, with a logged warning.
    threshold: 0 to 1.
    Raises ValueError for an unusable picture, a threshold out of range, or a wrong number of phrases.
    """
    images_B3HW = flatten_alpha(check_pictures(images_BCHW))
    if not (math.isfinite(threshold) and 0 <= threshold <= 1):
        raise ValueError(f"The threshold must be 0 to 1, got {threshold}. 0.35 suits most pictures.")
    wanted = [phrases] * len(images_B3HW) if isinstance(phrases, str) else list(phrases)
    if len(wanted) != len(images_B3HW):
        raise ValueError(
            f"Expected one phrase for all or one for each of the {len(images_B3HW)} pictures, "
            f"got {len(wanted)}."
        )
    cleaned = [clean_phrase(phrase) for phrase in wanted]
    if any(ord(letter) > 0x24F and letter.isalpha() for phrase in cleaned for letter in phrase):
        logger.warning("GroundingDINO was trained on English: a phrase in another script rarely finds much.")
    return [
        detector.find(image_3HW, phrase, threshold) if phrase else []
        for image_3HW, phrase in zip(images_B3HW, cleaned, strict=True)
    ]


def _has_area(box: Sequence[float], height: int, width: int) -> bool:
    """Whether anything of the box lies in the picture; also sorts out boxes that are not numbers."""
    left, top, right, bottom = box
    return min(right, width) > max(left, 0) and min(bottom, height) > max(top, 0)
