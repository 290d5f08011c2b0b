"""Refuses tensors that claim more numbers than their file stores.

A file may expand one number to a matrix of any size (torch.zeros(1).expand(...)), or use one storage many
times: opening such tensors costs nothing, but using them reads, and often copies, everything they claim.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ...utils.disk import format_size

MAX_RATIO, ALLOWANCE = 2, 64 << 20
"""Tensors may claim MAX_RATIO times the stored bytes, and ALLOWANCE bytes more."""


def check_stored_size(state: Mapping[str, Tensor]) -> None:
    """Raises ValueError where a model's tensors together are much larger than their storages."""
    storages = [tensor.untyped_storage() for tensor in state.values()]
    stored = sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
    claimed = sum(tensor.numel() * tensor.itemsize for tensor in state.values())
    if claimed > MAX_RATIO * stored + ALLOWANCE:
        raise ValueError(
            f"its tensors take {format_size(claimed)} in memory, of which only "
            f"{format_size(stored)} are stored. Save it again with tensor.contiguous() for each, or get the "
            "published file."
        )
