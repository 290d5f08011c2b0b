"""From a box to a mask: one interface, two SAM backends.

Shape suffixes: B pictures, C channels, H height, W width, P proposals. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..pictures import check_pictures, fit_within, flatten_alpha, to_pil
from .refine import fill_holes, remove_specks
from .refine import soften as soften_edge
from .regions import Box, check_box


class Proposals(NamedTuple):
    """SAM's three readings of one box: masks [P, H, W] bool at the picture's size, and their scores [P]."""

    masks_PHW: Tensor
    scores_P: Tensor


class Segmenter(Protocol):
    """What both backends are: an nn.Module with this method."""

    def propose(self, image_3HW: Tensor, box_xyxy: Box) -> Proposals:
        """Masks of what the box holds in one checked picture."""


class Sam(nn.Module):
    """transformers' SamModel with its processor."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model = model
        self.processor = processor

    @torch.no_grad()
    def propose(self, image_3HW: Tensor, box_xyxy: Box) -> Proposals:
        """As `Segmenter.propose`."""
        inputs = self.processor(to_pil(image_3HW), input_boxes=[[list(box_xyxy)]], return_tensors="pt")
        weight = next(self.model.parameters())
        sizes = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
        inputs = {name: value.to(weight.device, weight.dtype) for name, value in inputs.items()}
        outputs = self.run(inputs)
        masks_1PHW = self.processor.image_processor.post_process_masks(outputs.pred_masks.cpu(), *sizes)[0]
        return Proposals(masks_1PHW[0], outputs.iou_scores[0, 0].cpu())

    def run(self, inputs: Any) -> Any:
        """An object with pred_masks [1, 1, P, h, w] (logits) and iou_scores [1, 1, P]."""
        outputs = self.model(**inputs, multimask_output=True)
        return SimpleNamespace(pred_masks=outputs.pred_masks.float(), iou_scores=outputs.iou_scores.float())


def segment(
    image_CHW: Tensor, box_xyxy: Sequence[float], segmenter: Segmenter, soften: float = 0.0
) -> Tensor:
    """[H, W] in 0..1: the best proposal, holes filled, specks removed, edge softened by `soften` pixels.

    Pictures over 2048 px are looked at in that size. Raises ValueError for an unusable picture, box
    (`check_box`) or softness. A mask may be empty.
    """
    image_13HW = flatten_alpha(check_pictures(image_CHW[None]))
    height, width = image_13HW.shape[-2:]
    box = check_box(box_xyxy, height, width)
    small_13hw = fit_within(image_13HW)
    down_x, down_y = small_13hw.shape[-1] / width, small_13hw.shape[-2] / height
    proposals = segmenter.propose(
        small_13hw[0], (box[0] * down_x, box[1] * down_y, box[2] * down_x, box[3] * down_y)
    )
    mask_hw = remove_specks(fill_holes(proposals.masks_PHW[int(proposals.scores_P.argmax())]))
    mask_11hw = mask_hw[None, None].float()
    if mask_hw.shape != (height, width):
        mask_11hw = F.interpolate(mask_11hw, (height, width), mode="bilinear")
    return soften_edge(mask_11hw[0, 0], soften)
