"""What the nodes ask of ComfyUI: devices, folders, the memory manager, progress and interruption.

With adapters.py and patchers.py the only place that imports `comfy` and `folder_paths`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable
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
from echogen_core.model import EchoGenTransformer, split_phases
from echogen_core.model.functional import FP8
from echogen_core.sampling import PrefillCache, ScaleStep
from echogen_core.tokenizer import BitTokenizer
from echogen_core.tokenizer.bsq import enlarge

from .adapters import contact_sheet
from .patchers import PrefillPatcher, WholePatcher

logger = logging.getLogger(__name__)

FOLDER = "echogen"
"""Name of the pack's own folder under ComfyUI's models, and of its entry in folder_paths."""

SMALL_CAPACITY, LARGE_CAPACITY = 8, 4
"""Branches (conditions of one run: up to three) whose prefill is kept."""
_LARGE_WIDTH = 1024  # transformer width from which one branch's prefill takes about a gigabyte
DECODED_AT_ONCE = 1 << 20  # pixels
_COMPUTED = (torch.bfloat16, torch.float16, torch.float32)
_PREVIEW_TOKENS = 32  # a side; a large picture in full at every scale would double the time


@dataclass(frozen=True, eq=False)
class Managed:
    """A core module under ComfyUI's memory manager: what travels on the model and encoder wires.

    preset: what belongs to it; defaults of the sampler come from here.
    """

    module: Any
    patcher: Any
    preset: Preset

    @property
    def device(self) -> torch.device:
        """Where it computes. Its weights may lie elsewhere, and come when a layer needs them."""
        return compute_device(self.patcher)


@dataclass(frozen=True, eq=False)
class ManagedModel(Managed):
    """The transformer, with what it has computed about subjects and prompts.

    The cache lives and dies with the model; ComfyUI keeps the features of unchanged nodes, so their identity,
    by which the cache knows them, is stable from run to run.
    patcher has the weights that sampling uses, prefill_patcher those of the prefill (about half each): on a
    small card ComfyUI keeps only those of the phase at hand. prefills_patcher has what was computed.
    """

    prefill_patcher: Any = field(kw_only=True)
    prefills_patcher: PrefillPatcher = field(kw_only=True)
    prefills: PrefillCache = field(kw_only=True)

    def get_models(self) -> list[Any]:
        """All patchers, for ComfyUI, which asks what a prompt uses."""
        return [self.patcher, self.prefill_patcher, self.prefills_patcher]


@dataclass(frozen=True, eq=False)
class ManagedTool:
    """A model of the subject path under the memory manager; its layers are plain torch.nn ones."""

    module: Any
    patcher: Any


def operations() -> Any:
    """Layer classes that follow the memory manager: weights move and change type at use."""
    return comfy.ops.manual_cast


class Precision(NamedTuple):
    """Types of a model's matrices in memory, and of what they are multiplied with."""

    weights: torch.dtype
    compute: torch.dtype


def keeps_fp8() -> bool:
    """Whether the compute device knows float8 at all."""
    return not (mm.mps_mode() or getattr(mm, "directml_enabled", False))


def precision(
    wanted: torch.dtype | None = None, parameters: int = 0, stored: torch.dtype | None = None
) -> Precision:
    """How a large model of so many parameters is held and computed on this machine.

    wanted: type of its matrices; None: what ComfyUI's start options ask for, else FP8 where they are stored
    so, else what ComfyUI would take, bfloat16 before float16.
    """
    device = mm.get_torch_device()
    weights = wanted or _usual_weights(device, parameters, stored)
    if device.type == "cpu":  # where ComfyUI knows float32 alone
        return Precision(weights, torch.bfloat16 if weights == FP8 else weights)
    return Precision(weights, mm.unet_manual_cast(weights, device, _COMPUTED) or weights)


def _usual_weights(device: torch.device, parameters: int, stored: torch.dtype | None) -> torch.dtype:
    usual: torch.dtype = mm.unet_dtype(
        device=device, model_params=parameters, supported_dtypes=list(_COMPUTED)
    )
    forced = any(getattr(args, f"{name}_unet", False) for name in ("fp32", "fp64", "bf16", "fp16"))
    taken = FP8 if usual.itemsize == 1 or (stored == FP8 and keeps_fp8() and not forced) else usual
    if taken == FP8 and not keeps_fp8():
        taken = torch.bfloat16 if mm.should_use_bf16(device) else torch.float16
    if taken == torch.float64 and device.type == "mps":
        taken = torch.float32
    if taken != usual and stored != FP8:
        logger.warning(
            "%s in the place of %s: EchoGen has no such weights, or this device no such numbers.",
            taken,
            usual,
        )
    return taken


