"""Inputs and outputs that several subject nodes share."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from echogen_core.checkpoints.catalog.subject_models import DESCRIBER, DETECTOR, SEGMENTER, Kind
from echogen_core.checkpoints.segmentation_models import Backend
from echogen_core.subject import cutout
from echogen_core.subject.detect import DEFAULT_THRESHOLD
from echogen_core.subject.masks import MaskMarks
from echogen_core.subject.regions import Pick
from echogen_core.subject.segmentation import Fallback

from . import subject_models
from .adapters import BoundingBox, advanced
from .subject_models import AUTO

MAX_SOFTEN = 32.0
"""Widest soft edge of a mask, in pixels."""

MODELS: dict[str, Kind] = {"describer": DESCRIBER, "detector": DETECTOR, "segmenter": SEGMENTER}
"""Name of a drop-down of models -> the kind it lists."""

_MODEL_TIPS = {
    "describer": "Names the subject: Qwen2.5-VL, a folder in models/LLM or models/text_encoders.",
    "detector": "Finds the subject: GroundingDINO, a folder or .pth in models/grounding-dino.",
    "segmenter": "Outlines the subject: SAM, a .pth or folder in models/sams. Without: the built-in cut.",
}


def box_input(tooltip: str) -> Any:
    """BOUNDING_BOX as an input without a widget."""
    # Later versions of ComfyUI show a widget of four numbers for this type by default.
    return BoundingBox.Input("bounding_box", optional=True, tooltip=tooltip, extra_dict={"forceInput": True})


def box_output(name: str, tooltip: str, display_name: str = "bounding_box") -> Any:
    """BOUNDING_BOX as an output: a list of boxes for each picture."""
    return BoundingBox.Output(name, display_name=display_name, tooltip=tooltip)


def phrase_input(more: str) -> Any:
    """What the subject is."""
    return io.String.Input(
        "phrase",
        default="",
        tooltip="What the subject is, in one to three words: toy car. With as many lines as pictures, one "
        "for "
        "each. " + more,
    )


def model_input(name: str) -> Any:
    """A drop-down of models."""
    return io.Combo.Input(
        name,
        options=subject_models.choices(MODELS[name]),
        default=AUTO,
        tooltip=f"{_MODEL_TIPS[name]} auto: the first that is found. none: use no model.",
    )


def backend_input(package: str) -> Any:
    """The implementation that runs the model."""
    return advanced(
        io.Combo.Input,
        "backend",
        options=[backend.value for backend in Backend],
        default=Backend.TRANSFORMERS.value,
        tooltip=f"Whose code runs the model: transformers, or the authors' package {package} where it is "
        "installed. The results are the same.",
    )


def threshold_input() -> Any:
    """Minimum confidence of a box."""
    return io.Float.Input(
        "threshold",
        default=DEFAULT_THRESHOLD,
        min=0.0,
        max=1.0,
        step=0.01,
        display_mode=io.NumberDisplay.slider,
        tooltip="Minimum confidence of a detected box, 0 to 1. Lower finds more, including more false hits.",
    )


def pick_input() -> Any:
    """Which of several hits."""
    return io.Combo.Input(
        "pick",
        options=[pick.value for pick in Pick],
        default=Pick.BEST.value,
        tooltip="Which of several subjects to use: the box with the best score, or the largest box; without "
        "a box, largest keeps the largest piece of the built-in cut.",
    )


def fallback_input() -> Any:
    """What to use where nothing is detected."""
    return io.Combo.Input(
        "when_not_found",
        options=[each.value for each in Fallback],
        default=Fallback.BUILT_IN.value,
        tooltip="If nothing is detected: use the built-in cut or the whole picture, with a warning in the "
        "node, or stop the run with an error.",
    )


def soften_input() -> Any:
    """Softness of the mask's edge."""
    return io.Float.Input(
        "soften",
        default=0.0,
        min=0.0,
        max=MAX_SOFTEN,
        step=0.5,
        tooltip="Width of the mask's soft edge, 0 to 32 pixels. 0: as the model outlines it.",
    )


def margin_input() -> Any:
    """Free space around the subject."""
    return io.Float.Input(
        "margin",
        default=cutout.DEFAULT_MARGIN,
        min=0.0,
        max=cutout.LARGEST_MARGIN,
        step=0.01,
        display_mode=io.NumberDisplay.slider,
        tooltip="Free space on each side, as a share of the square's side (0 to 0.45). 0.08 "
        "suits the models; more makes the subject smaller in the reference.",
    )


def background_input() -> Any:
    """Colour of the background."""
    return io.String.Input(
        "background",
        default="white",
        tooltip="Colour of the background: a name (white, grey) or hexadecimal (#ffffff). The "
        "models were trained on white.",
    )


def marks_input() -> Any:
    """What the white part of a mask marks."""
    return advanced(
        io.Combo.Input,
        "mask_marks",
        options=[marks.value for marks in MaskMarks],
        default=MaskMarks.AUTO.value,
        tooltip="What the white part of the mask marks. 'auto' takes a mask over most of the picture's "
        "edge for the background, as Load Image makes it from transparency, and says so in the node.",
    )
