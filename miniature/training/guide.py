"""Shows attention where to look: of a settled picture it is known which content cell each token has to copy.

Content tokens carry no positions; that the place of a cell has to be read from its latent, and compared with
the place of a token, is found late by chance. Some heads are therefore told at the beginning of the training,
as Tachibana et al. (2018, guided attention) tell a speech model that text is read in order. Not in the paper,
which trains for days.
Shape suffixes: B pictures, T guided tokens, G content cells a side, S = G * G, H heads, D head width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from echogen_core.model import EchoGenTransformer
from echogen_core.model.functional import KeyValue
from echogen_core.scales import ScaleSchedule

from ..data.words import Frames

LAYERS = (1, 2, 3, 4)
"""Blocks with guided heads: early enough for the later ones to make bits of what was read."""

HEADS = 2
"""Guided heads of each: the first ones."""

SCALES = 2
"""Guided scales: the last ones, whose tokens are as small as content cells."""


SHARPNESS = 16.0
"""Largest logit of guided heads at the start: at the usual 4 no head could pick one cell out of hundreds."""


@torch.no_grad()
def sharpen(model: EchoGenTransformer) -> None:
    """Prepares the guided heads of a model whose content path is about to be learnt."""
    for layer in LAYERS:
        if layer < len(model.blocks):
            model.get_parameter(f"blocks.{layer}.attn.log_scale")[:HEADS] = math.log(SHARPNESS)


def wanted_cells(frames: Frames, schedule: ScaleSchedule, grid: int) -> Tensor:
    """The share of each content cell in what a token shows, [B, T, S]; all 0 outside the reference's frame.

    A token that covers several cells has a part of each; one between two cells a part of both.
    """
    parts = []
    for height, width in schedule.scales[-SCALES:]:
        rows_BhG = _shares(frames.top_B, frames.side_B, height, grid)
        columns_BwG = _shares(frames.left_B, frames.side_B, width, grid)
        cells_BhwGG = rows_BhG[:, :, None, :, None] * columns_BwG[:, None, :, None, :]
        parts.append(cells_BhwGG.flatten(3).flatten(1, 2))
    return torch.cat(parts, 1)


def _shares(start_B: Tensor, side_B: Tensor, tokens: int, grid: int) -> Tensor:
    """The same along one axis, [B, tokens, G]."""
    middles = (torch.arange(tokens) + 0.5) / tokens
    cells_Bt = (middles - start_B[:, None]) / side_B[:, None] * grid - 0.5
    reach_B11 = (grid / (tokens * side_B)).clamp_min(1)[:, None, None]
    away_BtG = (cells_Bt[:, :, None] - torch.arange(grid)).abs()
    shares_BtG = (1 - away_BtG / reach_B11).clamp_min(0)
    return shares_BtG / shares_BtG.sum(-1, keepdim=True).clamp_min(1)


class Guide:
    """Watches a training pass (model.layers.Rows); `loss` is then how far guided heads looked elsewhere."""

    def __init__(
        self,
        frames: Frames,
        masks_B1HW: Tensor,
        given_B: Tensor,
        schedule: ScaleSchedule,
        grid: int,
        kept_K: Tensor,
    ) -> None:
        """masks: the subject's share of each pixel. given: which references have content at all.

        kept: the tokens that are computed, as `teacher_forced` takes them.
        """
        scales, before = schedule.scales[-SCALES:], schedule.spans[-SCALES][0]
        kept_T = kept_K[kept_K >= before] - before
        self._tokens = len(kept_T)
        wanted_BTS = wanted_cells(frames, schedule, grid).to(masks_B1HW.device)[:, kept_T]
        covered = torch.cat([F.interpolate(masks_B1HW, size, mode="area").flatten(1) for size in scales], 1)
        given_B1 = given_B.repeat_interleave(len(masks_B1HW) // len(given_B))[:, None]
        weighted_BTS = wanted_BTS * (covered[:, kept_T] * given_B1)[:, :, None]
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
        """Cross-entropy in nats a token of the subject, averaged over guided heads."""
        return torch.stack(self._losses).mean() if self._losses else torch.zeros(())
