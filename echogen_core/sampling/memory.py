"""What a run takes in bytes: weights by phase, keys and values, and the widest moment of the layers.

The tests compare it with measured peaks; kernels' own workspace (tens of megabytes on a GPU) is not in it.
Letters: N pictures of all branches, L tokens of a scale, C width, H hidden, S content tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import nn

from ..config import TokenizerConfig, TransformerConfig
from ..dtypes import FP8
from ..model import EchoGenTransformer, split_phases
from ..model.attention import SCORES_AT_ONCE
from ..scales import BUDGETS, ScaleSchedule, find_schedule

GIGABYTE = 10**9
_FLOAT = 4  # bytes of float32, which the residual stream and all norms are in


class Weights(NamedTuple):
    """Bytes: of everything, of the two phases, and of the largest layer."""

    all: int
    prefill: int
    sampling: int
    largest: int


@dataclass(frozen=True)
class Run:
    """What the memory of a run depends on.

    branches: computed ones, 1 to 3 (equal γ_t and γ_I need two), and up to 3 more for each region. dtype: of
    the matrices. compute_dtype: of what they are multiplied with (None: as the matrices, bfloat16 for
    float8). cache_dtype: of the stored keys and values (None: as computed). prompt_tokens: of the longest
    prompt. views: most reference pictures of a subject. subjects: of the run and its regions together.
    """

    schedule: ScaleSchedule
    pictures: int = 1
    branches: int = 2
    dtype: torch.dtype = torch.bfloat16
    compute_dtype: torch.dtype | None = None
    cache_dtype: torch.dtype | None = None
    prompt_tokens: int = 64
    views: int = 1
    subjects: int = 1


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of a run.

    conditions: keys and values of prompt and subject, of all branches. kv_cache: those of the picture.
    prefill_work, sampling_work: the most that the layers of a phase take at once besides.
    """

    weights: Weights
    conditions: int
    kv_cache: int
    prefill_work: int
    sampling_work: int

    @property
    def prefill(self) -> int:
        """Needed besides the weights while subject and prompt are computed."""
        return self.conditions + self.prefill_work

    @property
    def sampling(self) -> int:
        """Needed besides the weights while the picture is drawn."""
        return self.conditions + self.kv_cache + self.sampling_work

    @property
    def resident(self) -> int:
        """Peak with all weights on the device."""
        return self.weights.all + max(self.prefill, self.sampling)

    @property
    def two_phase(self) -> int:
        """Peak with the weights of one phase at a time on the device."""
        return max(self.weights.prefill + self.prefill, self.weights.sampling + self.sampling)

    @property
    def streamed(self) -> int:
        """Peak with every layer brought to the device for its use: the least that a run can do with."""
        return 2 * self.weights.largest + max(self.prefill, self.sampling)


def estimate_memory(config: TransformerConfig, run: Run) -> MemoryEstimate:
    """Bytes that a run of a transformer takes, to about a tenth."""
    # float8 matrices are multiplied in bfloat16
    size = (
        run.compute_dtype.itemsize if run.compute_dtype else max(run.dtype.itemsize, torch.bfloat16.itemsize)
    )
    cached = size if run.cache_dtype is None else run.cache_dtype.itemsize
    c, depth, prefix = config.width, config.depth, int(config.subject)
    content = config.content_length * prefix
    patches = (config.semantic_length - 1) * prefix
    # a subject's own views are in its full branch; the others have the learned nulls
    views = [run.views if number < run.subjects else 1 for number in range(run.branches)]
    branches = [run.prompt_tokens + n * (content + patches) for n in views]
    layer = 2 * cached * c  # a token's key and value in one layer
    grids = [h * w for h, w in run.schedule.scales]
    cached_tokens = depth * (sum(grids[:-1]) + prefix) + grids[-1]
    cast = size * c * config.hidden if run.dtype.itemsize != size else 0
    # held on a CPU before and after the softmax
    scores = 2 * size * SCORES_AT_ONCE if size == torch.bfloat16.itemsize else 0
    conditions = layer * depth * sum(branches)
    # the widest moment is in the last layer but one: of the full branch, or of the last with all others there
    first = _prefill_work(config, size, content * run.views) + layer * (depth - 1) * branches[0]
    last = _prefill_work(config, size, content) + conditions - layer * branches[-1]
    return MemoryEstimate(
        weights=transformer_weights(config, run.dtype),
        conditions=conditions,
        kv_cache=layer * run.branches * run.pictures * cached_tokens,
        prefill_work=cast + max(first, last) - conditions,
        sampling_work=cast + scores + _sampling_work(config, run, size, grids[-1], sum(grids) + prefix),
    )


