"""The model's weights by the phase of a run that uses them: about half each, and nothing twice.

Prefill needs the encoders' projections and the content stream, sampling the picture's own layers. Every layer
is declared where it is built (`PhasedModule.used_in`). A memory manager that holds the two halves apart can
have one at a time on the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import NamedTuple

from torch import nn


class Phase(Enum):
    """When a run uses a layer."""

    PREFILL = "prefill"
    """Once per subject and prompt: `EchoGenTransformer.conditions` and `prefill`."""
    SAMPLING = "sampling"
    """At every scale: `EchoGenTransformer.forward` and `embed_scale`."""
    UNUSED = "unused"
    """Never: stored in the checkpoint, without effect on any output."""


class PhasedModule(nn.Module):
    """A module whose layers belong to different phases.

    What is not declared belongs to the phase of the module's owner, and in the end to prefill.
    """

    def __init__(self) -> None:
        super().__init__()
        self.declared_phases: dict[str, Phase] = {}

    @contextmanager
    def used_in(self, phase: Phase) -> Iterator[None]:
        """Declares the phase of the layers and parameters that are assigned to this module inside."""
        before = self._modules.keys() | self._parameters.keys()
        yield
        for name in (self._modules.keys() | self._parameters.keys()) - before:
            self.declared_phases[name] = phase


class Phases(NamedTuple):
    """Modules that share the layers of one transformer, under the same names; they only hold them."""

    prefill: nn.Module
    sampling: nn.Module


class PrefillPhase(nn.Module):
    """Holds the layers of Phase.PREFILL."""


class SamplingPhase(nn.Module):
    """Holds the layers of Phase.SAMPLING."""


def split_phases(model: nn.Module) -> Phases:
    """The two halves of a transformer. What it stores without effect is in neither."""
    phases = Phases(PrefillPhase(), SamplingPhase())
    roots = {Phase.PREFILL: phases.prefill, Phase.SAMPLING: phases.sampling}
    for path, entry, phase in _entries(model, Phase.PREFILL):
        if phase in roots:
            _place(roots[phase], path, entry)
    return phases


def unused_names(model: nn.Module) -> frozenset[str]:
    """Parameters that no output depends on: the end of the last block's content stream."""
    names: set[str] = set()
    for path, entry, phase in _entries(model, Phase.PREFILL):
        if phase is Phase.UNUSED:
            inner = entry.named_parameters() if isinstance(entry, nn.Module) else [("", entry)]
            names.update(f"{path}.{name}".rstrip(".") for name, _ in inner)
    return frozenset(names)


def _entries(
    module: nn.Module, phase: Phase, prefix: str = ""
) -> Iterator[tuple[str, nn.Module | nn.Parameter, Phase]]:
    """Path, layer or bare parameter, and phase, depth first; phase: the owner's."""
    declared = module.declared_phases if isinstance(module, PhasedModule) else {}
    for name, parameter in module.named_parameters(recurse=False):
        yield prefix + name, parameter, declared.get(name, phase)
    for name, child in module.named_children():
        child_phase = declared.get(name, phase)
        if list(child.children()):
            yield from _entries(child, child_phase, f"{prefix}{name}.")
        elif list(child.parameters()):
            yield prefix + name, child, child_phase


def _place(root: nn.Module, path: str, entry: nn.Module | nn.Parameter) -> None:
    """Adds a layer or a bare parameter to a tree of plain modules."""
    *folders, name = path.split(".")
    for folder in folders:
        if folder not in root._modules:
            root.add_module(folder, nn.Module())
        root = root.get_submodule(folder)
    if isinstance(entry, nn.Module):
        root.add_module(name, entry)
    else:
        root.register_parameter(name, entry)
