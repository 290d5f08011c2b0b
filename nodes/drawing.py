"""What the sampler and the sweep draw a picture from: conditions, regions, and an edit.

Shape suffixes: N drawn pictures, H W size of a mask, h w size of the canvas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from torch import Tensor

from echogen_core.editing import Canvas, region_notes
from echogen_core.sampling import (
    Region,
    RunConditions,
    SamplingSettings,
    ScaleStep,
    Target,
    sample,
)
from echogen_core.sampling.region_guidance import counting
from echogen_core.scales import ScaleSchedule
from echogen_core.utils.printable import counted

from . import phases, runtime, subject_models
from .adapters import check_tokenizer
from .edit_wires import PictureEdit, RegionInputs


class Draw(Protocol):
    """Draws the pictures of a run, scale by scale, around what a target keeps."""

    def __call__(self, target: Target | None = None) -> Iterator[ScaleStep]: ...


class PictureRun(NamedTuple):
    """All that pictures are drawn from, besides seeds and settings."""

    model: runtime.ManagedModel
    schedule: ScaleSchedule
    conditions: RunConditions
    regions: tuple[RegionInputs, ...] = ()
    edit: PictureEdit | None = None

    def check(self, pictures: int) -> list[str]:
        """What to say about the regions and the edit. Raises ValueError where they do not fit the run."""
        if self.edit is not None:
            self._check_edit(self.edit, pictures)
        return region_notes([self._mask(region) for region in self.regions], self.schedule)

    def prepare(
        self,
        seeds: Sequence[int],
        settings: SamplingSettings,
        tokenizer: runtime.Managed | None,
        report: Callable[[ScaleStep], None] = lambda step: None,
    ) -> tuple[Draw, PictureEdit | None, list[str]]:
        """What draws the pictures, the edit as it is drawn, and what to say about that.

        tokenizer: what previews are decoded with. report: told each scale of plain pictures whose subjects
        are to be placed. Raises MemoryError where the run does not fit.
        """
        plain = self._draws(seeds, settings, tokenizer)
        if self.edit is None:
            return plain, None, []
        edit, said = with_target(self.edit, plain, report)
        # Reading the picture and finding the subject may have taken the place of the weights for sampling.
        draw = plain if edit is self.edit else self._draws(seeds, settings, tokenizer)
        return partial(draw, target=edit.target), edit, said

    def _draws(
        self, seeds: Sequence[int], settings: SamplingSettings, tokenizer: runtime.Managed | None
    ) -> Draw:
        """Loads the weights for sampling, and draws with the branches of the picture and its regions."""
        masks = [self._mask(region) for region in self.regions]
        main_counts, *region_counts = counting(masks, self.schedule.scales)
        given = zip(self.regions, masks, region_counts, strict=True)
        used = [(region, mask_HW) for region, mask_HW, counts in given if counts]
        runs = [self.conditions, *(region.conditions(self.conditions) for region, _ in used)]
        if not main_counts:  # regions cover all of it: what it would be drawn from is theirs
            runs[0] = runs[1]
        main, *others = phases.prefill(self.model, runs, self.schedule, len(seeds), tokenizer)
        regions = [
            Region(own, region.guidance(settings.guidance), mask_HW)
            for own, (region, mask_HW) in zip(others, used, strict=True)
        ]
        return partial(sample, self.model.module, main, self.schedule, seeds, settings, regions=regions)

    def _mask(self, region: RegionInputs) -> Tensor:
        """[h, w] or [H, W]: the region's mask over the canvas."""
        if self.edit is None or self.edit.canvas is None:
            return region.mask_HW
        return self.edit.canvas.region_mask(region.mask_HW)

    def _check_edit(self, edit: PictureEdit, pictures: int) -> None:
        expected = self.model.preset.tokenizer
        check_tokenizer(edit.tokenizer.module.config, expected.bits, expected.patch, "the model")
        edit.edit.check(pictures, len(self.regions))
        drawn = 1 if edit.canvas is None else len(edit.canvas.frames)
        if drawn not in (1, pictures):
            raise ValueError(
                f"This edit was drawn as {counted(drawn, 'picture')}, the batch size is {pictures}: set "
                f"the batch size to {drawn}, or connect Edit Picture's own edit."
            )


def with_target(
    edit: PictureEdit, draw: Draw, report: Callable[[ScaleStep], None]
) -> tuple[PictureEdit, list[str]]:
    """The edit with its canvas, and what to say about it.

    draw: draws plain pictures, from which subjects to be placed are taken; report is told each scale.
    """
    if edit.canvas is not None:
        return edit, []
    step: ScaleStep | None = None
    for step in draw():
        report(step)
    assert step is not None
    plain_N3hw = phases.decode(edit.tokenizer, step.codes_BdHW)
    footprints_Nhw = runtime.loaded(subject_models.salient()).mask(plain_N3hw)
    canvas = edit.edit.placed(plain_N3hw, footprints_Nhw)
    return on_canvas(edit, canvas), [canvas.note] if canvas.note else []


def on_canvas(edit: PictureEdit, canvas: Canvas) -> PictureEdit:
    """The edit with that canvas, encoded."""
    return edit._replace(canvas=canvas, latent_BDhw=phases.encode(edit.tokenizer, canvas.pictures_B3hw))
