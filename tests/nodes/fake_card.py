"""A card that is not there: ComfyUI's own memory manager on tensors without numbers.

Tensors of full size cost nothing under FakeTensorMode, and an operation on tensors of two devices raises as
on a real card. What lies on the card is counted tensor by tensor, not asked of the manager.
With `dynamic`, for a core that has it, models are loaded as under dynamic VRAM; the library that owns the
card's pages then (comfy-aimdo) needs a card and is played by a few lines.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
import torch
from live_bytes import LiveBytes
from torch import Tensor, nn
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from echogen_core.model.rope import sequence_rope


class _Backend:
    """What PyTorch asks of a type of device: there is none of it for anyone who looks."""

    def is_available(self) -> bool:
        return False

    def is_initialized(self) -> bool:
        return True

    def device_count(self) -> int:
        return 0

    def current_device(self) -> int:
        return 0

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """Nothing is drawn there."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return []


# a type of our own, so that PyTorch asks no driver
_setup_privateuseone_for_python_backend("card", backend_module=_Backend())
CARD = torch.device("card:0")


class FakeCard:
    """A card of `size` bytes, of which tensors use some."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._counted = LiveBytes(device=CARD)

    @property
    def used(self) -> int:
        return self._counted.live - sum(pages.seen_but_gone() for pages in Pages.every)

    @property
    def free(self) -> int:
        return self.size - self.used

    @contextmanager
    def without_numbers(self) -> Iterator[None]:
        """While active, nothing is computed. Everything leaves the card at the end."""
        import comfy.model_management as mm

        try:
            with FakeTensorMode(allow_non_fake_inputs=True), self._counted, _WithoutNumbers():
                yield
                mm.free_memory(1e30, CARD)
        finally:
            sequence_rope.cache_clear()  # its tables are kept for all runs, those without numbers as well


class Pages:
    """The weights of one model that are on the card. The one prepared last takes the others' room."""

    every: ClassVar[list[Pages]] = []  # the last one prepared at the end
    card: ClassVar[FakeCard]

    def __init__(self, size: int, device: Any) -> None:
        self._resident: dict[int, int] = {}  # place -> bytes
        self._views: list[tuple[int, int, Any]] = []  # place, bytes and storage of what was handed out
        self._end = self._visits = 0
        Pages.every.append(self)

    def prioritize(self) -> None:
        Pages.every.remove(self)
        Pages.every.append(self)

    def alloc(self, size: int) -> tuple[Pages, int, int]:
        self._end += size
        return self, self._end - size, size

    def fault(self, place: int, size: int) -> int | None:
        """Brings the bytes in; a mark that changes when any of them have left since, None without room."""
        if place not in self._resident:
            for others in Pages.every[:-1]:
                if Pages.card.free < size and others is not self:
                    others.free_memory(size - Pages.card.free)
            if Pages.card.free < size:
                return None
            self._resident[place] = size
        return self._visits

    def view(self, place: int, size: int, device: Any) -> Tensor:
        made = torch.empty(size, dtype=torch.uint8, device=device)
        self._views.append((place, size, weakref.ref(made.untyped_storage())))
        return made

    def loaded_size(self) -> int:
        return sum(self._resident.values())

    def free_memory(self, wanted: float) -> int:
        freed = 0
        while self._resident and freed < wanted:
            freed += self._resident.popitem()[1]
        self._visits += bool(freed)
        return freed

    def seen_but_gone(self) -> int:
        """Bytes of views that layers still hold although their pages have left, or are seen by another."""
        self._views = [view for view in self._views if view[2]() is not None]
        resident = dict(self._resident)
        return sum(size for place, size, _ in reversed(self._views) if resident.pop(place, None) is None)


UNKNOWN: dict[Any, Callable[[Tensor], Any]] = {
    Tensor.__int__: lambda _: 0,  # how many are NaN?
    Tensor.__bool__: lambda _: True,  # are all finite?
    Tensor.exponential_: lambda tensor: tensor,
}
"""What FakeTensorMode cannot do, as it knows no values and no generators."""


