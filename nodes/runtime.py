"""The nodes' interface to ComfyUI: devices, folders, the memory manager, progress and interruption.

Only this module, adapters.py and patchers.py import `comfy` and `folder_paths`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import comfy.model_management as mm
import comfy.model_patcher
import comfy.ops
import comfy.utils
import folder_paths
import torch
from comfy.cli_args import LatentPreviewMethod, args
from comfy.patcher_extension import CallbacksMP
from comfy_execution.utils import get_executing_context
from torch import Tensor, nn

from echogen_core.config import Preset
from echogen_core.dtypes import FP8
from echogen_core.model import EchoGenTransformer, split_phases
from echogen_core.sampling import PrefillCache
from echogen_core.tokenizer import BitTokenizer

from .patchers import PrefillCachePatcher, WholePatcher

logger = logging.getLogger(__name__)

Handler = Callable[[Any], Awaitable[Any]]
"""What answers a request to the server."""

FOLDER = "echogen"
"""The pack's own folder below ComfyUI's models, and its entry in folder_paths."""

SMALL_CAPACITY, LARGE_CAPACITY = 8, 4
"""Branches (up to three per run) in the prefill cache of a small and of a large transformer."""
_LARGE_WIDTH = 1024  # width of a transformer whose prefill takes about a gigabyte per branch
_COMPUTE_DTYPES = (torch.bfloat16, torch.float16, torch.float32)


@dataclass(frozen=True, eq=False)
class Managed:
    """A core module under ComfyUI's memory manager, as the model, tokenizer and encoder wires carry it.

    preset: the model it belongs to, with the sampler's defaults.
    """

    module: Any
    patcher: Any
    preset: Preset

    @property
    def device(self) -> torch.device:
        """The compute device. Weights may be elsewhere, and are moved when a layer needs them."""
        return compute_device(self.patcher)


@dataclass(frozen=True, eq=False)
class ManagedModel(Managed):
    """The transformer, with its prefill cache, which lives as long as the model.

    patcher holds the weights for sampling, prefill_patcher those for the prefill (about half each): on a
    small card ComfyUI loads only those of the current phase. prefill_cache_patcher holds the cache.
    """

    prefill_patcher: Any = field(kw_only=True)
    prefill_cache_patcher: PrefillCachePatcher = field(kw_only=True)
    prefill_cache: PrefillCache = field(kw_only=True)

    def get_models(self) -> list[Any]:
        """All patchers: ComfyUI asks for them to learn which models a prompt uses."""
        return [self.patcher, self.prefill_patcher, self.prefill_cache_patcher]


@dataclass(frozen=True, eq=False)
class ManagedSubjectModel:
    """A model of the subject path, of plain torch.nn layers, under ComfyUI's memory manager."""

    module: Any
    patcher: Any


def operations() -> Any:
    """Layer classes for the memory manager: they move and cast their weights at use."""
    return comfy.ops.manual_cast


class Precision(NamedTuple):
    """Types of a model's weight matrices in memory, and of the computation."""

    weights: torch.dtype
    compute: torch.dtype


def supports_fp8() -> bool:
    """Whether the compute device has float8 tensors at all."""
    return not (mm.mps_mode() or getattr(mm, "directml_enabled", False))


def precision(
    requested: torch.dtype | None = None, parameters: int = 0, stored: torch.dtype | None = None
) -> Precision:
    """Types of the weights and the computation of a large model on this machine.

    requested: type of its matrices. None: as ComfyUI's start options say, else FP8 if they are stored in it,
    else ComfyUI's choice for this number of parameters, bfloat16 before float16.
    stored: their type in the file.
    """
    device = mm.get_torch_device()
    weights = requested or _default_weights(device, parameters, stored)
    if device.type == "cpu":  # for which ComfyUI would only compute in float32
        return Precision(weights, torch.bfloat16 if weights == FP8 else weights)
    return Precision(weights, mm.unet_manual_cast(weights, device, _COMPUTE_DTYPES) or weights)


