"""Editing a picture of one's own: fitted to the model's sizes, and put back into the original."""

from .areas import AREAS, area_mask, region_notes
from .edit import FEATHER, Canvas, Edit, Way, grown
from .framing import CONTEXT, Fit, Frame, marked_box
from .paste_back import paste_back

__all__ = [
    "AREAS",
    "CONTEXT",
    "FEATHER",
    "Canvas",
    "Edit",
    "Fit",
    "Frame",
    "Way",
    "area_mask",
    "grown",
    "marked_box",
    "paste_back",
    "region_notes",
]
