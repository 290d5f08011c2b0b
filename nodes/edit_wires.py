"""The values of two wires: a picture to edit, and regions of a picture.

Shape suffixes: B pictures, D bits per token, H W size of a mask, h w size of the canvas in tokens.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from echogen_core.editing import Canvas, Edit
from echogen_core.features import ContentFeatures, SemanticFeatures, TextFeatures
from echogen_core.sampling import Guidance, RunConditions, Target

from . import runtime

LIKE_MAIN = -1.0
"""A region's γ that stands for the sampler's, as any below 0 does."""


class RegionInputs(NamedTuple):
    """A part of the picture with conditions of its own.

    mask_HW: 1 inside, over the whole picture. text: None for the sampler's. gamma_t, gamma_i: below 0 for the
    sampler's.
    """

    mask_HW: Tensor
    text: TextFeatures | None
    semantic: SemanticFeatures | None
    content: ContentFeatures | None
    gamma_t: float = LIKE_MAIN
    gamma_i: float = LIKE_MAIN

    def conditions(self, main: RunConditions) -> RunConditions:
        """What its branches depend on, beside the picture's own."""
        guidance = None if main.guidance is None else self.guidance(main.guidance)
        text = main.text if self.text is None else self.text
        return main._replace(text=text, semantic=self.semantic, content=self.content, guidance=guidance)

    def guidance(self, main: Guidance) -> Guidance:
        """Its γ at every scale."""
        scales = len(main.gamma_t)
        return Guidance(
            main.gamma_t if self.gamma_t < 0 else (self.gamma_t,) * scales,
            main.gamma_i if self.gamma_i < 0 else (self.gamma_i,) * scales,
        )


class PictureEdit(NamedTuple):
    """A picture to edit, with the tokenizer that reads it.

    canvas, latent_BDhw: what the sampler sees of it; None of one into which a subject is still to be placed.
    """

    edit: Edit
    tokenizer: runtime.Managed
    canvas: Canvas | None = None
    latent_BDhw: Tensor | None = None

    @property
    def target(self) -> Target:
        """What the sampler keeps of the canvas, which must be known."""
        assert self.canvas is not None and self.latent_BDhw is not None
        return self.edit.target(self.canvas, self.latent_BDhw)
