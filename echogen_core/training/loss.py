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


def token_losses(logits_BTd2: Tensor, labels_BTd: Tensor, margins_BTd: Tensor | None = None) -> Tensor:
    """Cross-entropy of every token, averaged over its bits, [B, T] float32.

    margins: weights of a token's bits, see `bit_loss`.
    """
    losses = F.cross_entropy(logits_BTd2.float().flatten(0, 2), labels_BTd.long().flatten(), reduction="none")
    losses_BTd = losses.view(labels_BTd.shape)
    if margins_BTd is not None:
        losses_BTd = losses_BTd * (margins_BTd / margins_BTd.mean(-1, keepdim=True).clamp_min(1e-6))
    return losses_BTd.mean(-1)


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
    logits_BTd2: Tensor,
    labels_BTd: Tensor,
    schedule: ScaleSchedule,
    emphasis_BT: Tensor | None = None,
    margins_BTd: Tensor | None = None,
    kept_T: Tensor | None = None,
) -> Tensor:
    """The training loss: token losses weighed by scale (and `emphasis_BT`), averaged over pictures.

    margins: what each bit's value was before its sign was taken. A wrong bit adds squared error to the latent
    in proportion to it: (v + c)^2 - (v - c)^2 = 4vc. The sign of a value near 0 is a coin's fall, matters to
    no picture, and only adds noise to the gradient. Not in the official loss, which has no margins.
    kept: which of the schedule's tokens are given (None: all).
    """
    weights_T = scale_weights(schedule).to(logits_BTd2.device)
    weights_T = weights_T if kept_T is None else weights_T[kept_T]
    losses_BT = token_losses(logits_BTd2, labels_BTd, margins_BTd) * weights_T
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
