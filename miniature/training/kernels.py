"""Convolutions' kernels as matrices, for optimisers that move matrices (Muon)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


class Kernel(NamedTuple):
    """A convolution's kernel, and the same memory as a matrix [out, in * h * w], which Muon asks for."""

    kernel: nn.Parameter
    matrix: nn.Parameter

    @classmethod
    def of(cls, kernel: nn.Parameter) -> Kernel:
        return cls(kernel, nn.Parameter(_as_matrix(kernel.data)))

    def take_gradient(self) -> None:
        """Hands the kernel's gradient to the matrix."""
        gradient, self.kernel.grad = self.kernel.grad, None
        self.matrix.grad = None if gradient is None else _as_matrix(gradient)


def _as_matrix(kernel_OIhw: Tensor) -> Tensor:
    # In the order of channels-last memory, so that it is a view.
    return kernel_OIhw.permute(0, 2, 3, 1).flatten(1)
