"""Whether a run may resume from a saved state: settings, base and sizes must be the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..checkpoints.format import BASE_NAME, BASE_SHA256
from ..utils.printable import counted
from .recipe import FIXED, Recipe
from .subject_model import BaseIdentity


def check_state(
    path: Path,
    state: Mapping[str, Any],
    recipe: Recipe,
    per_step: int,
    base: BaseIdentity,
    trained: Mapping[str, Tensor],
) -> None:
    """Raises ValueError unless `state` (the content of `path`) was saved by this run.

    Compared are the FIXED settings of `recipe`, whether there is a moving average, the pictures per step, the
    digest of the base, and names and shapes of the trained parameters.
    """
    if other := _other_settings(state, recipe, per_step):
        raise ValueError(
            f"{path} belongs to a run with other settings ({', '.join(other)}): use the same ones to resume, "
            "or another --out."
        )
    # the first version wrote no digest
    if state.get(BASE_SHA256, base.base_sha256) != base.base_sha256:
        raise ValueError(
            f"{path} belongs to a run on another base: it has "
            f"{_named(state[BASE_NAME], state[BASE_SHA256])}, --base or --init-from gives "
            f"{_named(base.base_name, base.base_sha256)}. Use the same base to resume, or another --out."
        )
    if sizes := _other_sizes(state["trained"], trained):
        raise ValueError(
            f"{path} belongs to a run with other subject parameters ({sizes[0]}; {len(sizes)} in all): "
            "use the same --init-from and --parts to resume, or another --out."
        )


def check_same_step(path: Path, steps: Sequence[int]) -> None:
    """Raises ValueError unless all processes resume at the same step.

    path: the state's file on this process. steps: the step that each process has read, 0 without a file.
    """
    if len(set(steps)) > 1:
        found = ", ".join(f"{step} on process {process}" for process, step in enumerate(steps))
        raise ValueError(
            f"Expected one {path.name} for all processes, found different steps: {found}. On several "
            f"machines, {path.parent} (--out) must be a folder that they share."
        )


def _other_settings(state: Mapping[str, Any], recipe: Recipe, per_step: int) -> list[str]:
    saved = state["recipe"]
    own = {name: getattr(recipe, name) for name in FIXED}
    other = [f"{name} {saved[name]} instead of {own[name]}" for name in FIXED if saved[name] != own[name]]
    then = saved["batch"] * saved["accumulate"] * state["processes"]
    if not other and (then != per_step or bool(recipe.ema) != bool(state["average"])):
        return [f"{counted(then, 'picture')} per step, moving average {'on' if state['average'] else 'off'}"]
    return other


def _other_sizes(saved: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> list[str]:
    """Each difference in names and shapes, in words."""
    shapes, own = ({name: list(t.shape) for name, t in named.items()} for named in (saved, trained))
    return [
        f"{name} {shapes.get(name, 'missing')} instead of {own.get(name, 'none')}"
        for name in sorted(shapes.keys() | own.keys())
        if shapes.get(name) != own.get(name)
    ]


def _named(name: str, digest: str) -> str:
    return f"{name} ({digest[:12]})"
