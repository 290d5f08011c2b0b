"""What a processor and a card measure differently: time, the peak of memory, and waiting for the device."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from live_bytes import NOWHERE, LiveBytes
from random_models import random_transformer
from torch.utils._python_dispatch import TorchDispatchMode

from echogen_core.config import TransformerConfig
from echogen_core.evaluation.latency import machine
from echogen_core.model import EchoGenTransformer

Work = Callable[[EchoGenTransformer], object]


class Processor:
    """Seconds are those of the processor, which other programs lengthen least."""

    device = torch.device("cpu")

    @property
    def name(self) -> str:
        """With what else the seconds depend on."""
        return f"{machine(self.device)}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"

    def now(self) -> float:
        """Seconds."""
        return time.process_time()

    def peak_bytes(self, config: TransformerConfig, dtype: torch.dtype, work: Work) -> int:
        """The most that `work` with such a model takes, weights included.

        Counted tensor by tensor without computing, so that every size fits; a kernel's own room isn't seen.
        """
        model = EchoGenTransformer(config, dtype=dtype, device=NOWHERE).eval().requires_grad_(False)
        with LiveBytes(model, device=NOWHERE) as counted:
            work(model)
        return counted.peak

    def waits(self, work: Callable[[], object]) -> int:
        """How often `work` asks for a tensor's values. The sampler asks less often on a card."""
        with _ValuesAsked() as asked:
            work()
        return asked.count


class Card(Processor):
    """A CUDA device: time passes on it as well as on the processor."""

    device = torch.device("cuda")

    def now(self) -> float:
        """Seconds; whatever has been started is finished."""
        torch.cuda.synchronize()
        return time.perf_counter()

    def peak_bytes(self, config: TransformerConfig, dtype: torch.dtype, work: Work) -> int:
        """The allocator's own peak."""
        model = random_transformer(config, dtype, device=self.device)
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        work(model)
        return int(torch.cuda.max_memory_allocated())

    def waits(self, work: Callable[[], object]) -> int:
        """Synchronising operations that torch warns of."""
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return sum("synchronizing CUDA operation" in str(warning.message) for warning in warned)


class _ValuesAsked(TorchDispatchMode):
    """Counts them."""

    _ASKING = (
        torch.ops.aten.is_nonzero.default,
        torch.ops.aten._local_scalar_dense.default,
        torch.ops.aten.nonzero.default,
        torch.ops.aten.equal.default,
    )

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self.count += func in self._ASKING
        return func(*args, **(kwargs or {}))


def find_device(name: str) -> Processor:
    """cpu or cuda. Raises ValueError where torch has no such device."""
    if name == "cpu":
        return Processor()
    if not torch.cuda.is_available():
        raise ValueError("torch finds no CUDA device here: --device cpu, or a torch built for your card.")
    return Card()