def _default_weights(device: torch.device, parameters: int, stored: torch.dtype | None) -> torch.dtype:
    usual: torch.dtype = mm.unet_dtype(
        device=device, model_params=parameters, supported_dtypes=list(_COMPUTE_DTYPES)
    )
    forced = any(getattr(args, f"{name}_unet", False) for name in ("fp32", "fp64", "bf16", "fp16"))
    taken = FP8 if usual.itemsize == 1 or (stored == FP8 and supports_fp8() and not forced) else usual
    if taken == FP8 and not supports_fp8():
        taken = torch.bfloat16 if mm.should_use_bf16(device) else torch.float16
    if taken == torch.float64 and device.type == "mps":
        taken = torch.float32
    if taken != usual and stored != FP8:
        logger.warning(
            "Using %s instead of %s, which EchoGen or this device does not support.",
            taken,
            usual,
        )
    return taken


def manage(module: nn.Module, preset: Preset, plain: bool = False) -> Managed:
    """Puts a module, still on the CPU, under the memory manager; it is moved on first use.

    plain: its layers are torch.nn's, not those of `operations`.
    """
    return Managed(module, _patcher(module, plain), preset)


def manage_model(transformer: EchoGenTransformer, preset: Preset) -> ManagedModel:
    """The same for the transformer, split into phases, with a prefill cache."""
    transformer.eval().requires_grad_(False)
    phases = split_phases(transformer)
    patcher, prefill_patcher = _patcher(phases.sampling), _patcher(phases.prefill)
    capacity = LARGE_CAPACITY if preset.transformer.width >= _LARGE_WIDTH else SMALL_CAPACITY
    prefill_cache = PrefillCache(transformer, capacity, compute_device(patcher))
    return ManagedModel(
        transformer,
        patcher,
        preset,
        prefill_patcher=prefill_patcher,
        prefill_cache_patcher=PrefillCachePatcher(prefill_cache, compute_device(patcher)),
        prefill_cache=prefill_cache,
    )


def manage_subject_model(module: nn.Module, on_unload: Callable[[], None]) -> ManagedSubjectModel:
    """Puts a model of the subject path under the memory manager, which calls `on_unload` on unloading."""
    patcher = _patcher(module, plain=True)

    def on_detach(_: Any, unloaded: bool) -> None:
        if unloaded:
            on_unload()

    patcher.add_callback(CallbacksMP.ON_DETACH, on_detach)
    return ManagedSubjectModel(module, patcher)


def _patcher(module: nn.Module, plain: bool = False) -> Any:
    # Newer ComfyUI has a class of its own for dynamic loading, which works with its layer classes only.
    core = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    module.eval().requires_grad_(False)
    return (WholePatcher if plain else core)(
        module, load_device=mm.get_torch_device(), offload_device=mm.unet_offload_device()
    )


def compute_device(patcher: Any) -> torch.device:
    """The compute device of a patcher's module."""
    device: torch.device = patcher.load_device
    return device


def load(*patchers: Any, working_bytes: int = 0) -> None:
    """Loads patchers onto the compute device with `working_bytes` to spare, unloading others if needed."""
    mm.load_models_gpu(list(patchers), memory_required=working_bytes)


def loaded(*managed: Managed | ManagedSubjectModel, working_bytes: int = 0) -> Any:
    """Loads all of them with `working_bytes` to spare, and returns the first one's module."""
    load(*(item.patcher for item in managed), working_bytes=working_bytes)
    return managed[0].module


def offloads(patcher: Any) -> bool:
    """Whether unloading a model frees memory of its compute device."""
    device = compute_device(patcher)
    return device != patcher.offload_device and device.type != "mps"


def available_memory(patcher: Any) -> int:
    """Bytes that a run may take on a model's device once everything that can be offloaded is."""
    device = compute_device(patcher)
    free: int = mm.get_free_memory(device)
    # The entry of a model that was just deleted is None.
    others = [other for other in mm.loaded_models() if other is not None and other.load_device == device]
    offloadable = sum(other.loaded_size() for other in others if offloads(other))
    reserved = 0 if device.type in ("cpu", "mps") else int(mm.extra_reserved_memory())
    return free + offloadable - reserved


def weights_dtype(managed: Managed) -> torch.dtype:
    """Dtype of a module's weights."""
    dtype: torch.dtype = next(managed.module.parameters()).dtype
    return dtype


