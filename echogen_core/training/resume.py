"""Whether a run may go on from a saved state: settings, base and sizes have to be its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..checkpoints.format import BASE_NAME, BASE_SHA256
from .recipe import FIXED, Recipe
from .subject_model import BaseIdentity


def check_state(
    path: Path,
    state: Mapping[str, Any],
    recipe: Recipe,
    per_step: int,
    start: BaseIdentity,
    trained: Mapping[str, Tensor],
) -> None:
    """ValueError unless the run that saved `state` (the content of `path`) is the one to go on.

    recipe: its FIXED settings count, and whether there is an average. per_step: pictures a step.
    start: its base counts, by digest. trained: name -> parameter, whose shape counts.
    """
    if other := _other_settings(state, recipe, per_step):
        raise ValueError(
            f"{path} is of a run with other settings ({', '.join(other)}): use the same ones to go on, "
            "or another --out."
        )
    # a state without a digest is of the first version, which did not write it
    if state.get(BASE_SHA256, start.base_sha256) != start.base_sha256:
        raise ValueError(
            f"{path} is of a run on another base: it has {_named(state[BASE_NAME], state[BASE_SHA256])}, "
            f"--base or --start gives {_named(start.base_name, start.base_sha256)}. Use the same base to go "
            "on, or another --out."
        )
    if sizes := _other_sizes(state["trained"], trained):
        raise ValueError(
            f"{path} is of a run with other subject parameters ({sizes[0]}; {len(sizes)} in all): use the "
            "same --start and --parts to go on, or another --out."
        )


def check_same_step(path: Path, steps: Sequence[int]) -> None:
    """ValueError unless all processes go on at one step.

    path: the state on this process. steps: what each process has read there, 0 without a file.
    """
    if len(set(steps)) > 1:
        found = ", ".join(f"{step} on process {process}" for process, step in enumerate(steps))
        raise ValueError(
            f"Expected one {path.name} for all processes, found different steps: {found}. On several "
            f"machines {path.parent} (--out) has to be a folder that they share."
        )


def _other_settings(state: Mapping[str, Any], recipe: Recipe, per_step: int) -> list[str]:
    saved = state["recipe"]
    own = {name: getattr(recipe, name) for name in FIXED}
    other = [f"{name} {saved[name]} instead of {own[name]}" for name in FIXED if saved[name] != own[name]]
    then = saved["batch"] * saved["accumulate"] * state["processes"]
    if not other and (then != per_step or bool(recipe.ema) != bool(state["average"])):
        return [f"{then} pictures a step, average {bool(state['average'])}"]
    return other


def _other_sizes(saved: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> list[str]:
    """What differs in names and shapes, in words."""
    shapes, own = ({name: list(t.shape) for name, t in named.items()} for named in (saved, trained))
    return [
        f"{name} {shapes.get(name, 'missing')} instead of {own.get(name, 'none')}"
        for name in sorted(shapes.keys() | own.keys())
        if shapes.get(name) != own.get(name)
    ]


def _named(name: str, digest: str) -> str:
    return f"{name} ({digest[:12]})"
