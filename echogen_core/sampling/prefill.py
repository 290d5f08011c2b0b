"""Prefill: what the branches of a run share with other runs, computed once and kept while it is useful.

The full branch depends on subject and prompt, the text-only branch on the prompt, and the unconditional
branch only on the prompt's token count (the null prompt has the same length, official behaviour). None
depends on guidance weights, tau or seed, so tuning those costs no prefill at all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..features import ContentFeatures, SemanticFeatures, TextFeatures
from ..model import BranchCache, EchoGenTransformer
from .guidance import Guidance

NO_PROMPT_TOKENS = 32
"""Length of the null prompt when there is no prompt to take it from."""


@dataclass(frozen=True, eq=False)
class Unneeded:
    """Stands for a branch whose weight is zero at every scale, and which was therefore not computed."""


@dataclass(frozen=True)
class Branches:
    """The three branches of the guidance formula; the same object twice where conditions coincide."""

    full: BranchCache | Unneeded
    text: BranchCache | Unneeded
    null: BranchCache | Unneeded

    def merged_weights(
        self, weights: tuple[float, float, float]
    ) -> list[tuple[BranchCache | Unneeded, float]]:
        """Distinct branches with their summed weights, in the formula's order; zero weights included."""
        merged: list[tuple[BranchCache | Unneeded, float]] = []
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
    (None: all three). kept: type of the remembered keys and values (None: as computed).
    """

    text: TextFeatures | None
    semantic: SemanticFeatures | None
    content: ContentFeatures | None
    guidance: Guidance | None = None
    kept: torch.dtype | None = None


class _Inputs(NamedTuple):
    """Conditions of one branch; null_length: tokens of its null prompt."""

    text: TextFeatures | None
    semantic: SemanticFeatures | None
    content: ContentFeatures | None
    null_length: int
    kept: torch.dtype | None

    @property
    def key(self) -> Hashable:
        text = ("null", self.null_length) if self.text is None else id(self.text)
        return text, _identity(self.semantic), _identity(self.content), self.kept


class PrefillCache:
    """Branch caches of one model, least recently used ones dropped first.

    Features are recognised by identity: the same TextFeatures object means the same prompt.
    """

    def __init__(
        self, model: EchoGenTransformer, capacity: int = 6, device: torch.device | str | None = None
    ) -> None:
        """capacity: branches kept, up to three a run. device: where to compute (default: as the model)."""
        if capacity < 3:
            raise ValueError(
                f"A run needs up to three branches: expected a capacity of at least 3, got {capacity}."
            )
        self._model = model
        self._capacity = capacity
        self._device = device
        # the features are kept as well, so that their identities stay taken
        self._kept: OrderedDict[Hashable, tuple[_Inputs, BranchCache]] = OrderedDict()
        self.computed = 0  # prefills done so far, for tests and logs

    def branches(
        self,
        text: TextFeatures | None,
        semantic: SemanticFeatures | None,
        content: ContentFeatures | None,
        guidance: Guidance | None = None,
        kept: torch.dtype | None = None,
    ) -> Branches:
        """The branches of a run (see RunConditions).

        Absent conditions fall back to the learned nulls, so branches may coincide.
        Raises ValueError when features do not fit the model.
        """
        run = RunConditions(text, semantic, content, guidance, kept)
        needed = self._needed(run)
        for key in needed:
            if key in self._kept:
                self._kept.move_to_end(key)  # before another one is dropped for room
        slots: dict[Hashable, BranchCache | Unneeded] = {}
        for inputs in self._inputs(run):
            if inputs.key not in slots:
                slots[inputs.key] = self._branch(inputs) if inputs.key in needed else Unneeded()
        return Branches(*(slots[inputs.key] for inputs in self._inputs(run)))

    def needed(self, run: RunConditions) -> int:
        """How many branches a run computes with, 1 to 3."""
        return len(self._needed(run))

    def missing(self, run: RunConditions) -> int:
        """How many branches of a run are still to be computed."""
        return sum(key not in self._kept for key in self._needed(run))

    def keep_only(self, run: RunConditions) -> None:
        """Forget all that this run does not need (its memory is wanted)."""
        needed = self._needed(run)
        for key in [key for key in self._kept if key not in needed]:
            del self._kept[key]

    def clear(self) -> None:
        """Forget everything (the model moved, or its memory is wanted back)."""
        self._kept.clear()

    def give_back(self, wanted: int) -> int:
        """Forget the least recently used until `wanted` bytes are free, or all; the bytes that are."""
        freed = 0
        while self._kept and freed < wanted:
            _, (_, cache) = self._kept.popitem(last=False)
            freed += cache.nbytes
        return freed

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values held."""
        return sum(cache.nbytes for _, cache in self._kept.values())

    def _inputs(self, run: RunConditions) -> tuple[_Inputs, _Inputs, _Inputs]:
        """Full, text-only and unconditional branch."""
        text, semantic, content, _, kept = run
        if text is None:
            length = min(NO_PROMPT_TOKENS, self._model.config.text_length)
        else:
            length = text.tokens_LC.shape[0]
        return (
            _Inputs(text, semantic, content, length, kept),
            _Inputs(text, None, None, length, kept),
            _Inputs(None, None, None, length, kept),
        )

    def _needed(self, run: RunConditions) -> list[Hashable]:
        """Keys of the branches that weigh something at any scale, in the formula's order."""
        inputs = self._inputs(run)
        keys = list(dict.fromkeys(i.key for i in inputs))
        if run.guidance is None:
            return keys
        marks = {key: Unneeded() for key in keys}
        marked = Branches(*(marks[i.key] for i in inputs))
        weights = [run.guidance.weights(scale) for scale in range(len(run.guidance.gamma_t))]
        used = {branch for w in weights for branch, weight in marked.merged_weights(w) if weight != 0}
        return [key for key in keys if marks[key] in used]

    def _branch(self, inputs: _Inputs) -> BranchCache:
        if inputs.key not in self._kept:
            while len(self._kept) >= self._capacity:
                self._kept.popitem(last=False)
            device = self._model.null_text.device if self._device is None else self._device
            text, semantic, content, length, kept = inputs
            with torch.inference_mode():
                conditions = self._model.conditions(text, semantic, content, length, device)
                self._kept[inputs.key] = (inputs, self._model.prefill(conditions, kept))
            self.computed += 1
        self._kept.move_to_end(inputs.key)
        return self._kept[inputs.key][1]


def _identity(features: SemanticFeatures | ContentFeatures | None) -> Hashable:
    return None if features is None else (id(features[0]), features.strength)
