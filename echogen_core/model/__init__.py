"""The EchoGen transformer: architecture only; loading lives in checkpoints, the loop in sampling."""

from .branch import BranchCache
from .phases import Phases, split_phases, unused_names
from .transformer import EchoGenTransformer

__all__ = ["BranchCache", "EchoGenTransformer", "Phases", "split_phases", "unused_names"]
