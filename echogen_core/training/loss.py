"""Loss and accuracy of bit logits.

Shape suffixes: B pictures, T tokens of all scales, K scales, d bits per token.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..scales import ScaleSchedule


def scale_weights(schedule: ScaleSchedule) -> Tensor:
    """Weight of every token, [T], summing to 1: by the inverse root of its scale's area (official)."""
    areas = torch.tensor([h * w for h, w in schedule.scales], dtype=torch.float32)
    weights_T = torch.repeat_interleave(areas.rsqrt(), areas.long())
    return weights_T / weights_T.sum()


def bit_losses(logits_BTd2: Tensor, labels_BTd: Tensor) -> Tensor:
    """Cross-entropy of every bit, [B, T, d] float32."""
    losses = F.cross_entropy(logits_BTd2.float().flatten(0, 2), labels_BTd.long().flatten(), reduction="none")
    return losses.view(labels_BTd.shape)


def token_losses(logits_BTd2: Tensor, labels_BTd: Tensor) -> Tensor:
    """Cross-entropy of every token, averaged over its bits, [B, T] float32."""
    return bit_losses(logits_BTd2, labels_BTd).mean(-1)


def bit_loss(logits_BTd2: Tensor, labels_BTd: Tensor, schedule: ScaleSchedule) -> Tensor:
    """The training loss: token losses weighted by `scale_weights`, averaged over pictures (official)."""
    weights_T = scale_weights(schedule).to(logits_BTd2.device)
    return (token_losses(logits_BTd2, labels_BTd) * weights_T).sum(-1).mean()


def scale_means(values_BT: Tensor, schedule: ScaleSchedule) -> Tensor:
    """Mean over the tokens of each scale, [K]."""
    return torch.stack([values_BT[:, start:end].mean() for start, end in schedule.spans])


@torch.no_grad()
def token_accuracy(logits_BTd2: Tensor, labels_BTd: Tensor) -> Tensor:
    """Share of every token's bits that the likelier value gets right, [B, T]."""
    return (logits_BTd2.argmax(-1) == labels_BTd).float().mean(-1)
