"""What a run does not draw anew: the first scales of earlier bits, and a picture outside a mask.

Shape suffixes: B pictures, D bits per token, H W size of the last scale or of a mask, h w size of one scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..scales import ScaleSchedule
from ..tokenizer.bsq import bits_to_codes, enlarge, quantize_once, shrink
from ..utils.printable import counted
from .bits import Bits
from .region_guidance import check_mask, cover

Keeping = Callable[[Tensor, int], Tensor]
"""(bits drawn at a scale [B, h, w, D], the scale's index) -> the bits that are taken."""

THRESHOLD = 0.3
"""Share of a token that must be free for it to be drawn."""
_MOST = 0.5


@dataclass(frozen=True, eq=False)
class Target:
    """A picture that stays where a mask does not say that it may change.

    latent_BDHW: the tokenizer's latent of one picture, or of each, at the last scale's size. mask_BHW: 1
    where the picture may change, of any size, stretched over it; one, or one per picture.
    keep_scales: scales that are the picture's own everywhere: its layout and light, from coarse to fine.
    threshold: share of a token's area that must be free for it to be drawn, 0 to below 1. fine_mask_BHW: what
    may change of the fine scales (None: the same). See `free_tokens`.
    Raises ValueError for a mask that is no mask, or a threshold or a number of scales out of range.
    """

    latent_BDHW: Tensor
    mask_BHW: Tensor
    keep_scales: int = 0
    threshold: float = THRESHOLD
    fine_mask_BHW: Tensor | None = None

    def __post_init__(self) -> None:
        for mask_BHW in self._masks:
            check_mask(mask_BHW, 3, "edit")
        if not 0 <= self.threshold < 1:
            raise ValueError(f"The edit's threshold must be from 0 to below 1, got {self.threshold}.")
        if self.keep_scales < 0:
            raise ValueError(f"The edit's keep_scales must be 0 or more, got {self.keep_scales}.")

    def check(self, schedule: ScaleSchedule, pictures: int, bits: int) -> None:
        """Raises ValueError where it does not fit a run of that schedule, pictures and bits per token."""
        expected = [bits, *schedule.scales[-1]]
        if self.latent_BDHW.ndim != 4 or list(self.latent_BDHW.shape[1:]) != expected:
            raise ValueError(
                f"The picture to edit has a latent of shape {list(self.latent_BDHW.shape)}; this run expects "
                f"{[pictures, *expected]}. Encode it for this size and aspect ratio, with the model's own "
                "tokenizer."
            )
        counts = [("latents", len(self.latent_BDHW)), *(("masks", len(mask)) for mask in self._masks)]
        for what, count in counts:
            if count not in (1, pictures):
                raise ValueError(
                    f"The edit holds {count} {what}, the run draws {counted(pictures, 'picture')}: use one, "
                    "or the same number."
                )

    def keeping(self, schedule: ScaleSchedule, device: torch.device) -> Keeping:
        """The bits of the target for a run.

        They are quantised anew at every scale, from what the bits before it, drawn ones included, leave
        over: so finer scales correct what a coarse token changed outside the mask, as the tokenizer does.
        """
        residual_BDHW = self.latent_BDHW.to(device, torch.float32)
        free = [self.free(schedule, index).to(device) for index in range(len(schedule.scales))]

        def keep(drawn_BhwD: Tensor, index: int) -> Tensor:
            nonlocal residual_BDHW
            codes_BDhw, own_BhwD = quantize_once(shrink(residual_BDHW, schedule.scales[index]))
            free_Bhw1 = free[index]
            taken_BhwD = torch.where(free_Bhw1, drawn_BhwD, own_BhwD)
            # The quantiser's own codes where it decides: all bits are the tokenizer's where nothing is free.
            codes_BDhw = torch.where(free_Bhw1.movedim(-1, 1), bits_to_codes(drawn_BhwD), codes_BDhw)
            residual_BDHW = residual_BDHW - enlarge(codes_BDhw, schedule.scales[-1])
            return taken_BhwD

        return keep

    def free(self, schedule: ScaleSchedule, index: int) -> Tensor:
        """[B, h, w, 1] bool: the tokens of a scale that are drawn, the others are the picture's own."""
        if index < self.keep_scales:
            return torch.zeros(1, *schedule.scales[index], 1, dtype=torch.bool)
        masks = (mask_BHW.cpu() for mask_BHW in self._masks)
        return free_tokens(schedule, index, self.threshold, *masks)[..., None]

    @property
    def _masks(self) -> tuple[Tensor, ...]:
        return (self.mask_BHW,) if self.fine_mask_BHW is None else (self.mask_BHW, self.fine_mask_BHW)


def free_tokens(
    schedule: ScaleSchedule,
    index: int,
    threshold: float,
    mask_BHW: Tensor,
    fine_mask_BHW: Tensor | None = None,
) -> Tensor:
    """[B, h, w] bool: the tokens of a scale of which more than that share is free.

    The first scale's one token is the light of the whole picture: more than half of it must be free. So must
    it be of a token by fine_mask_BHW, which stands for the mask at the fine scales: those whose tokens are at
    most twice as large as the last one's.
    """
    grid = schedule.scales[index]
    if fine_mask_BHW is not None and 2 * grid[0] >= schedule.scales[-1][0]:
        return cover(fine_mask_BHW, grid) > _MOST
    return cover(mask_BHW, grid) > (threshold if index else max(threshold, _MOST))


@dataclass(frozen=True, eq=False)
class KeptBits:
    """All that a run keeps: its first scales are those of `bits`, and `target` stays outside its mask.

    bits: of one picture or of as many as are drawn; first_scales: how many scales of them are taken.
    """

    bits: Bits | None = None
    first_scales: int = 0
    target: Target | None = None

    def keeping(self, schedule: ScaleSchedule, device: torch.device) -> Keeping:
        """The bits to take for a run."""
        of_target = self.target.keeping(schedule, device) if self.target is not None else None
        kept = () if self.bits is None else self.bits.scales[: self.first_scales]
        first = [bits_BhwD.to(device) for bits_BhwD in kept]

        def keep(drawn_BhwD: Tensor, index: int) -> Tensor:
            if index < len(first):
                drawn_BhwD = first[index].expand_as(drawn_BhwD)
            return drawn_BhwD if of_target is None else of_target(drawn_BhwD, index)

        return keep

    def check(self, schedule: ScaleSchedule, pictures: int, bits: int) -> None:
        """Raises ValueError where it does not fit a run of that schedule, pictures and bits per token."""
        scales = len(schedule.scales)
        if not 0 <= self.first_scales <= scales:
            raise ValueError(f"first_scale must be between 0 and {scales}, got {self.first_scales}.")
        if self.first_scales:
            self._check_bits(schedule, pictures)
        if self.target is not None:
            self.target.check(schedule, pictures, bits)

    def _check_bits(self, schedule: ScaleSchedule, pictures: int) -> None:
        kept = self.bits
        if kept is None:
            raise ValueError("first_scale needs the bits to keep: connect them, or set first_scale to 0.")
        if kept.schedule != schedule or len(kept.scales) < self.first_scales:
            raise ValueError(
                "The bits to keep are of another size or aspect ratio, or end too early: "
                f"expected {schedule.aspect_ratio} at {schedule.budget} with at least "
                f"{counted(self.first_scales, 'scale')}, "
                f"got {kept.schedule.aspect_ratio} at {kept.schedule.budget} with {len(kept.scales)}."
            )
        if kept.scales[0].shape[0] not in (1, pictures):
            raise ValueError(
                f"The bits to keep hold {counted(kept.scales[0].shape[0], 'picture')}, the run {pictures}: "
                "use one picture, or the same number."
            )
