"""The built-in cut: U²-Netp finds the most conspicuous subject, without phrase or box, offline.

Shape suffixes: B pictures, C channels, H height, W width. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .colours import GuidedFilter, follow_colours
from .pictures import check_picture, fit_within, flatten_alpha
from .refine import pieces
from .refine import soften as soften_edge
from .regions import Box, check_box
from .u2net import U2Netp

FIRST_SIDE, SIDE = 224, 320
"""Pixels of the square that the network looks at: to find the subject, and to see it from near."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_AROUND = 0.25  # of a box's longer side, seen around it on each side from near
_FAINT = 0.1  # saliency below which nothing stands out
_MUCH_LESS = 0.5  # of the first finding's area: what is seen from near is worth a look from nearer still
_FAVOUR = 1.0  # log-odds for what two looks disagree on
_LESSER = 0.2  # weight of a second thing, against the first one's, from which it is a subject too

Frame = tuple[int, int, int, int]
"""Left, top, right, bottom in whole pixels."""


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
        """[H, W] of one checked picture; a large one is looked at in a smaller size."""
        height, width = image_3HW.shape[-2:]
        small_3hw = fit_within(image_3HW[None])[0]
        scale_x, scale_y = small_3hw.shape[-1] / width, small_3hw.shape[-2] / height
        if box is not None:
            box = (box[0] * scale_x, box[1] * scale_y, box[2] * scale_x, box[3] * scale_y)
        mask_hw = self._look(small_3hw, box)
        if mask_hw.shape == (height, width):
            return mask_hw
        return F.interpolate(mask_hw[None, None], (height, width), mode="bilinear")[0, 0]

    def _look(self, image_3HW: Tensor, box: Box | None) -> Tensor:
        """A first look finds where the subject is, a second one from nearer what belongs to it.

        Where that is much less than was found, a third look from nearer still decides.
        """
        height, width = image_3HW.shape[-2:]
        mask_HW, whole = torch.zeros(height, width), (0, 0, width, height)
        seen_HW = self.saliency(image_3HW, FIRST_SIDE)
        region = conspicuous_box(seen_HW) if box is None else around(box, 0, whole)
        if region is None:
            return mask_HW
        near = around(region, _AROUND, whole)
        guess_hw = self.saliency(crop(image_3HW, near), SIDE)
        closer = conspicuous_box(guess_hw) if box is None else None
        if closer is not None and _area(closer) < _MUCH_LESS * _area(region):
            seen_HW = torch.zeros(height, width)
            crop(seen_HW, near)[:] = guess_hw
            near = around(_moved(closer, near), _AROUND, whole)
            guess_hw = self.saliency(crop(image_3HW, near), SIDE)
        guess_hw = _seen_by_both(crop(seen_HW, near), guess_hw)
        ground_hw = None
        if box is not None:
            ground_HW = torch.ones(height, width)
            crop(ground_HW, region)[:] = 0
            ground_hw = crop(ground_HW, near)
            guess_hw = guess_hw * (1 - ground_hw)
        guess_hw = guess_hw / guess_hw.max().clamp_min(_FAINT)
        crop(mask_HW, near)[:] = _sharpen(crop(image_3HW, near), guess_hw, ground_hw)
        return mask_HW

    def saliency(self, image_3HW: Tensor, side: int) -> Tensor:
        """[H, W] on the CPU: how much each pixel stands out, seen in a square of `side` pixels."""
        weight = self.net.merge.weight
        x_13HW = F.interpolate(image_3HW[None].to(weight), (side, side), mode="bilinear", antialias=True)
        x_13HW = x_13HW / x_13HW.max().clamp_min(1e-6)
        mean, std = (x_13HW.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        saliency_11HW = self.net((x_13HW - mean) / std).sigmoid().float().cpu()
        return F.interpolate(saliency_11HW, image_3HW.shape[-2:], mode="bilinear")[0, 0]


def conspicuous_box(saliency_HW: Tensor) -> Frame | None:
    """The box of what stands out, without lesser things apart from it; None where nothing does."""
    coarse_hw = fit_within(saliency_HW[None, None], FIRST_SIDE)[0, 0]
    highest = float(coarse_hw.max())
    if highest < _FAINT:
        return None
    labels_hw, _ = pieces(coarse_hw > highest / 4)
    weights = np.bincount(labels_hw.ravel(), coarse_hw.numpy().ravel())
    surely = np.bincount(labels_hw[(coarse_hw > highest / 2).numpy()], minlength=len(weights))
    weights[surely == 0] = 0  # the ground, and what is faint all over
    kept_hw = torch.from_numpy((weights >= _LESSER * weights.max())[labels_hw])
    rows, columns = kept_hw.any(1).nonzero()[:, 0], kept_hw.any(0).nonzero()[:, 0]
    x, y = saliency_HW.shape[1] / coarse_hw.shape[1], saliency_HW.shape[0] / coarse_hw.shape[0]
    box = (int(columns[0]) * x, int(rows[0]) * y, (int(columns[-1]) + 1) * x, (int(rows[-1]) + 1) * y)
    return around(box, 0, (0, 0, saliency_HW.shape[1], saliency_HW.shape[0]))


def around(box: Box, share: float, limits: Frame) -> Frame:
    """The box with `share` of its longer side added on each side, within the limits, in whole pixels."""
    more = share * max(box[2] - box[0], box[3] - box[1])
    return (
        max(limits[0], math.floor(box[0] - more)),
        max(limits[1], math.floor(box[1] - more)),
        min(limits[2], math.ceil(box[2] + more)),
        min(limits[3], math.ceil(box[3] + more)),
    )


def _area(frame: Frame) -> int:
    return (frame[2] - frame[0]) * (frame[3] - frame[1])


def _moved(inner: Frame, outer: Frame) -> Frame:
    """A frame within another one, in the picture's own pixels."""
    left, top = outer[:2]
    return inner[0] + left, inner[1] + top, inner[2] + left, inner[3] + top


def _seen_by_both(before_HW: Tensor, near_HW: Tensor) -> Tensor:
    """What the nearer look sees, and some of what only the one before saw.

    That counts by the mean of both log-odds, so that a trace seen from near is enough (large plain parts look
    like ground from there), and at least by half: as likely as not, where the colours decide.
    """
    odds_HW = torch.logit(torch.stack((before_HW, near_HW)).clamp(0.01, 0.99)).mean(0) + _FAVOUR
    likely_HW = odds_HW.sigmoid() * (torch.maximum(before_HW, near_HW) > _FAINT)
    return torch.stack((near_HW, before_HW / 2, likely_HW)).amax(0)


def crop(x_HW: Tensor, frame: Frame) -> Tensor:
    """The part of a picture or mask within a frame, in its memory."""
    return x_HW[..., frame[1] : frame[3], frame[0] : frame[2]]


def _sharpen(image_3HW: Tensor, guess_HW: Tensor, ground_HW: Tensor | None) -> Tensor:
    """The guess, as sharp as the picture; what is surely ground has none of it."""
    image_13HW = image_3HW[None].cpu()
    small_13hw = fit_within(image_13HW, SIDE)
    size = small_13hw.shape[-2:]
    guess_hw, ground_hw = (
        None if x is None else F.interpolate(x[None, None], size, mode="bilinear", antialias=True)[0, 0]
        for x in (guess_HW, ground_HW)
    )
    assert guess_hw is not None
    certain_hw = None if ground_hw is None else ground_hw > 0.5
    edges = GuidedFilter(small_13hw[0])
    mask_HW = edges.enlarge(follow_colours(edges, guess_hw, certain_hw), image_13HW[0])
    return mask_HW if ground_HW is None else mask_HW * (1 - ground_HW)
