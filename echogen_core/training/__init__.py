"""The paper's training: the subject parameters of an EchoGen model learn beside a frozen Infinity base.

`python -m echogen_core.training`, or `accelerate launch -m echogen_core.training` on several GPUs and
machines. See docs/training.md.
"""
