"""The branches that still count, run through the model together, scale by scale.

Shape suffixes: B pictures, N pictures of all branches, L tokens of one scale, T of all scales, C width, K
scales, d bits per token.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..model import EchoGenTransformer
from ..model.kv_cache import KVCache
from ..model.rope import sequence_rope
from ..scales import ScaleSchedule
from ..tokenizer.bsq import next_scale_input
from .weighted_batches import WeightedBatch, guide


class LiveBranches:
    """All branches of a run as one batch of pictures with one KV cache.

    What is the same at every scale is prepared once, and anew when branches have gone; they go from the end
    of the batch.
    """

    def __init__(
        self, model: EchoGenTransformer, batches: Sequence[WeightedBatch], schedule: ScaleSchedule
    ) -> None:
        """batches: as `weighted_batches` orders them. Keys and values get the type of the first's."""
        self._model = model
        self._batches = list(batches)
        self._schedule = schedule
        self.device = batches[0].cache.pooled_BC.device
        spans = schedule.spans
        cached_tokens = model.prefix + spans[-1][0]
        last_tokens = spans[-1][1] - spans[-1][0] + (model.prefix if len(spans) == 1 else 0)
        self._image_kv = KVCache(model.config.depth, cached_tokens, last_tokens, batches[0].cache.dtype)
        self._rope_2TP = sequence_rope(schedule, model.config.head_width, model.prefix).to(self.device)
        self._levels_KC = model.levels(len(spans), self.device)
        self._prepare()

    def _prepare(self) -> None:
        self._constants = self._model.constants(
            torch.cat([each.cache.signals_B6C.expand(each.batch.count, -1, -1) for each in self._batches]),
            torch.cat([each.cache.pooled_BC.expand(each.batch.count, -1) for each in self._batches]),
        )

    def logits(self, index: int, codes_BdHW: Tensor | None) -> Tensor:
        """Raw logits [N, L, d, 2] of a scale, of the branches that it or a later one needs.

        codes_BdHW: sum of the scales before it (None: the first).
        """
        needed = [each for each in self._batches if each.scales > index]
        if len(needed) < len(self._batches):
            self._batches = needed
            self._prepare()
        start, end = (place + self._model.prefix for place in self._schedule.spans[index])
        if codes_BdHW is None:
            start = 0
            x_NLC = torch.cat(
                [each.cache.prefix_BPC.expand(each.batch.count, -1, -1) for each in self._batches]
            )
        else:
            embedded_BLC = self._model.bits_embed(next_scale_input(codes_BdHW, self._schedule.scales[index]))
            x_NLC = torch.cat(
                [embedded_BLC[each.pictures.start : each.pictures.stop] for each in self._batches]
            )
        logits = self._model(
            x_NLC.add_(self._levels_KC[index]),
            self._rope_2TP[:, start:end],
            [each.batch for each in self._batches],
            self._image_kv,
            self._constants,
        )
        return logits[:, self._model.prefix :] if index == 0 else logits

    def guide(self, logits_NLd2: Tensor, index: int, pictures: int) -> Tensor:
        """Their weighted sum at a scale, [B, L, d, 2]."""
        return guide(logits_NLd2, self._batches, index, pictures)
