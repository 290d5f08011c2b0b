"""The built-in cut: U²-Netp finds the most conspicuous subject, without phrase or box, offline.

Shape suffixes: B pictures, C channels, H height, W width. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .pictures import check_picture, flatten_alpha
from .refine import soften as soften_edge
from .regions import Box, check_box
from .u2net import U2Netp

SIDE = 320
"""Pixels of the square that the network looks at."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_AROUND = 0.25  # of a box's longer side, seen around it on each side
_FAINT = 0.1  # certainty below which nothing stands out


class SalientSubject(nn.Module):
    """U²-Netp (Qin et al. 2020, 1.1 million parameters)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = U2Netp()

    @torch.no_grad()
    def mask(
        self, images_BCHW: Tensor, boxes: Sequence[Box | None] | None = None, soften: float = 0.0
    ) -> Tensor:
        """[B, H, W] in 0..1: where the subject is, at the pictures' own size; all 0 where none stands out.

        boxes: one per picture or None; the subject is looked for within its box only.
        Raises ValueError for an unusable picture, box or softness.
        """
        images_B3HW = flatten_alpha(check_picture(images_BCHW))
        height, width = images_B3HW.shape[-2:]
        if boxes is None:
            boxes = [None] * len(images_B3HW)
        if len(boxes) != len(images_B3HW):
            raise ValueError(
                f"Expected a box (or None) for each of the {len(images_B3HW)} pictures, got {len(boxes)}."
            )
        checked = [None if box is None else check_box(box, height, width) for box in boxes]
        masks = [self._mask(image_3HW, box) for image_3HW, box in zip(images_B3HW, checked, strict=True)]
        return torch.stack([soften_edge(mask_HW, soften) for mask_HW in masks])

    def _mask(self, image_3HW: Tensor, box: Box | None) -> Tensor:
        height, width = image_3HW.shape[-2:]
        left, top, right, bottom = box or (0, 0, width, height)
        around = _AROUND * max(right - left, bottom - top)
        x1, y1 = max(0, math.floor(left - around)), max(0, math.floor(top - around))
        x2, y2 = min(width, math.ceil(right + around)), min(height, math.ceil(bottom + around))
        mask_HW = torch.zeros(height, width)
        mask_HW[y1:y2, x1:x2] = self.saliency(image_3HW[None, :, y1:y2, x1:x2])[0, 0].cpu()
        inside_HW = torch.zeros(height, width)
        inside_HW[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)] = 1
        mask_HW *= inside_HW
        return mask_HW if float(mask_HW.max()) >= _FAINT else torch.zeros_like(mask_HW)

    def saliency(self, images_B3HW: Tensor) -> Tensor:
        """[B, 1, H, W]: how much each pixel of these pictures stands out."""
        weight = self.net.merge.weight
        x_B3HW = F.interpolate(images_B3HW.to(weight), (SIDE, SIDE), mode="bilinear", antialias=True)
        x_B3HW = x_B3HW / x_B3HW.amax((1, 2, 3), keepdim=True).clamp_min(1e-6)
        mean, std = (x_B3HW.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        saliency_B1HW = self.net((x_B3HW - mean) / std).sigmoid().float()
        return F.interpolate(saliency_B1HW, images_B3HW.shape[-2:], mode="bilinear")