def manage(module: nn.Module, preset: Preset, plain: bool = False) -> Managed:
    """Hands a module, on the CPU, to the memory manager. Nothing is moved before it is used.

    plain: its layers are torch.nn's, not those of `operations`.
    """
    return Managed(module, _patcher(module, plain), preset)


def manage_model(transformer: EchoGenTransformer, preset: Preset) -> ManagedModel:
    """The same for the transformer, by phases, and for its prefills."""
    transformer.eval().requires_grad_(False)
    phases = split_phases(transformer)
    patcher, prefill_patcher = _patcher(phases.sampling), _patcher(phases.prefill)
    capacity = LARGE_CAPACITY if preset.transformer.width >= _LARGE_WIDTH else SMALL_CAPACITY
    prefills = PrefillCache(transformer, capacity, compute_device(patcher))
    return ManagedModel(
        transformer,
        patcher,
        preset,
        prefill_patcher=prefill_patcher,
        prefills_patcher=PrefillPatcher(prefills, compute_device(patcher)),
        prefills=prefills,
    )


def manage_tool(module: nn.Module, on_unload: Callable[[], None]) -> ManagedTool:
    """Hands a model of the subject path to the memory manager; `on_unload` is called when it is unloaded."""
    patcher = _patcher(module, plain=True)

    def on_detach(_: Any, unloaded: bool) -> None:
        if unloaded:
            on_unload()

    patcher.add_callback(CallbacksMP.ON_DETACH, on_detach)
    return ManagedTool(module, patcher)


def _patcher(module: nn.Module, plain: bool = False) -> Any:
    # Newer ComfyUI builds its dynamic loading on a class of its own, which is for its layers alone.
    core = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    module.eval().requires_grad_(False)
    return (WholePatcher if plain else core)(
        module, load_device=mm.get_torch_device(), offload_device=mm.unet_offload_device()
    )


def compute_device(patcher: Any) -> torch.device:
    """Where a patcher's module computes."""
    device: torch.device = patcher.load_device
    return device


def load(*patchers: Any, working_bytes: int = 0) -> None:
    """Brings what patchers hold to the compute device, with `working_bytes` to spare; others make room."""
    mm.load_models_gpu(list(patchers), memory_required=working_bytes)


def loaded(*managed: Managed | ManagedTool, working_bytes: int = 0) -> Any:
    """The first one's module, when all of them are where they compute, with `working_bytes` to spare."""
    load(*(item.patcher for item in managed), working_bytes=working_bytes)
    return managed[0].module


def offloads(patcher: Any) -> bool:
    """Whether unloading a model frees the memory that it computes in."""
    device = compute_device(patcher)
    return device != patcher.offload_device and device.type != "mps"


def room(patcher: Any) -> int:
    """Bytes that a run may take on a model's device when everything that can leave it has left."""
    device = compute_device(patcher)
    free: int = mm.get_free_memory(device)
    # The entry of a model that has just ended is empty.
    others = [other for other in mm.loaded_models() if other is not None and other.load_device == device]
    leaving = sum(other.loaded_size() for other in others if offloads(other))
    reserved = 0 if device.type in ("cpu", "mps") else int(mm.extra_reserved_memory())
    return free + leaving - reserved


def weights_dtype(managed: Managed) -> torch.dtype:
    """Type of a module's weights."""
    dtype: torch.dtype = next(managed.module.parameters()).dtype
    return dtype


class ScaleProgress:
    """One step of ComfyUI's progress bar per scale, with the picture so far when there is a tokenizer."""

    def __init__(self, scales: int, tokenizer: Managed | None) -> None:
        # Made inside `execute`: the bar takes hold of the running prompt here, and raises when interrupted.
        self._bar = comfy.utils.ProgressBar(scales)
        self._tokenizer = tokenizer

    def report(self, step: ScaleStep) -> None:
        """Call after each scale. The last picture shown is the finished one (a grid for a batch)."""
        preview = None
        if self._tokenizer is not None:
            codes_BdHW = step.codes_BdHW if step.last else _reduced(step.codes_BdHW)
            sheet = contact_sheet(decode(self._tokenizer, codes_BdHW))
            preview = ("JPEG", sheet, None)  # without a size, or small pictures would be enlarged
        self._bar.update_absolute(step.index + 1, step.total, preview)


