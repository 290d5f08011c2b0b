"""A tokenizer for larger pictures starts as the old one, upscaled."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from echogen_core.tokenizer import BitTokenizer
from miniature.training.pixel_unshuffle import enlarge_unshuffle

from .two_colours import CONFIG, TwoColours


def test_a_larger_fold_starts_as_the_old_picture_enlarged() -> None:
    torch.manual_seed(0)
    old, config = BitTokenizer(CONFIG).eval(), replace(CONFIG, unshuffle=6)
    new = BitTokenizer(config).eval()
    new.load_state_dict(enlarge_unshuffle(old, config))

    def enlarged(images_B3HW: Tensor) -> Tensor:
        return images_B3HW.repeat_interleave(3, 2).repeat_interleave(3, 3)

    images_B3HW = TwoColours(2).draw(2).images_B3HW
    with torch.no_grad():
        latent_BDHW = old.latent(images_B3HW)
        torch.testing.assert_close(new.latent(enlarged(images_B3HW)), latent_BDHW)
        picture_B3HW = enlarged(old.reconstruct(latent_BDHW))
        torch.testing.assert_close(new.reconstruct(latent_BDHW), picture_B3HW)
    for other in (replace(CONFIG, unshuffle=3), replace(config, bits=9), replace(CONFIG, unshuffle=1)):
        with pytest.raises(ValueError, match="smaller pixel-unshuffle factor"):
            enlarge_unshuffle(old, other)