class _WithoutNumbers(TorchFunctionMode):
    """Numbers that are known (a Python number, a table) lose them on their way to the card.

    A parameter moved in place (`.data`, of the small ones between layers) only changes its device. UNKNOWN
    says what is made of values that nobody knows.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = dict(kwargs or {})
        if func is torch.tensor and torch.device(options.get("device") or "cpu") == CARD:
            known = func(*args, **{**options, "device": "cpu"})
            return torch.empty(known.shape, dtype=known.dtype, device=CARD)
        if func is Tensor.new_tensor and args[0].device == CARD:
            return args[0].new_empty(torch.tensor(args[1]).shape)
        if func is Tensor.to and not isinstance(args[0], FakeTensor):
            args = (torch.empty_like(args[0]), *args[1:])
        if func in UNKNOWN and isinstance(args[0], FakeTensor):
            return UNKNOWN[func](args[0])
        if func == Tensor.data.__set__:
            assert args[0].dtype == args[1].dtype and args[0].shape == args[1].shape
            args[0].fake_device = args[1].device
            return None
        return func(*args, **options)


def dynamic_is_known() -> bool:
    """Whether the core at hand loads models dynamically."""
    import comfy.model_patcher

    return hasattr(comfy.model_patcher, "ModelPatcherDynamic")


def insert_card(size: int, dynamic: bool, patch: pytest.MonkeyPatch) -> FakeCard:
    """Until `patch` is undone ComfyUI has this card, and nothing else to compute on."""
    import comfy.model_management as mm

    mm.unload_all_models()
    card = FakeCard(size)

    def free_memory(device: Any = None, torch_free_too: bool = False) -> Any:
        free = card.free if device in (None, CARD) else 1 << 40
        return (free, 0) if torch_free_too else free

    patch.setattr(mm, "get_torch_device", lambda: CARD)
    patch.setattr(mm, "get_free_memory", free_memory)
    patch.setattr(mm, "cpu_state", mm.CPUState.GPU)
    patch.setattr(mm, "vram_state", mm.VRAMState.NORMAL_VRAM)
    patch.setattr(mm, "soft_empty_cache", lambda *_: None)
    patch.setattr(mm, "NUM_STREAMS", 0)
    patch.setattr(mm, "should_use_fp16", lambda *_, **__: True)
    patch.setattr(mm, "should_use_bf16", lambda *_, **__: True)
    patch.setattr(nn.Module, "_apply", _move)
    patch.setattr(Pages, "every", [])
    if dynamic:
        _load_dynamically(card, patch)
    return card


def _move(module: nn.Module, change: Any, recurse: bool = True) -> nn.Module:
    """nn.Module's, which swaps a tensor without numbers for its copy and cannot do that under LiveBytes."""
    for child in module.children() if recurse else ():
        _move(child, change)
    for key, parameter in module._parameters.items():
        if parameter is not None:
            module._parameters[key] = nn.Parameter(change(parameter), requires_grad=False)
    for key, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[key] = change(buffer)
    return module


def _load_dynamically(card: FakeCard, patch: pytest.MonkeyPatch) -> None:
    import comfy.cli_args
    import comfy.memory_management
    import comfy.model_patcher
    import comfy_aimdo.host_buffer
    import comfy_aimdo.model_vbar
    import comfy_aimdo.torch

    class NoBuffer:
        size = 0

        def __init__(self, *_: Any) -> None:
            """Pinned memory is off."""

    library = comfy_aimdo.model_vbar
    patch.setattr(Pages, "card", card, raising=False)
    patch.setattr(comfy.cli_args.args, "disable_pinned_memory", True)
    patch.setattr(comfy.memory_management, "aimdo_enabled", True)
    patch.setattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcherDynamic)
    patch.setattr(comfy_aimdo.host_buffer, "HostBuffer", NoBuffer)
    patch.setattr(library, "ModelVBAR", Pages)
    patch.setattr(library, "vbar_fault", lambda pages: pages[0].fault(*pages[1:]))
    patch.setattr(library, "vbar_signature_compare", lambda one, other: one is not None and one == other)
    patch.setattr(library, "vbar_unpin", lambda _: None)
    patch.setattr(library, "vbars_analyze", lambda _=None: sum(pages.loaded_size() for pages in Pages.every))
    patch.setattr(comfy_aimdo.torch, "aimdo_to_tensor", lambda pages, where: pages[0].view(*pages[1:], where))
