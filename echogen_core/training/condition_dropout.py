"""Dropping conditions in training, so that the model learns the branches that guidance needs.

Shape suffixes: B pictures, L prompt tokens, P patches, S content tokens, E, F and T channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..model import EchoGenTransformer
from ..model.branch import Conditions


def drop_conditions(model: EchoGenTransformer, given: Conditions, keep_3B: Tensor) -> Conditions:
    """`given` with the model's learned null features wherever `keep_3B` is False.

    keep_3B: rows are text, semantic, content. A null prompt has the length of the prompt that it replaces.
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