def previews_wanted() -> bool:
    """Whether the running prompt is to show pictures on the way: unless it, or the server's start, said no.

    None is also what ComfyUI starts with when nobody said anything: that is no refusal, our previews need no
    model of their own.
    """
    asked = _running_prompt_options().get("preview_method")
    if asked in [method.value for method in LatentPreviewMethod]:
        return bool(asked != LatentPreviewMethod.NoPreviews.value)
    said = any(word.partition("=")[0].startswith("--preview-m") for word in sys.argv)
    return not (said and args.preview_method == LatentPreviewMethod.NoPreviews)


def _running_prompt_options() -> dict[str, Any]:
    """What came along with the prompt that is running; empty without a server."""
    queue = getattr(prompt_server(), "prompt_queue", None)
    running = queue.get_current_queue_volatile()[0] if queue is not None else []
    return dict(running[0][3]) if running else {}  # (number, id, prompt, options, …); one runs at a time


Interrupted = mm.InterruptProcessingException
"""Raised by the model, and by progress, when the artist cancels."""


def check_interrupted() -> None:
    """Raises Interrupted when the artist has cancelled; for work that nothing else looks after."""
    mm.throw_exception_if_processing_interrupted()


def stop_what_follows() -> None:
    """For a node that was cancelled and still has something to hand on: the nodes behind it do not run."""
    mm.interrupt_current_processing()


def running_node() -> str:
    """Id of the node whose `execute` or fingerprint is asked; '' outside a run."""
    context = get_executing_context()
    return "" if context is None else str(context.node_id)


def prompt_server() -> Any:
    """ComfyUI's server, None without one."""
    # Looked up rather than imported: it brings its whole front end management along.
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)


def is_output(kind: str) -> bool:
    """Whether ComfyUI knows that kind of node, and runs such nodes for themselves."""
    return getattr(_known_nodes().get(kind), "OUTPUT_NODE", False) is True


def is_lazy(kind: str, name: str) -> bool:
    """Whether that kind of node asks for that input only when it wants it, as a switch does."""
    inputs = _known_nodes()[kind].INPUT_TYPES() if kind in _known_nodes() else {}
    options = [group[name][1:] for group in inputs.values() if name in group]
    return any(bool(each and each[0].get("lazy")) for each in options)


def _known_nodes() -> dict[str, Any]:
    """Every kind of node, of ComfyUI's own and of all packs."""
    known: dict[str, Any] = getattr(sys.modules.get("nodes"), "NODE_CLASS_MAPPINGS", {})
    return known


def tell_front_end(event: str, data: dict[str, Any]) -> None:
    """Sends an event to the browser that asked for the running prompt; nothing without a server."""
    running = prompt_server()
    if running is not None:
        running.send_sync(event, data, running.client_id)


def _reduced(codes_BDHW: Tensor) -> Tensor:
    """Codes for a preview: at most _PREVIEW_TOKENS a side, as the transformer itself sees smaller scales."""
    height, width = codes_BDHW.shape[-2:]
    share = min(1.0, _PREVIEW_TOKENS / max(height, width))
    return enlarge(codes_BDHW, (max(1, round(height * share)), max(1, round(width * share))))


def decode(tokenizer: Managed, codes_BDHW: Tensor) -> Tensor:
    """Pictures [B, 3, H, W] on the CPU, about a megapixel at a time; the tokenizer is loaded already."""
    module: BitTokenizer = tokenizer.module
    patch = module.config.patch
    pixels = codes_BDHW.shape[-2] * codes_BDHW.shape[-1] * patch**2
    parts = codes_BDHW.to(tokenizer.device).split(max(1, DECODED_AT_ONCE // pixels))
    return torch.cat([module.decode(part).cpu() for part in parts])


def progress_bar(steps: int) -> Any:
    """ComfyUI's progress bar: `update(1)` after each step, which raises when the run is interrupted."""
    return comfy.utils.ProgressBar(steps)


def register_folders() -> None:
    """Tells ComfyUI about models/echogen."""
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))


def folders(kind: str) -> list[Path]:
    """ComfyUI's folders for files of a kind."""
    return [Path(folder) for folder in folder_paths.get_folder_paths(kind)]


def any_folders(kinds: Iterable[str]) -> list[Path]:
    """Folders for files of kinds that ComfyUI itself may not know: those set up, then models/<kind>."""
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
