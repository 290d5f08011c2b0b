"""The branches of a run as batches, with what each weighs at each scale and token.

Shape suffixes: B pictures, N pictures of all batches, L tokens of one scale, d bits per token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from ..model import BranchCache
from ..model.branch import BranchBatch
from ..scales import ScaleSchedule
from .guidance import Guidance
from .prefill import Branches, SkippedBranch
from .region_guidance import Region, Share, counts, region_shares


@dataclass
class WeightedBatch:
    """Pictures of one branch that share its conditions: what they attend to and how much they count.

    weights: per scale. scales: how many scales need it; it weighs nothing after them.
    """

    batch: BranchBatch
    cache: BranchCache
    pictures: range
    weights: tuple[Share, ...]
    scales: int


def weighted_batches(
    branches: Sequence[Branches],
    schedule: ScaleSchedule,
    guidance: Guidance,
    regions: Sequence[Region] = (),
) -> list[WeightedBatch]:
    """Branch by branch in the formula's order, neighbouring pictures with the same conditions together.

    Those that fewer scales need come after all others.

    branches: of the main conditions, one per picture. A branch that regions share with them or each other is
    there once; one that never weighs anything is not there.
    Raises ValueError where the guidance needs a branch that was not computed.
    """
    masks = [region.mask_HW for region in regions]
    shares = [region_shares(masks, grid) for grid in schedule.scales]
    batches: list[tuple[int, WeightedBatch]] = []
    start = 0
    for _, same in groupby(branches, key=id):
        members = list(same)
        pictures = range(start, start + len(members))
        sources = [(members[0], guidance), *((region.branches, region.guidance) for region in regions)]
        for known in _weigh(sources, shares):
            scales = max((n for n, weight in enumerate(known.weights, 1) if counts(weight)), default=0)
            if scales:
                batch = BranchBatch(len(members), known.cache.layers)
                weights = tuple(_on(weight, known.cache.pooled_BC.device) for weight in known.weights)
                batches.append((known.place, WeightedBatch(batch, known.cache, pictures, weights, scales)))
        start = pictures.stop
    return [batch for _, batch in sorted(batches, key=lambda item: (-item[1].scales, item[0]))]


def guide(logits_NLd2: Tensor, batches: Sequence[WeightedBatch], scale: int, pictures: int) -> Tensor:
    """Weighted sum of the branches, [B, L, d, 2]."""
    guided = logits_NLd2.new_zeros(pictures, *logits_NLd2.shape[1:])
    parts = logits_NLd2.split([batch.batch.count for batch in batches])
    for batch, part in zip(batches, parts, strict=True):
        into, weight = guided[batch.pictures.start : batch.pictures.stop], batch.weights[scale]
        if isinstance(weight, Tensor):
            into.addcmul_(part, weight.to(part.dtype)[:, None, None])
        else:
            into.add_(part, alpha=weight)
    return guided


@dataclass
class _Weighed:
    """A branch with what it weighs per scale; place: in the formula's order."""

    cache: BranchCache
    place: int
    weights: list[Share]


def _weigh(
    sources: Sequence[tuple[Branches, Guidance]], shares: Sequence[Sequence[Share]]
) -> Iterable[_Weighed]:
    """The distinct branches of all sources; shares: per scale, of each source."""
    weighed: dict[int, _Weighed] = {}
    for number, (branches, guidance) in enumerate(sources):
        of_source = [per_scale[number] for per_scale in shares]
        if not any(map(counts, of_source)):
            continue
        for scale, share in enumerate(of_source):
            for place, (cache, weight) in enumerate(branches.merged_weights(guidance.weights(scale))):
                own = share * weight if weight else 0.0
                if isinstance(cache, SkippedBranch):
                    if counts(own):
                        raise ValueError(
                            "This guidance needs a branch that wasn't computed: compute the branches with "
                            "the same guidance."
                        )
                    continue
                known = weighed.setdefault(id(cache), _Weighed(cache, place, [0.0] * len(of_source)))
                known.weights[scale] = known.weights[scale] + own
    return weighed.values()


def _on(share: Share, device: torch.device) -> Share:
    return share.to(device) if isinstance(share, Tensor) else share
