"""What the evaluation of editing draws, with the miniature's sampler and the core's edits.

Shapes: N pictures, D bits per token, H and W pixels, h and w tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from echogen_core.checkpoints import Bundle
from echogen_core.checkpoints.segmentation_models import load_salient
from echogen_core.editing import Canvas, Edit
from echogen_core.features import Subject
from echogen_core.pictures import reduced
from echogen_core.pipeline import EchoGenPipeline
from echogen_core.sampling import (
    Branches,
    Guidance,
    Region,
    RunConditions,
    SamplingSettings,
    Target,
    sample,
)
from echogen_core.sampling.kept_bits import Keeping
from echogen_core.scales import ScaleSchedule, preset_schedule
from echogen_core.tokenizer.bsq import quantize_multiscale

from ..generation import BATCH, GenerationSettings, through_tokenizer


class Wish(NamedTuple):
    """What one picture, or one region of it, is to show; negative: a prompt to steer away from."""

    prompt: str
    subject: Subject
    negative: str | None = None


class WishedRegion(NamedTuple):
    """A wish for a part of the picture; mask_HW: 1 inside."""

    wish: Wish
    mask_HW: Tensor


@dataclass(frozen=True, eq=False)
class StoredBits(Target):
    """The baseline to re-quantising: outside the mask the bits are those that the picture has on its own.

    Where a coarse token was drawn, finer scales then don't correct it.
    """

    def keeping(self, schedule: ScaleSchedule, device: torch.device) -> Keeping:
        """The bits of the target for a run."""
        stored = quantize_multiscale(self.latent_BDHW.to(device), schedule.scales).bits

        def keep(drawn_BhwD: Tensor, index: int) -> Tensor:
            free_Bhw1 = self.free(schedule, index).to(device)
            return torch.where(free_Bhw1, drawn_BhwD, stored[index])

        return keep


class Draughtsman:
    """Draws pictures, plain ones and edits, with a bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self._pipeline = EchoGenPipeline(bundle)
        self._bundle = bundle
        preset = bundle.preset
        self.schedule = preset_schedule(preset, None, "1:1")
        self.preset = GenerationSettings(preset.gamma_t, preset.gamma_i, preset.tau, preset.top_p)
        self._salient = load_salient()

    def subject(self, references_B3HW: Tensor) -> Subject:
        """Features of a subject's references on white; several count as views of one."""
        return self._pipeline.encode_reference(references_B3HW)

    def draw(
        self,
        wishes: Sequence[Wish],
        seeds: Sequence[int],
        settings: GenerationSettings | None = None,
    ) -> Tensor:
        """One picture for each wish, [N, 3, H, W] in 0..1; settings: None stands for the preset's own."""
        return self.draw_around(wishes, seeds, [None], settings)[0]

    def draw_around(
        self,
        wishes: Sequence[Wish],
        seeds: Sequence[int],
        targets: Sequence[Target | None],
        settings: GenerationSettings | None = None,
    ) -> list[Tensor]:
        """Pictures like those of `draw` for each target, [N, 3, H, W]; None: nothing stays.

        targets: with a latent for each wish. Prefills are shared.
        """
        sampling = self._sampling(settings or self.preset)
        images: list[list[Tensor]] = [[] for _ in targets]
        for start in range(0, len(wishes), BATCH):
            rows = slice(start, start + BATCH)
            branches = self._prefill(wishes[rows], sampling.guidance)
            for target, drawn in zip(targets, images, strict=True):
                part = None if target is None else _part(target, rows)
                drawn.append(self._sampled(branches, seeds[rows], sampling, part))
        return [torch.cat(drawn) for drawn in images]

    def draw_regions(self, regions: Sequence[WishedRegion], seed: int) -> Tensor:
        """[1, 3, H, W]: one picture with a wish for each region, the first one's for what is left over."""
        sampling = self._sampling(self.preset)
        branches = self._prefill([region.wish for region in regions], sampling.guidance)
        parts = [
            Region(own, sampling.guidance, region.mask_HW)
            for own, region in zip(branches, regions, strict=True)
        ]
        return self._sampled(branches[:1], [seed], sampling, None, parts)

    def placed(self, edit: Edit, plain_N3HW: Tensor) -> Canvas:
        """The canvas into which the subjects of plain pictures are put, found by the built-in cut."""
        return edit.placed(plain_N3HW, self._salient.mask(plain_N3HW))

    @torch.inference_mode()
    def latents(self, images_N3HW: Tensor) -> Tensor:
        """[N, D, h, w] of pictures."""
        device = next(self._bundle.tokenizer.parameters()).device
        parts = [self._bundle.tokenizer.latent(part.to(device)).cpu() for part in images_N3HW.split(BATCH)]
        return torch.cat(parts).clone()

    def through_tokenizer(self, images_N3HW: Tensor) -> Tensor:
        """Pictures [N, 3, H, W] to bits and back."""
        return through_tokenizer(self._bundle.tokenizer, images_N3HW, self._bundle.preset)

    def _prefill(self, wishes: Sequence[Wish], guidance: Guidance) -> list[Branches]:
        text = self._pipeline.text
        runs = [
            RunConditions(
                text(wish.prompt),
                wish.subject.semantic,
                wish.subject.content,
                guidance,
                negative=None if wish.negative is None else text(wish.negative),
            )
            for wish in wishes
        ]
        return self._pipeline.prefill.prefill(runs)

    def _sampled(
        self,
        branches: Sequence[Branches],
        seeds: Sequence[int],
        sampling: SamplingSettings,
        target: Target | None,
        regions: Sequence[Region] = (),
    ) -> Tensor:
        model, schedule = self._bundle.transformer, self.schedule
        *_, last = sample(model, branches, schedule, seeds, sampling, target=target, regions=regions)
        with torch.inference_mode():
            images = torch.cat([*self._bundle.tokenizer.decode_each(last.codes_BdHW)])
        return reduced(images, schedule.pixels_hw).cpu().clone()

    def _sampling(self, settings: GenerationSettings) -> SamplingSettings:
        guidance = Guidance.constant(settings.gamma_t, settings.gamma_i, len(self.schedule.scales))
        return SamplingSettings(guidance, tau=settings.tau, top_p=settings.top_p)


def _part(target: Target, rows: slice) -> Target:
    """The target of some of the pictures."""

    def some(masks_BHW: Tensor) -> Tensor:
        return masks_BHW if len(masks_BHW) == 1 else masks_BHW[rows]

    fine_BHW = target.fine_mask_BHW
    return replace(
        target,
        latent_BDHW=target.latent_BDHW[rows],
        mask_BHW=some(target.mask_BHW),
        fine_mask_BHW=None if fine_BHW is None else some(fine_BHW),
    )
