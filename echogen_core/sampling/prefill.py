"""Prefill: what the branches of a run share with other runs, computed once and cached.

The full branch depends on subject and prompt, the text-only branch on the prompt, and the unconditional
branch only on the prompt's token count (the null prompt has the same length, official behaviour), or on a
negative prompt in its place. None depends on guidance weights, tau or seed, so tuning those costs no prefill.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..features import ContentFeatures, SemanticFeatures, TextFeatures
from ..model import BranchCache, EchoGenTransformer
from .guidance import Guidance

NO_PROMPT_TOKENS = 32
"""Length of the null prompt when there is no prompt to take it from."""


@dataclass(frozen=True, eq=False)
class SkippedBranch:
    """Stands for a branch whose weight is zero at every scale, and which was therefore not computed."""


@dataclass(frozen=True)
class Branches:
    """The three branches of the guidance formula; the same object twice where conditions coincide."""

    full: BranchCache | SkippedBranch
    text: BranchCache | SkippedBranch
    null: BranchCache | SkippedBranch

    def merged_weights(
        self, weights: tuple[float, float, float]
    ) -> list[tuple[BranchCache | SkippedBranch, float]]:
        """Distinct branches with their summed weights, in the formula's order; zero weights included."""
        merged: list[tuple[BranchCache | SkippedBranch, float]] = []
        for branch, weight in zip((self.full, self.text, self.null), weights, strict=True):
            for i, (known, sofar) in enumerate(merged):
                if known is branch:
                    merged[i] = (known, sofar + weight)
                    break
            else:
                merged.append((branch, weight))
        return merged


class RunConditions(NamedTuple):
    """What the branches of a run depend on.

    text, semantic, content: None where a path is off. guidance: only the branches that it needs are computed
    (None: all three). cache_dtype: type that keys and values are stored in (None: as computed). negative: a
    prompt to steer away from, which takes the null text's place in l(Φ) (None: the learned null text).
    """

    text: TextFeatures | None
    semantic: SemanticFeatures | None
    content: ContentFeatures | None
    guidance: Guidance | None = None
    cache_dtype: torch.dtype | None = None
    negative: TextFeatures | None = None


class _BranchInputs(NamedTuple):
    """Conditions of one branch; null_length: tokens of its null prompt."""

    text: TextFeatures | None
    semantic: SemanticFeatures | None
    content: ContentFeatures | None
    null_length: int
    cache_dtype: torch.dtype | None

    @property
    def key(self) -> Hashable:
        """For the cache; a null prompt counts by its length."""
        text, semantic, content = (None if part is None else part.key for part in self[:3])
        return text or self.null_length, semantic, content, self.cache_dtype


