"""Guided attention: an auxiliary loss that shows some heads which content cells to attend to.

With a fixed layout it is known which content cell each token has to copy. Content tokens have no positional
encoding: that a cell's position is in its latent, and has to match the token's, is found by chance, and late.
An attention loss in the first half of training shows it to some heads, after Tachibana et al. (2018,
"Efficiently trainable text-to-speech system based on deep convolutional networks with guided attention").
The paper has no such loss; it trains for days.
Shape suffixes: B pictures, T guided tokens, G content cells a side, S = G * G, H heads, D head width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from echogen_core.model import EchoGenTransformer
from echogen_core.model.attention import KeyValue
from echogen_core.scales import ScaleSchedule

from ..data.prompt_words import ReferenceBoxes

LAYERS = (1, 2, 3, 4)
"""Blocks with guided heads: early enough for later blocks to turn what was read into bits."""

HEADS = 2
"""Number of guided heads per block, the first ones."""

SCALES = 2
"""Number of guided scales, the last ones, whose tokens are about as small as content cells."""


INITIAL_SCALE = 16.0
"""Initial attention scale of guided heads: at the usual 4 a head cannot single out one cell of hundreds."""


@torch.no_grad()
def sharpen_heads(model: EchoGenTransformer) -> None:
    """Raises the initial attention scale of the guided heads, before the content path is trained."""
    for layer in LAYERS:
        if layer < len(model.blocks):
            model.get_parameter(f"blocks.{layer}.attn.log_scale")[:HEADS] = math.log(INITIAL_SCALE)


def target_attention(boxes: ReferenceBoxes, schedule: ScaleSchedule, grid: int) -> Tensor:
    """The attention wanted over content cells, [B, T, S]: each cell's share of what a token shows.

    A token that covers several cells, or lies between two, attends to all of them; one outside the
    reference's frame to none (all 0).
    """
    parts = []
    for height, width in schedule.scales[-SCALES:]:
        rows_BhG = _shares(boxes.top_B, boxes.side_B, height, grid)
        columns_BwG = _shares(boxes.left_B, boxes.side_B, width, grid)
        cells_BhwGG = rows_BhG[:, :, None, :, None] * columns_BwG[:, None, :, None, :]
        parts.append(cells_BhwGG.flatten(3).flatten(1, 2))
    return torch.cat(parts, 1)


def _shares(start_B: Tensor, side_B: Tensor, tokens: int, grid: int) -> Tensor:
    """The same along one axis, [B, tokens, G]."""
    middles = (torch.arange(tokens, device=start_B.device) + 0.5) / tokens
    cells_Bt = (middles - start_B[:, None]) / side_B[:, None] * grid - 0.5
    reach_B11 = (grid / (tokens * side_B)).clamp_min(1)[:, None, None]
    away_BtG = (cells_Bt[:, :, None] - torch.arange(grid, device=start_B.device)).abs()
    shares_BtG = (1 - away_BtG / reach_B11).clamp_min(0)
    return shares_BtG / shares_BtG.sum(-1, keepdim=True).clamp_min(1)


class GuidedAttention:
    """An `AttentionHook` of the training pass; `loss` compares the attention it saw with the target."""

    def __init__(
        self,
        boxes: ReferenceBoxes,
        masks_B1HW: Tensor,
        has_content_B: Tensor,
        schedule: ScaleSchedule,
        grid: int,
        tokens_K: Tensor,
    ) -> None:
        """masks: the subject's share of each pixel. has_content: bool, False where content was dropped.

        tokens: indices of the computed tokens, as `teacher_forced` takes them.
        """
        scales, before = schedule.scales[-SCALES:], schedule.spans[-SCALES][0]
        tokens_T = tokens_K[tokens_K >= before] - before
        self._tokens = len(tokens_T)
        # computed where it is used: it has as many numbers as the batch has pixels
        boxes = ReferenceBoxes(*(values_B.to(masks_B1HW.device) for values_B in boxes))
        wanted_BTS = target_attention(boxes, schedule, grid)[:, tokens_T]
        covered = torch.cat([F.interpolate(masks_B1HW, size, mode="area").flatten(1) for size in scales], 1)
        has_content_B1 = has_content_B.repeat_interleave(len(masks_B1HW) // len(has_content_B))[:, None]
        weighted_BTS = wanted_BTS * (covered[:, tokens_T] * has_content_B1)[:, :, None]
        self._weighted_BTS = weighted_BTS / weighted_BTS.sum().clamp_min(1)
        self._losses: list[Tensor] = []

    def __call__(self, layer: int, q_BHLD: Tensor, content: KeyValue) -> None:
        if layer not in LAYERS:
            return
        k_BHSD = content.k_BHSD[:, :HEADS]
        q_BHTD = q_BHLD[:, :HEADS, -self._tokens :]
        shared = len(k_BHSD)
        q_bHtD = q_BHTD.unflatten(0, (shared, -1)).transpose(1, 2).flatten(2, 3)
        looked_bHtS = (q_bHtD @ k_BHSD.mT).float().log_softmax(-1)
        wanted_btS = self._weighted_BTS.unflatten(0, (shared, -1)).flatten(1, 2)
        self._losses.append(-(looked_bHtS * wanted_btS[:, None]).sum() / looked_bHtS.shape[1])

    def loss(self) -> Tensor:
        """Cross-entropy in nats per token of the subject, averaged over guided heads; scalar."""
        return torch.stack(self._losses).mean() if self._losses else torch.zeros(())
