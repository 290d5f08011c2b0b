"""The EchoGen transformer: architecture only; loading lives in checkpoints, the loop in sampling."""

from .phases import Phases, split_phases
from .transformer import BranchCache, EchoGenTransformer

__all__ = ["BranchCache", "EchoGenTransformer", "Phases", "split_phases"]
