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

from ..pictures import check_pictures, fit_within, flatten_alpha, imagenet_normalized
from .colours import GuidedFilter, follow_colours
from .refine import pieces
from .refine import soften as soften_edge
from .regions import Box, check_box
from .u2net import U2Netp

FIRST_SIDE, SIDE = 224, 320
"""Pixels of the square that the network looks at: to find the subject, and to see it from near."""
AROUND = 0.25
"""Of a box's longer side, seen around it on each side from near."""
_FAINT = 0.1  # saliency below which nothing stands out
_DOUBT = 0.13  # evidence below which a first look is taken again
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
        images_B3HW = flatten_alpha(check_pictures(images_BCHW))
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

        Without a box, a first look that is in doubt is taken again, finer.
        """
        height, width = image_3HW.shape[-2:]
        mask_HW, whole = torch.zeros(height, width), (0, 0, width, height)
        seen_HW = self.saliency(image_3HW, FIRST_SIDE)
        if box is None and evidence(seen_HW, image_3HW) < _DOUBT:
            finer_HW = self.saliency(image_3HW, SIDE)
            seen_HW = max(seen_HW, finer_HW, key=lambda look_HW: evidence(look_HW, image_3HW))
        region = conspicuous_box(seen_HW) if box is None else around(box, 0, whole)
        if region is None:
            return mask_HW
        ground_HW = torch.full((height, width), float(box is not None))
        crop(ground_HW, region)[:] = 0
        near = around(region, AROUND, whole)
        image_3hw, seen_hw, ground_hw = (crop(x, near) for x in (image_3HW, seen_HW, ground_HW))
        # A first look that saw as much around the box says little of what is in it.
        mistaken = (seen_hw * ground_hw).sum() / ground_hw.sum().clamp_min(1)
        guess_hw = _seen_by_both(seen_hw * (1 - mistaken), self.saliency(image_3hw, SIDE)) * (1 - ground_hw)
        guess_hw = guess_hw / guess_hw.max().clamp_min(_FAINT)
        crop(mask_HW, near)[:] = _sharpen(image_3hw, guess_hw, ground_hw)
        return mask_HW

    def saliency(self, image_3HW: Tensor, side: int) -> Tensor:
        """[H, W] on the CPU: how much each pixel stands out, seen in a square of `side` pixels."""
        # prepared on the processor: the same everywhere, and not every device can resample so
        x_13HW = normalized(image_3HW.cpu().float(), side).to(self.net.merge.weight)
        saliency_11HW = self.net(x_13HW).sigmoid().float().cpu()
        return F.interpolate(saliency_11HW, image_3HW.shape[-2:], mode="bilinear")[0, 0]


def normalized(image_3HW: Tensor, side: int) -> Tensor:
    """[1, 3, side, side] as the network takes it: the brightest value 1, then ImageNet's mean and spread."""
    x_13HW = F.interpolate(image_3HW[None], (side, side), mode="bilinear", antialias=True)
    return imagenet_normalized(x_13HW / x_13HW.max().clamp_min(1e-6))


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


def evidence(saliency_HW: Tensor, image_3HW: Tensor) -> float:
    """0..1: how surely something stands out, times the picture's contrast at its rim (0 without a rim)."""
    small_13hw = fit_within(image_3HW[None].cpu(), FIRST_SIDE)
    seen_11hw = F.interpolate(saliency_HW[None, None], small_13hw.shape[-2:], mode="bilinear", antialias=True)
    highest = seen_11hw.max()
    rim_1hw = _contrast((seen_11hw > highest / 2).float())[0]
    contrast_1hw = _contrast(small_13hw).mean(1)
    return float(highest * (contrast_1hw * rim_1hw).sum() / rim_1hw.sum().clamp_min(1))


def _contrast(x_1CHW: Tensor) -> Tensor:
    """[1, C, H, W]: the highest less the lowest value around each pixel."""
    return F.max_pool2d(x_1CHW, 3, 1, 1) + F.max_pool2d(-x_1CHW, 3, 1, 1)


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


def _sharpen(image_3HW: Tensor, guess_HW: Tensor, ground_HW: Tensor) -> Tensor:
    """The guess, as sharp as the picture; what is surely ground has none of it."""
    image_13HW = image_3HW[None].cpu()
    small_13hw = fit_within(image_13HW, SIDE)
    guess_hw, ground_hw = (
        F.interpolate(x[None, None], small_13hw.shape[-2:], mode="bilinear", antialias=True)[0, 0]
        for x in (guess_HW, ground_HW)
    )
    edges = GuidedFilter(small_13hw[0])
    return edges.enlarge(follow_colours(edges, guess_hw, ground_hw > 0.5), image_13HW[0]) * (1 - ground_HW)