class PrefillCache:
    """Branch caches of one model, least recently used ones dropped first.

    Features are recognised by their key, over every field.
    """

    def __init__(
        self, model: EchoGenTransformer, capacity: int = 6, device: torch.device | str | None = None
    ) -> None:
        """capacity: branches held, up to three a run. device: where to compute (default: as the model)."""
        if capacity < 3:
            raise ValueError(
                f"A run needs up to three branches: expected a capacity of at least 3, got {capacity}."
            )
        self._model = model
        self._capacity = self._room = capacity
        self._device = device
        self._branches: OrderedDict[Hashable, BranchCache] = OrderedDict()
        self.computed = 0  # prefills done so far, for tests and logs

    def branches(
        self,
        text: TextFeatures | None,
        semantic: SemanticFeatures | None,
        content: ContentFeatures | None,
        guidance: Guidance | None = None,
        cache_dtype: torch.dtype | None = None,
        negative: TextFeatures | None = None,
    ) -> Branches:
        """The branches of a run (see RunConditions).

        Absent conditions fall back to the learned nulls, so branches may coincide.
        Raises ValueError when features do not fit the model.
        """
        return self.prefill([RunConditions(text, semantic, content, guidance, cache_dtype, negative)])[0]

    def prefill(self, runs: Sequence[RunConditions]) -> list[Branches]:
        """The branches of runs that go together: a picture's main conditions and its regions'.

        What they share is the same object. All stay in the cache, beyond its capacity if there are so many.
        Raises ValueError when features do not fit the model.
        """
        needed = self._needed(*runs)
        for key in needed:
            if key in self._branches:
                self._branches.move_to_end(key)  # before another one is dropped for room
        self._room = max(self._capacity, len(needed))
        slots: dict[Hashable, BranchCache | SkippedBranch] = {}
        prefilled = []
        for run in runs:
            inputs = self._inputs(run)
            for branch in inputs:
                if branch.key in needed and branch.key not in slots:
                    slots[branch.key] = self._branch(branch.key, branch)
            prefilled.append(Branches(*(slots.setdefault(each.key, SkippedBranch()) for each in inputs)))
        return prefilled

    def branches_needed(self, *runs: RunConditions) -> int:
        """How many branches runs compute with: 1 to 3, and up to 3 more for every further one."""
        return len(self._needed(*runs))

    def branches_to_compute(self, *runs: RunConditions) -> int:
        """How many of them are not in the cache."""
        return sum(key not in self._branches for key in self._needed(*runs))

    def keep_only(self, *runs: RunConditions) -> None:
        """Drops every branch that these runs do not need, for their memory."""
        needed = self._needed(*runs)
        for key in [key for key in self._branches if key not in needed]:
            del self._branches[key]

    def clear(self) -> None:
        """Drops everything (the model moved, or its memory is needed)."""
        self._branches.clear()

    def free(self, nbytes: int) -> int:
        """Drops the least recently used branches until `nbytes` are free, or all; returns the bytes freed."""
        freed = 0
        while self._branches and freed < nbytes:
            freed += self._branches.popitem(last=False)[1].nbytes
        return freed

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values held."""
        return sum(branch.nbytes for branch in self._branches.values())

    def _inputs(self, run: RunConditions) -> tuple[_BranchInputs, _BranchInputs, _BranchInputs]:
        """Full, text-only and unconditional branch."""
        text, semantic, content, _, cache_dtype, negative = run
        if text is None:
            length = min(NO_PROMPT_TOKENS, self._model.config.text_length)
        else:
            length = text.tokens_LC.shape[0]
        return (
            _BranchInputs(text, semantic, content, length, cache_dtype),
            _BranchInputs(text, None, None, length, cache_dtype),
            _BranchInputs(negative, None, None, length, cache_dtype),
        )

    def _needed(self, *runs: RunConditions) -> list[Hashable]:
        of_each = (_needed([branch.key for branch in self._inputs(run)], run.guidance) for run in runs)
        return list(dict.fromkeys(key for keys in of_each for key in keys))

    def _branch(self, key: Hashable, inputs: _BranchInputs) -> BranchCache:
        if key not in self._branches:
            while len(self._branches) >= self._room:
                self._branches.popitem(last=False)
            device = self._model.null_text.device if self._device is None else self._device
            text, semantic, content, length, cache_dtype = inputs
            with torch.inference_mode():
                conditions = self._model.conditions(text, semantic, content, length, device)
                self._branches[key] = self._model.prefill(conditions, cache_dtype)
            self.computed += 1
        self._branches.move_to_end(key)
        return self._branches[key]


def _needed(keys: Sequence[Hashable], guidance: Guidance | None) -> list[Hashable]:
    """The distinct keys of branches that weigh something at any scale, in the formula's order."""
    distinct = list(dict.fromkeys(keys))
    if guidance is None:
        return distinct
    marks = {key: SkippedBranch() for key in distinct}
    marked = Branches(*(marks[key] for key in keys))
    weights = [guidance.weights(scale) for scale in range(len(guidance.gamma_t))]
    used = {branch for w in weights for branch, weight in marked.merged_weights(w) if weight != 0}
    return [key for key in distinct if marks[key] in used]
