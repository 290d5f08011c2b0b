"""Editing a picture of one's own: fitted to the model's sizes, and put back into the original."""

from .framing import Fit, Frame
from .paste_back import paste_back

__all__ = ["Fit", "Frame", "paste_back"]
