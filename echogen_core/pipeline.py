"""The whole pipeline in one object: reference picture and prompt in, pictures of the subject in a scene out.

The nodes take the same steps one by one; this is for scripts, evaluation and the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from .checkpoints import Bundle, check_patch, load_bundle
from .checkpoints.bundle import SearchFolders
from .checkpoints.segmentation_models import load_salient
from .editing import Canvas, Edit, Way
from .features import Subject, TextFeatures
from .sampling import (
    Bits,
    Branches,
    Guidance,
    PrefillCache,
    Region,
    SamplingSettings,
    ScaleStep,
    Target,
    sample,
)
from .scales import ScaleSchedule, preset_schedule
from .subject.cutout import cut_out

NO_SUBJECT = Subject()


class Picture(NamedTuple):
    """images_B3HW in 0..1, and the bits that they were decoded from; canvas: of an edit, see `generate`."""

    images_B3HW: Tensor
    bits: Bits
    canvas: Canvas | None = None


@dataclass(frozen=True)
class Settings:
    """What a user tunes; None stands for the preset's own value.

    gamma_t, gamma_i: see sampling.guidance. tau, top_p, greedy: see sampling.SamplingSettings.
    aspect_ratio: width:height; an edit has the nearest to its picture's. budget: pixel budget, one of
    scales.BUDGETS.
    """

    gamma_t: float | None = None
    gamma_i: float | None = None
    tau: float | None = None
    top_p: float | None = None
    greedy: bool = False
    aspect_ratio: str = "1:1"
    budget: str | None = None


class EchoGenPipeline:
    """A bundle of models with the conditions of recent runs cached, so that tuning costs sampling alone."""

    def __init__(self, bundle: Bundle) -> None:
        """Raises ValueError when the tokenizer's pictures are not of the preset's size."""
        check_patch(bundle.preset, bundle.tokenizer.config)
        self.bundle = bundle
        self.preset = bundle.preset
        self.prefill = PrefillCache(bundle.transformer, capacity=8)
        self._texts: dict[str, TextFeatures] = {}

    @classmethod
    def from_bundle(
        cls,
        name: str = "nano",
        directory: str | Path | SearchFolders | None = None,
        dtype: torch.dtype | None = torch.float32,
        device: torch.device | str = "cpu",
        transformer: str | Path | None = None,
    ) -> EchoGenPipeline:
        """Load a preset's bundle: the built-in weights, or those in `directory`. Arguments as `load_bundle`.

        Raises FileNotFoundError naming what is missing, ValueError for a file that is something else.
        """
        return cls(load_bundle(name, directory, dtype=dtype, device=device, transformer=transformer))

    def subject(
        self,
        images_B3HW: Tensor,
        *,
        mask_BHW: Tensor | None = None,
        semantic: bool = True,
        content: bool = True,
    ) -> Subject:
        """Cut the subject out (all pictures show the same one) and encode it.

        images_B3HW: 0..1, three channels or four with alpha. mask_BHW: 1 on the subject; without it alpha, a
        plain border or the built-in cut decides. Raises ValueError when there is nothing to cut out.
        """
        reference_B3SS = cut_out(images_B3HW, mask_BHW, salient=load_salient()).images_B3SS
        return self.encode_reference(reference_B3SS, semantic=semantic, content=content)

    def encode_reference(
        self, reference_B3SS: Tensor, *, semantic: bool = True, content: bool = True
    ) -> Subject:
        """Features of pictures that show the subject on white, squared, already."""
        return Subject(
            self.bundle.semantic.encode(reference_B3SS) if semantic else None,
            self.bundle.content.encode(reference_B3SS) if content else None,
        )

    def text(self, prompt: str) -> TextFeatures:
        """Features of a prompt; a prompt seen before gives the same object, so that prefills are found."""
        if prompt not in self._texts:
            if len(self._texts) >= 64:
                self._texts.pop(next(iter(self._texts)))
            self._texts[prompt] = self.bundle.text.encode(prompt)
        return self._texts[prompt]

    def branches(
        self,
        prompt: str | None,
        subject: Subject = NO_SUBJECT,
        settings: Settings | None = None,
        negative: str | None = None,
    ) -> Branches:
        """Keys and values of a run's branches, from the cache where possible.

        settings: leaves out the branches that these γ have no use for. None: all three, for any γ.
        negative: a prompt to steer away from.
        """
        text = None if prompt is None else self.text(prompt)
        guidance = None if settings is None else self._plan(settings)[1].guidance
        away_from = None if negative is None else self.text(negative)
        return self.prefill.branches(text, subject.semantic, subject.content, guidance, negative=away_from)

    def region(
        self,
        mask_HW: Tensor,
        prompt: str | None,
        subject: Subject = NO_SUBJECT,
        settings: Settings | None = None,
        negative: str | None = None,
    ) -> Region:
        """A part of the picture with a prompt, a subject and γ of its own.

        mask_HW: 1 inside, of any size, stretched over the picture (see editing.area_mask); the rest as
        `branches`. Branches are shared with those of the same prompt and negative prompt.
        """
        own = settings or Settings()
        return Region(self.branches(prompt, subject, own, negative), self._plan(own)[1].guidance, mask_HW)

    def generate(
        self,
        branches: Branches | Sequence[Branches],
        seeds: Sequence[int],
        settings: Settings | None = None,
        on_scale: Callable[[ScaleStep], None] | None = None,
        *,
        regions: Sequence[Region] = (),
        edit: Edit | None = None,
    ) -> Picture:
        """Sample and decode one picture per seed; picture i depends on seed i alone.

        branches: one for all pictures or one per picture. on_scale: called after every scale. regions: lie
        over all pictures. edit: what to draw in (see Edit.of); the pictures are of its canvas, and
        `edit.pasted_back(picture.canvas, picture.images_B3HW)` gives them at their own size. PLACE draws
        twice: plain pictures, then their subjects in those to edit.
        """
        schedule, sampling = self._plan(settings or Settings())
        if edit is None:
            return self._draw(branches, schedule, seeds, sampling, on_scale, regions=regions)
        edit.check(len(seeds), len(regions))
        draw = partial(self._draw, branches, edit.schedule, seeds, sampling, on_scale)
        if edit.way is Way.PLACE:
            plain_N3hw = draw().images_B3HW
            canvas = edit.placed(plain_N3hw, load_salient().mask(plain_N3hw))
        else:
            canvas = edit.redrawn()
        regions = [replace(region, mask_HW=canvas.region_mask(region.mask_HW)) for region in regions]
        target = edit.target(canvas, self._latents(canvas.pictures_B3hw))
        return draw(regions=regions, target=target)._replace(canvas=canvas)

    def _draw(
        self,
        branches: Branches | Sequence[Branches],
        schedule: ScaleSchedule,
        seeds: Sequence[int],
        sampling: SamplingSettings,
        on_scale: Callable[[ScaleStep], None] | None,
        regions: Sequence[Region] = (),
        target: Target | None = None,
    ) -> Picture:
        step: ScaleStep | None = None
        for step in sample(
            self.bundle.transformer, branches, schedule, seeds, sampling, target=target, regions=regions
        ):
            if on_scale is not None:
                on_scale(step)
        assert step is not None
        with torch.inference_mode():
            images = [*self.bundle.tokenizer.decode_each(step.codes_BdHW)]
        return Picture(torch.cat(images), step.bits)

    def _latents(self, pictures_B3hw: Tensor) -> Tensor:
        """[B, D, h, w]."""
        tokenizer = self.bundle.tokenizer
        device = next(tokenizer.parameters()).device
        with torch.inference_mode():
            return torch.cat([*tokenizer.latent_each(pictures_B3hw.to(device))])

    def _plan(self, chosen: Settings) -> tuple[ScaleSchedule, SamplingSettings]:
        """The settings, with the preset's values where the user set none."""
        preset = self.preset
        schedule = preset_schedule(preset, chosen.budget, chosen.aspect_ratio)
        guidance = Guidance.constant(
            preset.gamma_t if chosen.gamma_t is None else chosen.gamma_t,
            preset.gamma_i if chosen.gamma_i is None else chosen.gamma_i,
            len(schedule.scales),
        )
        sampling = SamplingSettings(
            guidance,
            tau=preset.tau if chosen.tau is None else chosen.tau,
            top_p=preset.top_p if chosen.top_p is None else chosen.top_p,
            greedy=chosen.greedy,
        )
        return schedule, sampling
