"""Linear layers and bare parameters that are cast where they are used."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def match(parameter: Tensor, like: Tensor) -> Tensor:
    """A bare parameter on the device and in the dtype of `like`.

    ComfyUI's memory manager moves layers, not bare parameters, so these are cast where they are used.
    """
    return parameter.to(device=like.device, dtype=like.dtype)


class CastLinear(nn.Linear):
    """What ComfyUI's layers do, for use without them: the weights take the input's type and device."""

    def reset_parameters(self) -> None:
        """Does nothing: the weights are loaded."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] to [..., outputs], in the dtype of `x`."""
        return F.linear(x, match(self.weight, x), None if self.bias is None else match(self.bias, x))
