"""The EchoGen transformer: architecture only; loading lives in checkpoints, the loop in sampling."""

from .transformer import BranchCache, EchoGenTransformer

__all__ = ["BranchCache", "EchoGenTransformer"]
