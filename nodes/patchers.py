"""Model patchers for ComfyUI's memory manager, where its own classes do not fit."""

from __future__ import annotations

from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from echogen_core.sampling import PrefillCache


class WholePatcher(ModelPatcher):
    """For a module of plain torch.nn layers: all of it is on the compute device, or none.

    Such layers neither move nor cast their weights at use. In a partial load some would stay offloaded, and
    ComfyUI's class for dynamic VRAM would never unload them.
    """

    def load(self, device_to: Any = None, *arguments: Any, **options: Any) -> None:
        """Loads all of it, however little memory ComfyUI allots."""
        super().load(device_to, force_patch_weights=options.get("force_patch_weights", False), full_load=True)

    def partially_unload(self, *_: Any, **__: Any) -> int:
        """Bytes freed: 0, so that ComfyUI unloads the whole module."""
        return 0


class PrefillCachePatcher(ModelPatcher):
    """For the prefill cache of one transformer: the keys and values of subjects and prompts.

    It counts as a loaded model, so that ComfyUI can evict it: the least recently used branches go first, and
    are computed again when a run needs them.
    """

    def __init__(self, cache: PrefillCache, device: torch.device) -> None:
        super().__init__(nn.Module(), load_device=device, offload_device=torch.device("cpu"))
        self._cache = cache

    def model_size(self) -> int:
        """Bytes to load: 0, runs compute the cache on the device."""
        return 0

    def loaded_size(self) -> int:
        """Bytes of the cached keys and values."""
        return self._cache.nbytes

    def current_loaded_device(self) -> Any:
        """The offload device, so that ComfyUI makes room for `model_size`, which is 0."""
        return self.offload_device

    def partially_load(self, *_: Any, **__: Any) -> int:
        """Bytes loaded: 0, see `model_size`."""
        return 0

    def partially_unload(self, device_to: Any, memory_to_free: int = 0, **_: Any) -> int:
        """Bytes freed: at least `memory_to_free`, or all there are."""
        return self._cache.free(memory_to_free)

    def detach(self, unpatch_all: bool = True) -> Any:
        """Clears the cache, unless ComfyUI detaches only to load again."""
        if unpatch_all:
            self._cache.clear()
        return self.model
