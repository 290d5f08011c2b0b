"""Tensors that say more numbers than there are in their file.

A file may name one number as a matrix of any size (torch.zeros(1).expand(...)), or one storage many times:
looking at such tensors costs nothing, but to use them is to read, and often to copy, all that they say.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

TIMES = 2
SLACK = 64 << 20
"""Bytes."""


def check_stored_size(state: Mapping[str, Tensor]) -> None:
    """ValueError where a model's tensors together are much larger than what is stored of them."""
    storages = [tensor.untyped_storage() for tensor in state.values()]
    held = sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
    said = sum(tensor.numel() * tensor.itemsize for tensor in state.values())
    if said > TIMES * held + SLACK:
        raise ValueError(
            f"its tensors take {said / 1e6:.0f} MB in memory, of which only {held / 1e6:.0f} MB are stored. "
            "Save it again with tensor.contiguous() for each, or get the published file."
        )
