"""Trains the subject parameters of an EchoGen model beside a frozen Infinity base.

`python -m echogen_core.training adapters`, or `accelerate launch -m echogen_core.training adapters` on
several GPUs and machines. See docs/training.md.
"""

from .cli import main

__all__ = ["main"]