def previews_enabled() -> bool:
    """Whether the running prompt shows previews: unless it or the server's command line disables them.

    NoPreviews as ComfyUI's default does not disable them: ours need no preview model.
    """
    method = _running_prompt_options().get("preview_method")
    if method in [each.value for each in LatentPreviewMethod]:
        return bool(method != LatentPreviewMethod.NoPreviews.value)
    by_option = any(word.partition("=")[0].startswith("--preview-m") for word in sys.argv)
    return not (by_option and args.preview_method == LatentPreviewMethod.NoPreviews)


def _running_prompt_options() -> dict[str, Any]:
    """The extra data of the running prompt; empty without a server."""
    queue = getattr(prompt_server(), "prompt_queue", None)
    running = queue.get_current_queue_volatile()[0] if queue is not None else []
    return dict(running[0][3]) if running else {}  # (number, id, prompt, options, …); one runs at a time


Interrupted = mm.InterruptProcessingException
"""Raised by the model's layers and the progress bar when the artist cancels."""


def check_interrupted() -> None:
    """Raises Interrupted if the artist has cancelled; for work without such layers and progress."""
    mm.throw_exception_if_processing_interrupted()


def interrupt_prompt() -> None:
    """Stops the prompt after the current node, for a node that was cancelled but has a partial result."""
    mm.interrupt_current_processing()


def running_node() -> str:
    """Id of the node whose `execute` or fingerprint is running; '' outside a prompt."""
    context = get_executing_context()
    return "" if context is None else str(context.node_id)


def prompt_server() -> Any:
    """ComfyUI's server, None without one."""
    # Looked up, not imported: the import would load ComfyUI's front end management.
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)


def add_middleware(function: Callable[[Any, Handler], Awaitable[Any]]) -> None:
    """Passes the server's requests and answers through a function from now on, if there is a server.

    The function is called with a request and with what answers it.
    """
    server = prompt_server()
    if server is not None:
        from aiohttp import web  # which changes the filters of warnings, and comes with a server

        server.app.middlewares.append(web.middleware(function))


def is_output(kind: str) -> bool:
    """Whether that class of node is registered, as an output node."""
    return getattr(_known_nodes().get(kind), "OUTPUT_NODE", False) is True


def is_lazy(kind: str, name: str) -> bool:
    """Whether that input of that class of node is lazy, as those of a switch are."""
    inputs = _known_nodes()[kind].INPUT_TYPES() if kind in _known_nodes() else {}
    options = [group[name][1:] for group in inputs.values() if name in group]
    return any(bool(each and each[0].get("lazy")) for each in options)


def _known_nodes() -> dict[str, Any]:
    """All registered nodes: class_type -> class."""
    known: dict[str, Any] = getattr(sys.modules.get("nodes"), "NODE_CLASS_MAPPINGS", {})
    return known


def send_event(event: str, data: dict[str, Any]) -> None:
    """Sends an event to the client that queued the running prompt; does nothing without a server."""
    server = prompt_server()
    if server is not None:
        server.send_sync(event, data, server.client_id)


def decode(tokenizer: Managed, codes_BDHW: Tensor) -> Tensor:
    """Pictures [B, 3, H, W] on the CPU, decoded one by one; the tokenizer must be loaded."""
    module: BitTokenizer = tokenizer.module
    return torch.cat([picture.cpu() for picture in module.decode_each(codes_BDHW.to(tokenizer.device))])


def progress_bar(steps: int) -> Any:
    """ComfyUI's progress bar; its updates, one after each step, raise when the run is interrupted."""
    return comfy.utils.ProgressBar(steps)


def register_folders() -> None:
    """Registers models/echogen with ComfyUI."""
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))


def folders(kind: str) -> list[Path]:
    """ComfyUI's folders for files of a kind."""
    return [Path(folder) for folder in folder_paths.get_folder_paths(kind)]


def any_folders(kinds: Iterable[str]) -> list[Path]:
    """Folders for kinds that ComfyUI may not know: the configured ones, then models/<kind>."""
    known = folder_paths.folder_names_and_paths
    found = [
        Path(folder)
        for kind in kinds
        for folder in (
            *(known[kind][0] if kind in known else ()),
            os.path.join(folder_paths.models_dir, kind),
        )
    ]
    return list(dict.fromkeys(found))
