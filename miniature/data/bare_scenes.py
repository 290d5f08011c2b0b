"""Training pairs whose pictures show the scene without the subject that the prompt speaks of."""

from __future__ import annotations

import torch

from .dataset import Compositor, Mix, _Sprites


class BareScenes(Compositor):
    """Draws what a Compositor of the same seed does, without subjects and their shadows in the targets."""

    def _draw_sprites(self, count: int, mix: Mix, targets: int) -> _Sprites:
        drawn = super()._draw_sprites(count, mix, targets)
        return drawn._replace(targets_T4HW=torch.zeros_like(drawn.targets_T4HW))
