"""Guided attention: wanted cells, what a guide measures, and steps that compute a part of the tokens."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from card_tensors import Card, OnCard

from echogen_core.config import PRESETS
from echogen_core.encoders.reference import reference_picture
from echogen_core.model import EchoGenTransformer
from echogen_core.model.attention import KeyValue
from echogen_core.model.branch import Conditions
from echogen_core.scales import find_schedule
from echogen_core.training.initialise import initialise
from miniature.data.dataset import Compositor, Mix
from miniature.data.prompt_words import PromptWords, fixed_layout
from miniature.training import guided_attention
from miniature.training.guided_attention import GuidedAttention, sharpen_heads, target_attention

NANO = find_schedule("nano")
GRID = 14


def test_the_wanted_attention_is_made_where_the_pictures_are(data: Path) -> None:
    """It is as large as the batch's pictures: a processor core would take longer than a GPU's whole step."""
    pairs = Compositor(data, "train", seed=0).batch(2, Mix(fixed_layout=True, turned=0.0), targets=2)
    assert pairs.reference_boxes is not None
    given = (pairs.subject_masks_B1HW, torch.ones(2, dtype=torch.bool))
    tokens_K = torch.arange(NANO.tokens)
    here = GuidedAttention(pairs.reference_boxes, *given, NANO, GRID, tokens_K)
    with Card():
        on_card = [OnCard(tensor) for tensor in given]
        there = GuidedAttention(pairs.reference_boxes, *on_card, NANO, GRID, OnCard(tokens_K))
    assert isinstance(there._weighted_BTS, OnCard)
    assert torch.equal(there._weighted_BTS.held, here._weighted_BTS)


def test_wanted_cells_hold_the_colours_of_the_tokens(data: Path) -> None:
    """What the subject covers is the wanted mixture of cells; cell by cell where sizes agree."""
    compositor = Compositor(data, "train", seed=0, icons=False)
    pairs = compositor.batch(32, Mix(fixed_layout=True, turned=0.0, plain=1.0, placed=0.6, sized=0.6))
    assert pairs.reference_boxes is not None
    cells = F.adaptive_avg_pool2d(reference_picture(pairs.references_B3HW, 112), GRID).flatten(2).mT
    sizes = NANO.scales[-guided_attention.SCALES :]
    tokens = torch.cat([F.adaptive_avg_pool2d(pairs.targets_B3HW, s).flatten(2).mT for s in sizes], 1)
    covered = torch.cat([F.adaptive_avg_pool2d(pairs.subject_masks_B1HW, s).flatten(1) for s in sizes], 1)
    wanted = target_attention(pairs.reference_boxes, NANO, GRID)
    inside = covered > 0.999
    assert inside.any(1).sum() > 24
    away, shifted = ((shares @ cells - tokens).abs().mean(-1) for shares in (wanted, wanted.roll(3, 1)))
    assert away[inside].mean() < 0.02
    assert away[inside].mean() < 0.3 * shifted[inside].mean()
    equal = (pairs.reference_boxes.side_B == 14 / 16)[:, None] & (torch.arange(away.shape[1]) >= 64)
    assert away[inside & equal].max() < 0.02
    assert torch.allclose(wanted.sum(-1)[inside], torch.ones(()))


def test_without_words_a_cell_is_a_token() -> None:
    wanted = target_attention(fixed_layout(PromptWords.none(1)), NANO, GRID)[0, -256:].view(
        16, 16, GRID, GRID
    )
    for row, column in ((2, 1), (9, 7), (15, 14)):
        assert wanted[row, column, row - 2, column - 1] == pytest.approx(1.0)
    assert wanted[0].sum() == 0 and wanted[:, 0].sum() == 0 and wanted[:, 15].sum() == 0


def test_a_guide_measures_where_heads_look() -> None:
    boxes = fixed_layout(PromptWords.none(2))
    tokens = torch.arange(NANO.tokens)
    mask = torch.ones(2, 1, 128, 128)
    keys = torch.eye(GRID * GRID).expand(1, guided_attention.HEADS, -1, -1)
    places = target_attention(boxes, NANO, GRID).argmax(-1)
    queries = F.one_hot(places, GRID * GRID).float()[:, None].expand(-1, guided_attention.HEADS, -1, -1)
    losses = []
    for sharp in (0.0, 1.5, 3.0):
        hook = GuidedAttention(boxes, mask, torch.ones(1), NANO, GRID, tokens)
        for layer in range(6):
            hook(layer, queries * sharp, KeyValue(keys, keys))
        losses.append(float(hook.loss()))
    assert losses[0] == pytest.approx(math.log(GRID * GRID), rel=1e-4)
    assert losses[0] > losses[1] > losses[2]
    hook = GuidedAttention(boxes, mask, torch.zeros(1), NANO, GRID, tokens)
    hook(guided_attention.LAYERS[0], queries, KeyValue(keys, keys))
    assert hook.loss() == 0, "nothing is wanted where no content is given"


def test_thinned_steps_compute_what_whole_ones_do() -> None:
    config = replace(PRESETS["nano"].transformer, depth=2, width=64, heads=2, bits=8)
    model = EchoGenTransformer(config)
    initialise(model, torch.Generator().manual_seed(0))
    sharpen_heads(model)
    scales = model.get_parameter("blocks.1.attn.log_scale").flatten()
    assert scales.tolist() == pytest.approx([math.log(16)] * 2)
    given = Conditions(
        torch.randn(1, 5, config.text_width),
        torch.randn(1, config.semantic_width),
        torch.randn(1, config.semantic_length - 1, config.semantic_width),
        torch.randn(1, config.content_length, config.content_width),
    )
    inputs = torch.randn(2, NANO.tokens - 1, 8)
    seen = []
    with torch.no_grad():
        whole = model.teacher_forced(given, inputs, NANO, lambda *shown: seen.append(shown))
        assert [(layer, q.shape[2]) for layer, q, _ in seen] == [(0, NANO.tokens + 1), (1, NANO.tokens + 1)]
        everything = model.teacher_forced(given, inputs, NANO, None, torch.arange(NANO.tokens))
        start = NANO.spans[-1][0]
        some = torch.cat((torch.arange(start), torch.arange(start, NANO.tokens, 2)))
        thinned = model.teacher_forced(given, inputs, NANO, None, some)
    assert torch.equal(whole, everything)
    assert torch.allclose(thinned[:, :start], whole[:, :start], atol=1e-5), "they do not see the last"
    assert thinned.shape[1] == len(some)
    assert not torch.allclose(thinned[:, start:], whole[:, some[start:]])
