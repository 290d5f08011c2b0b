"""The loop of next-scale prediction: one step per scale, coarse to fine.

Shape suffixes: B pictures, N pictures of all branches, L tokens of one scale, C width, d bits per token.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ..model import EchoGenTransformer
from ..scales import ScaleSchedule
from ..tokenizer.bsq import add_scale
from ..utils.printable import counted
from .bits import Bits, choose_bits, schedule_noise
from .guidance import Guidance
from .kept_bits import KeptBits, Target
from .live_branches import LiveBranches
from .prefill import Branches
from .region_guidance import Region
from .weighted_batches import weighted_batches


@dataclass(frozen=True)
class SamplingSettings:
    """How bits are drawn.

    tau: divides the logits before guidance; below 1 safer, above 1 livelier. top_p: see `choose_bits`.
    top_k: 0 or at least 2 changes nothing (a bit has two values), 1 is greedy. greedy: likelier value always.
    """

    guidance: Guidance
    tau: float = 1.0
    top_p: float = 0.97
    top_k: int = 0
    greedy: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tau) and self.tau > 0):
            raise ValueError(
                f"tau must be above 0, got {self.tau}. Use greedy sampling for the likeliest picture."
            )
        if not 0 <= self.top_p <= 1:
            raise ValueError(f"top_p must be between 0 and 1, got {self.top_p}.")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 (off) or more, got {self.top_k}.")


@dataclass(frozen=True)
class ScaleStep:
    """One finished scale.

    index: from 0. bits: everything so far. codes_BdHW: summed codes at the last scale's size, ready to
    decode. logits_BLd2: guided logits; branch_logits_NLd2: before tau and guidance, for the branches that
    were computed (in the order of `weighted_batches`; pictures inside).
    """

    index: int
    total: int
    bits: Bits
    codes_BdHW: Tensor
    logits_BLd2: Tensor
    branch_logits_NLd2: Tensor

    @property
    def last(self) -> bool:
        """Whether the picture is finished."""
        return self.index + 1 == self.total


def sample(
    model: EchoGenTransformer,
    branches: Branches | Sequence[Branches],
    schedule: ScaleSchedule,
    seeds: Sequence[int],
    settings: SamplingSettings,
    keep: Bits | None = None,
    first_scale: int = 0,
    target: Target | None = None,
    regions: Sequence[Region] = (),
) -> Iterator[ScaleStep]:
    """Draw pictures scale by scale; stop iterating to cancel.

    branches: one for all pictures, or one per picture; the picture's keys and values are stored in the type
    of theirs. seeds: one per picture; picture i is what a single run with its seed draws, up to the
    rounding of sums over a batch, which tips one bit in about 600 small pictures. keep, first_scale:
    take the scales before `first_scale` from `keep`, draw the rest anew. target: a picture to keep where it
    may not change. regions: parts of all pictures with conditions of their own.
    Raises ValueError when the arguments do not fit each other.
    """
    per_picture = [branches] * len(seeds) if isinstance(branches, Branches) else list(branches)
    _check(model, per_picture, schedule, seeds, [settings.guidance, *(each.guidance for each in regions)])
    kept = KeptBits(keep, first_scale, target)
    kept.check(schedule, len(seeds), model.config.bits)
    return _run(model, per_picture, regions, schedule, tuple(seeds), settings, kept)


def _run(
    model: EchoGenTransformer,
    branches: list[Branches],
    regions: Sequence[Region],
    schedule: ScaleSchedule,
    seeds: tuple[int, ...],
    settings: SamplingSettings,
    kept: KeptBits,
) -> Iterator[ScaleStep]:
    batches = weighted_batches(branches, schedule, settings.guidance, regions)
    with torch.inference_mode():
        live = LiveBranches(model, batches, schedule)
    greedy = settings.greedy or settings.top_k == 1
    noise = () if greedy else schedule_noise(seeds, schedule, model.config.bits, live.device)
    take = kept.keeping(schedule, live.device)
    finite: list[Tensor] = []
    drawn: list[Tensor] = []
    codes_BdHW: Tensor | None = None
    for index, grid in enumerate(schedule.scales):
        last = index + 1 == len(schedule.scales)
        with torch.inference_mode():
            logits_NLd2 = live.logits(index, codes_BdHW)
            finite.append(torch.isfinite(logits_NLd2).all())
            if last or live.device.type == "cpu":  # to ask another device is to wait for it
                _check_finite(finite, model)
            guided_BLd2 = live.guide(logits_NLd2, index, len(seeds)) / settings.tau
            bits_BLd = choose_bits(guided_BLd2, None if greedy else noise[index], settings.top_p)
            bits_BhwD = take(bits_BLd.unflatten(1, grid), index)
            drawn.append(bits_BhwD)
            codes_BdHW = add_scale(codes_BdHW, bits_BhwD, schedule.scales[-1])
        if last:
            del live, batches  # their keys and values go before the caller decodes the picture
        bits = Bits(schedule, tuple(drawn), seeds, asdict(settings))
        yield ScaleStep(index, len(schedule.scales), bits, codes_BdHW, guided_BLd2, logits_NLd2)


def _check_finite(finite: Sequence[Tensor], model: EchoGenTransformer) -> None:
    """ValueError unless the logits of every scale so far were numbers; finite: bool of each scale."""
    if bool(torch.stack(list(finite)).all()):
        return
    scale = next(number for number, each in enumerate(finite, 1) if not bool(each))
    raise ValueError(
        f"The model computed NaN or infinity at scale {scale}, in {model.dtype}. Expected finite "
        "numbers: load it in bfloat16 or float32; if that does not help, its file or the features are "
        "damaged: download it again, and encode the picture and the prompt again."
    )


def _check(
    model: EchoGenTransformer,
    branches: Sequence[Branches],
    schedule: ScaleSchedule,
    seeds: Sequence[int],
    guidances: Sequence[Guidance],
) -> None:
    scales = len(schedule.scales)
    if not seeds or len(branches) != len(seeds):
        raise ValueError(
            f"Expected one seed per picture, got {counted(len(seeds), 'seed')} for "
            f"{counted(len(branches), 'picture')}."
        )
    if scales > model.config.levels:
        raise ValueError(
            f"This model supports {counted(model.config.levels, 'scale')}; this picture needs {scales}. "
            "Choose a smaller size."
        )
    for guidance in guidances:
        if len(guidance.gamma_t) != scales:
            raise ValueError(
                f"The guidance is for {counted(len(guidance.gamma_t), 'scale')}; this picture needs "
                f"{scales}. Make the guidance for this size and aspect ratio."
            )
