"""The paper's training: an EchoGen model's subject parameters are trained beside a frozen Infinity base.

`python -m echogen_core.training`, or `accelerate launch -m echogen_core.training` on several GPUs and
machines. See docs/training.md.
"""

PROGRAM = "python -m echogen_core.training"
