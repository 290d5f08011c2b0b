"""The bit loss with what a small model needs beyond the official one: weights by subject and by margin.

Shape suffixes: B pictures, H W pixels, T tokens of all scales, d bits per token.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from echogen_core.scales import ScaleSchedule
from echogen_core.training.loss import bit_losses, scale_means, scale_weights, token_accuracy


def subject_emphasis(masks_B1HW: Tensor, schedule: ScaleSchedule, weight: float) -> Tensor:
    """Weights of the tokens by how much of the subject they show, [B, T]: mean 1 in every scale.

    Proportional to 1 + weight * covered share. Not in the paper: otherwise a small model spends a long time
    on what can't be predicted, the texture of a scene.
    """
    parts = []
    for height, width in schedule.scales:
        covered_Bt = F.interpolate(masks_B1HW, (height, width), mode="area").flatten(1)
        emphasis_Bt = 1 + weight * covered_Bt
        parts.append(emphasis_Bt / emphasis_Bt.mean())
    return torch.cat(parts, 1)


def sampled_tokens(schedule: ScaleSchedule, share: float, generator: torch.Generator) -> Tensor:
    """Indices of all tokens but the last scale's, and of a random share of those, ascending, [K]."""
    start, end = schedule.spans[-1]
    order = torch.randperm(end - start, generator=generator, device=generator.device)
    some = order[: max(1, round((end - start) * share))].sort().values
    return torch.cat((torch.arange(start, device=generator.device), some + start))


def weighted_bit_loss(
    logits_BTd2: Tensor,
    labels_BTd: Tensor,
    schedule: ScaleSchedule,
    emphasis_BT: Tensor | None = None,
    margins_BTd: Tensor | None = None,
    kept_T: Tensor | None = None,
) -> Tensor:
    """`bit_loss` of the core with further weights; without them the same number.

    emphasis: weights of the tokens, see `subject_emphasis`.
    margins: each bit's value before its sign was taken. A wrong bit adds squared error to the latent in
    proportion to it: (v + c)^2 - (v - c)^2 = 4vc. The sign of a value near 0 is a coin toss that no picture
    depends on, and only adds noise to the gradient. The official loss has no margins.
    kept: indices of the tokens that were computed, where logits and labels hold only some (None: all), as
    `sampled_tokens` gives them: those of the last scale stand for all of it.
    """
    losses_BTd = bit_losses(logits_BTd2, labels_BTd)
    if margins_BTd is not None:
        losses_BTd = losses_BTd * (margins_BTd / margins_BTd.mean(-1, keepdim=True).clamp_min(1e-6))
    return _weighted_sum(losses_BTd, schedule, emphasis_BT, kept_T)


def bit_divergence(
    logits_BTd2: Tensor,
    teacher_BTd2: Tensor,
    schedule: ScaleSchedule,
    kept_T: Tensor | None = None,
) -> Tensor:
    """How far the bits' probabilities are from those of a teacher's logits: KL(teacher || model), 0 if equal.

    Weighted by scale and `kept` as `weighted_bit_loss` is.
    """
    logs_BTd2, teachers_BTd2 = (each.float().log_softmax(-1) for each in (logits_BTd2, teacher_BTd2))
    divergence_BTd = F.kl_div(logs_BTd2, teachers_BTd2, reduction="none", log_target=True).sum(-1)
    return _weighted_sum(divergence_BTd, schedule, None, kept_T)


def _weighted_sum(
    losses_BTd: Tensor, schedule: ScaleSchedule, emphasis_BT: Tensor | None, kept_T: Tensor | None
) -> Tensor:
    """Mean over pictures and bits, weighted sum over tokens."""
    weights_T = scale_weights(schedule).to(losses_BTd.device)
    if kept_T is not None:
        start, end = schedule.spans[-1]
        weights_T[start:] *= (end - start) / (len(kept_T) - start)
        weights_T = weights_T[kept_T]
    losses_BT = losses_BTd.mean(-1) * weights_T
    if emphasis_BT is not None:
        losses_BT = losses_BT * emphasis_BT
    return losses_BT.sum(-1).mean()


def scale_accuracy(logits_BTd2: Tensor, labels_BTd: Tensor, schedule: ScaleSchedule) -> list[float]:
    """Share of bits that the likelier value gets right, per scale."""
    accuracy: list[float] = scale_means(token_accuracy(logits_BTd2, labels_BTd), schedule).tolist()
    return accuracy
