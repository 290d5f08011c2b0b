"""Variants: one model with a path off, another encoder, or another γ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from ..checkpoints import ASSETS, load_bundle
from ..checkpoints.fingerprint import weights_fingerprint
from ..checkpoints.format import KINDS
from ..config import PRESETS
from ..dtypes import DTYPES
from ..pipeline import EchoGenPipeline, Settings

ENCODER_KINDS = ("text", "semantic", "content")


class Swap(NamedTuple):
    """An encoder to use instead of the model's own: its kind, and the folder with its file."""

    kind: str
    folder: Path
    fingerprint: str = ""  # of its weights, see Loader.identified

    @property
    def label(self) -> str:
        """Its name on the page."""
        return f"{self.kind} encoder {self.folder.name}"


@dataclass(frozen=True)
class Variant:
    """Which of the reference's features the model gets, at which γ, from which encoder."""

    gamma_t: float
    gamma_i: float
    semantic: bool = True
    content: bool = True
    swap: Swap | None = None

    @property
    def settings(self) -> Settings:
        """For the pipeline."""
        return Settings(self.gamma_t, self.gamma_i)

    @property
    def conditions(self) -> str:
        """Which of the reference's features the model gets, in words."""
        if self.semantic and self.content:
            return "both"
        return "semantic only" if self.semantic else "content only"

    @property
    def key(self) -> str:
        """Its name in files: letters, digits, dots and underscores.

        A swap counts by its weights: other weights in the same folder are another variant.
        """
        name = f"{self.conditions.replace(' ', '_')}_gt{self.gamma_t:g}_gi{self.gamma_i:g}"
        if self.swap is None:
            return name
        return f"{name}_{self.swap.kind}_{self.swap.fingerprint[:8]}"

    @property
    def label(self) -> str:
        """Its name on the page."""
        name = f"{self.conditions}, γ_t {self.gamma_t:g}, γ_I {self.gamma_i:g}"
        return name if self.swap is None else f"{name}, {self.swap.label}"


class Model(NamedTuple):
    """Which model to load, and how."""

    name: str
    weights: tuple[Path, ...]  # none: the pack's own
    dtype: str
    device: torch.device
    transformer: Path | None = None  # this file, whatever `weights` has

    @property
    def title(self) -> str:
        """Its name on the page."""
        if self.transformer is None:
            return self.name
        return f"{self.name} ({self.transformer.absolute().parent.name}/{self.transformer.name})"


class Loader:
    """Loads the model with its own or a swapped encoder; only the last is kept, to save memory."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._latest: tuple[Swap | None, EchoGenPipeline] | None = None

    def pipeline(self, swap: Swap | None = None) -> EchoGenPipeline:
        """The model, with the encoder of `swap`. Raises as `load_bundle`."""
        if self._latest is None or self._latest[0] != swap:
            self._latest = None
            own = list(self.model.weights) or [ASSETS / self.model.name]
            places = {kind: [swap.folder] if swap and swap.kind == kind else own for kind in KINDS}
            bundle = load_bundle(
                self.model.name,
                places,
                dtype=DTYPES[self.model.dtype],
                device=self.model.device,
                transformer=self.model.transformer,
            )
            if not bundle.transformer.config.subject:
                raise ValueError(
                    f"The transformer of {self.model.title} is a base model without a subject path: "
                    "expected an EchoGen model or trained subject parameters."
                )
            self._latest = swap, EchoGenPipeline(bundle)
        return self._latest[1]

    def identified(self, swap: Swap) -> Swap:
        """The swap with its encoder's fingerprint; loads it exactly as for the pictures.

        Raises ValueError, naming the option, when it is missing, damaged or doesn't fit the model.
        """
        try:
            bundle = self.pipeline(swap).bundle
        except (ValueError, OSError) as error:
            raise ValueError(
                f"--swap {swap.kind}={swap.folder} can't be used: expected a folder with another "
                f"{swap.kind} encoder of the same sizes. {error}"
            ) from error
        return swap._replace(fingerprint=weights_fingerprint([bundle.parts()[swap.kind]]))


def default_variant(model: str, gamma_t: float | None, gamma_i: float | None) -> Variant:
    """Both features, at the preset's γ where none is given."""
    preset = PRESETS[model]
    return Variant(
        preset.gamma_t if gamma_t is None else gamma_t, preset.gamma_i if gamma_i is None else gamma_i
    )


def ablation_variants(
    own: Variant, gammas_t: Sequence[float], gammas_i: Sequence[float], swaps: Sequence[Swap]
) -> list[Variant]:
    """Semantic only, content only, both; swapped encoders; the γ grid. No variant twice.

    swaps: identified, see Loader.
    """
    rewired = [
        Variant(own.gamma_t, own.gamma_i, content=False),
        Variant(own.gamma_t, own.gamma_i, semantic=False),
        own,
    ]
    swapped = [Variant(own.gamma_t, own.gamma_i, swap=swap) for swap in swaps]
    grid = [Variant(gamma_t, gamma_i) for gamma_t in gammas_t for gamma_i in gammas_i]
    found: dict[str, Variant] = {}
    for variant in (*rewired, *swapped, *grid):
        found.setdefault(variant.key, variant)
    return list(found.values())
