"""The residual block of convolutional autoencoders (LDM, VQGAN): the BSQ tokenizer and the FLUX VAE share it.

Shape suffixes: B pictures, C channels, H and W pixels or cells.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .factory import LayerFactory


class ResidualBlock(nn.Module):
    """Twice group norm, SiLU, 3x3 convolution, beside a shortcut (1x1 where the channels change)."""

    def __init__(self, make: LayerFactory, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = make.group_norm(inputs)
        self.conv1 = make.convolution(inputs, outputs)
        self.norm2 = make.group_norm(outputs)
        self.conv2 = make.convolution(outputs, outputs)
        self.shortcut = make.convolution(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H, W]."""
        h_BCHW = self.conv1(F.silu(self.norm1(x_BCHW)))
        h_BCHW = self.conv2(F.silu(self.norm2(h_BCHW)))
        skip_BCHW: Tensor = x_BCHW if self.shortcut is None else self.shortcut(x_BCHW)
        return skip_BCHW + h_BCHW


def downsample(convolution: nn.Module, x_BCHW: Tensor) -> Tensor:
    """Half the size by a stride-2 convolution, padded on the right and at the bottom only, as LDM does."""
    halved_BCHW: Tensor = convolution(F.pad(x_BCHW, (0, 1, 0, 1)))
    return halved_BCHW