def _prefill_work(config: TransformerConfig, size: int, content: int) -> int:
    """One branch: the content stream before and after, normed twice, and the feed-forward layer."""
    return content * (config.width * (2 * _FLOAT + 2 * size) + 2 * size * config.hidden)


def _sampling_work(config: TransformerConfig, run: Run, size: int, last: int, tokens: int) -> int:
    """The last scale: its input twice and the residual stream; then the wider one of two moments."""
    c, rows = config.width, run.branches * run.pictures
    stream = _FLOAT * c * last * (2 * rows + run.pictures)
    feed_forward = rows * last * (c * (_FLOAT + size) + 2 * size * config.hidden)
    # normed input, queries, keys and values; queries and keys in float32 before and after the rotation
    rotation = rows * last * c * (4 * size + 4 * _FLOAT)
    recast = (
        0 if run.cache_dtype is None else 2 * size * c * run.pictures * max(tokens, config.content_length)
    )
    return stream + max(feed_forward, rotation, rows * last * c * 5 * size + recast)


@lru_cache(maxsize=32)
def transformer_weights(config: TransformerConfig, dtype: torch.dtype) -> Weights:
    """Bytes of a transformer's weights with its matrices in `dtype`."""
    model = EchoGenTransformer(config, dtype=dtype, device="meta")
    prefill, sampling = map(module_bytes, split_phases(model))
    leaves = (module for module in model.modules() if not list(module.children()))
    return Weights(module_bytes(model), prefill, sampling, max(map(module_bytes, leaves)))


def module_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters."""
    return sum(p.numel() * p.element_size() for p in module.parameters())


def decoding_bytes(config: TokenizerConfig, pixels: int, dtype: torch.dtype) -> int:
    """Needed besides the weights to decode pictures of that many pixels together, as they are encoded.

    Two blocks at full resolution come near: the first, with its input and a normed copy at the coarser width,
    another and its output at the finer; and the second, with that same input still, and four at the finer.
    Where many pixels are unshuffled into few channels, the finished pictures are larger: twice, in float32.
    Super-resolution holds as much as six of its pictures.
    """
    fine, coarse = (config.base_channels * m for m in config.channel_multipliers[:2])
    widest = max(2 * fine + 2 * coarse, 4 * fine + coarse)
    at_encoded_size = max(pixels // config.unshuffle**2 * dtype.itemsize * widest, 2 * 3 * 4 * pixels)
    if config.super_resolution == 1:
        return at_encoded_size
    return max(at_encoded_size, 6 * 3 * dtype.itemsize * pixels * config.super_resolution**2)


def smallest_change(config: TransformerConfig, run: Run, available: int, fp8: bool = True) -> str:
    """What to change so that a run fits into `available` bytes, the least first; in the sampler's words.

    fp8: whether the device can store keys and values in it.
    """
    packed = replace(run, cache_dtype=FP8) if fp8 else run
    single, and_packed = replace(packed, pictures=1), " and KV cache to fp8" if fp8 else ""
    options = [("set KV cache to fp8", packed)] if fp8 and run.cache_dtype is None else []
    options += [(f"set batch size to {n}", replace(run, pictures=n)) for n in range(run.pictures - 1, 0, -1)]
    options.append((f"set batch size to 1{and_packed}", single))
    for budget in reversed([budget for budget in BUDGETS if budget != "nano"]):
        schedule = find_schedule(budget, run.schedule.aspect_ratio)
        if schedule.tokens < run.schedule.tokens:
            smaller = replace(single, schedule=schedule)
            others = ", batch size to 1 and KV cache to fp8" if fp8 else " and batch size to 1"
            options.append((f"set size to {budget}{others}", smaller))
    for words, changed in options:
        if estimate_memory(config, changed).streamed <= available:
            return words
    return "close other programs that use this memory, or load a smaller model"
