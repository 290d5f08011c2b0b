"""Dropping conditions, so that the model also learns what to do without them.

Shape suffixes: B conditions, L prompt tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..model import EchoGenTransformer
from ..model.transformer import Conditions


def drop_conditions(model: EchoGenTransformer, given: Conditions, keep_3B: Tensor) -> Conditions:
    """`given` with the model's learned nulls where text, semantic or content (rows of `keep_3B`) is not kept.

    The null prompt is as long as the prompt it stands for.
    """
    assert given.cls_BE is not None and given.patches_BPE is not None and given.content_BSF is not None

    def choose(kind: int, features: Tensor, null: Tensor) -> Tensor:
        keep = keep_3B[kind].view(-1, *[1] * (features.ndim - 1))
        return torch.where(keep, features, null)

    return Conditions(
        choose(0, given.text_BLT, model.null_text[: given.text_BLT.shape[1]]),
        choose(1, given.cls_BE, model.null_semantic[0]),
        choose(1, given.patches_BPE, model.null_semantic[1:]),
        choose(2, given.content_BSF, model.null_content),
        given.text_mask_BL,
    )
