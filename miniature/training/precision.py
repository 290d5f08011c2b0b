"""bfloat16 where it is faster: on a GPU, and on processors with instructions for it.

Others emulate it: a convolution then takes six times as long as in float32.
"""

from __future__ import annotations

import torch

from echogen_core.dtypes import LOOPED


def mixed_precision(device: torch.device) -> torch.autocast:
    """Autocast to bfloat16, or a context that changes nothing where that would be slower."""
    fast = device.type != "cpu" or torch.bfloat16 not in LOOPED
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)
