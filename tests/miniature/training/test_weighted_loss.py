"""The bit loss with weights by scale, subject and margin."""

from __future__ import annotations

import pytest
import torch

from echogen_core.scales import find_schedule
from echogen_core.training.loss import bit_loss, scale_weights
from miniature.training.weighted_loss import scale_accuracy, subject_emphasis, weighted_bit_loss

from ..prepared import SIZE


def test_weights_and_accuracy_of_scales() -> None:
    schedule = find_schedule("nano")
    weights = scale_weights(schedule)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] / weights[-1] == pytest.approx(16.0)  # sides 1 and 16
    labels = torch.zeros(1, schedule.tokens, 3, dtype=torch.uint8)
    logits = torch.zeros(1, schedule.tokens, 3, 2)
    logits[..., 0] = 1
    start, end = schedule.spans[-1]
    logits[:, start:end, 0, 1] = 2  # one of three bits wrong at the last scale
    assert scale_accuracy(logits, labels, schedule) == pytest.approx([1, 1, 1, 1, 2 / 3])


def test_tokens_of_the_subject_count_more() -> None:
    schedule = find_schedule("nano")
    masks = torch.zeros(2, 1, SIZE, SIZE)
    masks[0, :, :, : SIZE // 2] = 1
    emphasis = subject_emphasis(masks, schedule, 2.0)
    start, end = schedule.spans[-1]
    assert [emphasis[:, a:b].mean().item() for a, b in schedule.spans] == pytest.approx([1] * 5)
    left, right = emphasis[0, start:end].view(schedule.scales[-1])[0, [0, -1]]
    assert left == pytest.approx(3 * right) and emphasis[1, start] == right
    logits, labels = torch.randn(2, schedule.tokens, 3, 2), torch.zeros(2, schedule.tokens, 3)
    plain = bit_loss(logits, labels, schedule)
    assert torch.equal(plain, weighted_bit_loss(logits, labels, schedule))
    assert torch.equal(plain, weighted_bit_loss(logits, labels, schedule, torch.ones_like(emphasis)))
    assert weighted_bit_loss(logits, labels, schedule, emphasis) != plain


def test_bits_count_by_their_margin() -> None:
    schedule = find_schedule("nano")
    logits, labels = torch.randn(2, schedule.tokens, 4, 2), torch.zeros(2, schedule.tokens, 4)
    plain = weighted_bit_loss(logits, labels, schedule)
    assert torch.allclose(
        plain, weighted_bit_loss(logits, labels, schedule, None, torch.full_like(labels, 0.3))
    )
    half = torch.tensor([0.0, 0.0, 0.2, 0.2]).expand_as(labels)
    assert torch.allclose(
        weighted_bit_loss(logits, labels, schedule, None, half),
        weighted_bit_loss(logits[:, :, 2:], labels[:, :, 2:], schedule),
        rtol=1e-5,
    )
