"""ComfyUI's patchers, which hold a module for its memory manager, for what its own classes do not fit."""

from __future__ import annotations

from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from echogen_core.sampling import PrefillCache


class WholePatcher(ModelPatcher):
    """Of a module of plain torch.nn layers: all of it is on the compute device, or none.

    Such layers neither move nor cast their weights at use. Loaded in part, ComfyUI would leave some of them
    where they are; its class for dynamic VRAM would never give any of them back.
    """

    def load(self, device_to: Any = None, *arguments: Any, **options: Any) -> None:
        """All of it, however little room ComfyUI found for it."""
        super().load(device_to, force_patch_weights=options.get("force_patch_weights", False), full_load=True)

    def partially_unload(self, *_: Any, **__: Any) -> int:
        """Bytes given back: none. ComfyUI then unloads all."""
        return 0


class PrefillPatcher(ModelPatcher):
    """Of the prefills of one transformer: what it has computed about subjects and prompts.

    They are among the loaded models, asked for room after these, and give back those that were not used for
    longest. What is given up is computed again when a run needs it.
    """

    def __init__(self, prefills: PrefillCache, device: torch.device) -> None:
        super().__init__(nn.Module(), load_device=device, offload_device=torch.device("cpu"))
        self._prefills = prefills

    def model_size(self) -> int:
        """Bytes to load, and to keep in main memory: none, they are made where they are used."""
        return 0

    def loaded_size(self) -> int:
        """Bytes of the keys and values."""
        return self._prefills.nbytes

    def current_loaded_device(self) -> Any:
        """Elsewhere than it computes: ComfyUI then asks room for `model_size`, which is none."""
        return self.offload_device

    def partially_load(self, *_: Any, **__: Any) -> int:
        """Bytes loaded: none, they are made by a run."""
        return 0

    def partially_unload(self, device_to: Any, memory_to_free: int = 0, **_: Any) -> int:
        """Bytes given back, at least `memory_to_free` where there are so many."""
        return self._prefills.give_back(memory_to_free)

    def detach(self, unpatch_all: bool = True) -> Any:
        """Forgets them, unless ComfyUI is about to use them again."""
        if unpatch_all:
            self._prefills.clear()
        return self.model
