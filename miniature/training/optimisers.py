"""Muon beside AdamW, as all stages use them.

Muon orthogonalises the momentum of matrices (Jordan et al. 2024, "Muon: An optimizer for hidden layers in
neural networks", https://kellerjordan.github.io/posts/muon/). Like there, the kernel of a convolution counts
as a matrix [out, in * h * w]. Every parameter group has its peak learning rate under "peak".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from echogen_core.dtypes import LOOPED


class ConvKernel(NamedTuple):
    """A convolution's kernel [out, in, h, w], and a matrix [out, h * w * in] in the same memory for Muon."""

    kernel: nn.Parameter
    matrix: nn.Parameter

    @classmethod
    def of(cls, kernel: nn.Parameter) -> ConvKernel:
        """For a kernel in channels-last memory."""
        return cls(kernel, nn.Parameter(_as_matrix(kernel.data)))

    def take_gradient(self) -> None:
        """Moves the kernel's gradient to the matrix."""
        gradient, self.kernel.grad = self.kernel.grad, None
        self.matrix.grad = None if gradient is None else _as_matrix(gradient)


def conv_kernels(module: nn.Module) -> list[ConvKernel]:
    """The kernels of all 2-D convolutions in a module."""
    return [ConvKernel.of(parameter) for parameter in module.parameters() if parameter.ndim == 4]


def muon(matrices: Iterable[nn.Parameter], peak: float, weight_decay: float) -> torch.optim.Muon:
    """Muon for matrices, with the momentum of its authors."""
    group = {"params": list(matrices), "peak": peak}
    kind = _MuonOfFloatProducts if torch.bfloat16 in LOOPED else torch.optim.Muon
    return kind([group], lr=peak, momentum=0.95, weight_decay=weight_decay)


class _FloatProducts(TorchFunctionMode):
    """Matrix products of bfloat16 are made in float32 and rounded."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func not in (torch.Tensor.matmul, torch.Tensor.__matmul__, torch.addmm):
            return func(*args, **(kwargs or {}))
        wide = [value.float() if isinstance(value, Tensor) else value for value in args]
        return func(*wide, **(kwargs or {})).to(args[0].dtype)


class _MuonOfFloatProducts(torch.optim.Muon):
    """Muon on processors without instructions for bfloat16, in which PyTorch's orthogonalises."""

    def step(self, closure: Any = None) -> Any:
        """One step."""
        with _FloatProducts():
            return super().step(closure)  # type: ignore[no-untyped-call]


def set_rates(optimizers: Iterable[torch.optim.Optimizer], share: float) -> None:
    """Sets every group's learning rate to a share of its peak."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share


def _as_matrix(kernel_OIhw: Tensor) -> Tensor:
    # In the order of channels-last memory, so that it is a view.
    return kernel_OIhw.permute(0, 2, 3, 1).flatten(1)
