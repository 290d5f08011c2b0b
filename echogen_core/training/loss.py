"""Loss and accuracy of bit logits.

Shape suffixes: B pictures, H W pixels, T tokens of all scales, d bits per token.
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


def token_losses(logits_BTd2: Tensor, labels_BTd: Tensor) -> Tensor:
    """Cross-entropy of every token, averaged over its bits, [B, T] float32."""
    losses = F.cross_entropy(logits_BTd2.float().flatten(0, 2), labels_BTd.long().flatten(), reduction="none")
    return losses.view(labels_BTd.shape).mean(-1)


def subject_emphasis(masks_B1HW: Tensor, schedule: ScaleSchedule, weight: float) -> Tensor:
    """How much more the tokens that show the subject count, [B, T]: mean 1 in every scale.

    Proportional to 1 + weight * covered share. Not in the paper: a small model otherwise learns for long what
    cannot be known, the texture of a scene.
    """
    parts = []
    for height, width in schedule.scales:
        covered_Bt = F.interpolate(masks_B1HW, (height, width), mode="area").flatten(1)
        emphasis_Bt = 1 + weight * covered_Bt
        parts.append(emphasis_Bt / emphasis_Bt.mean())
    return torch.cat(parts, 1)


def bit_loss(
    logits_BTd2: Tensor, labels_BTd: Tensor, schedule: ScaleSchedule, emphasis_BT: Tensor | None = None
) -> Tensor:
    """The training loss: token losses weighed by scale (and `emphasis_BT`), averaged over pictures."""
    weights_T = scale_weights(schedule).to(logits_BTd2.device)
    losses_BT = token_losses(logits_BTd2, labels_BTd) * weights_T
    if emphasis_BT is not None:
        losses_BT = losses_BT * emphasis_BT
    return losses_BT.sum(-1).mean()


def scale_means(values_BT: Tensor, schedule: ScaleSchedule) -> Tensor:
    """Mean of what every token has, per scale: [K]."""
    return torch.stack([values_BT[:, start:end].mean() for start, end in schedule.spans])


@torch.no_grad()
def token_accuracy(logits_BTd2: Tensor, labels_BTd: Tensor) -> Tensor:
    """Share of every token's bits that the likelier value gets right, [B, T]."""
    return (logits_BTd2.argmax(-1) == labels_BTd).float().mean(-1)


def scale_accuracy(logits_BTd2: Tensor, labels_BTd: Tensor, schedule: ScaleSchedule) -> list[float]:
    """Share of bits that the likelier value gets right, per scale."""
    accuracy: list[float] = scale_means(token_accuracy(logits_BTd2, labels_BTd), schedule).tolist()
    return accuracy
