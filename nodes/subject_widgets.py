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

MODEL_LABELS = {"describer": "describe with", "detector": "detect with", "segmenter": "segment with"}
"""Name of a drop-down of models -> its label."""

_MODEL_TIPS = {
    "describer": "The model that names the subject: Qwen2.5-VL, in models/LLM or models/text_encoders.",
    "detector": "The model that finds a phrase: GroundingDINO, in models/grounding-dino.",
    "segmenter": "The model that outlines the subject: SAM, in models/sams. none: the built-in cut.",
}


def box_input(tooltip: str) -> Any:
    """BOUNDING_BOX as an input without a widget."""
    # Later versions of ComfyUI show a widget of four numbers for this type by default.
    return BoundingBox.Input(
        "bounding_box", "bounding box", optional=True, tooltip=tooltip, extra_dict={"forceInput": True}
    )


def box_output(name: str, tooltip: str, display_name: str = "bounding box") -> Any:
    """BOUNDING_BOX as an output: a list of boxes for each picture."""
    return BoundingBox.Output(name, display_name=display_name, tooltip=tooltip)


def phrase_input(more: str) -> Any:
    """What the subject is."""
    return io.String.Input(
        "phrase",
        default="",
        tooltip="The subject in one to three words, such as toy car. For a batch, one line per picture if "
        "they differ. " + more,
    )


def model_input(name: str) -> Any:
    """A drop-down of models."""
    return io.Combo.Input(
        name,
        display_name=MODEL_LABELS[name],
        options=subject_models.choices(MODELS[name]),
        default=AUTO,
        tooltip=f"{_MODEL_TIPS[name]} auto: the first that is installed.",
    )


def backend_input(package: str) -> Any:
    """The implementation that runs the model."""
    return advanced(
        io.Combo.Input,
        "backend",
        options=[backend.value for backend in Backend],
        default=Backend.TRANSFORMERS.value,
        tooltip=f"transformers works everywhere. authors' package: the same model run by {package}, if it is "
        "installed.",
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
        tooltip="How sure the detection must be, 0 to 1. Lower finds more, also wrong things.",
    )


def pick_input() -> Any:
    """Which of several hits."""
    return io.Combo.Input(
        "pick",
        display_name="if several found",
        options=[pick.value for pick in Pick],
        default=Pick.BEST.value,
        tooltip="Which subject to use if there are several: the one that fits the phrase best, or the "
        "largest.",
    )


def fallback_input() -> Any:
    """What to use where nothing is detected."""
    return io.Combo.Input(
        "when_not_found",
        display_name="if nothing found",
        options=[each.value for each in Fallback],
        default=Fallback.BUILT_IN.value,
        tooltip="What to do if the phrase isn't found: use the built-in cut or the whole picture (the node "
        "says so), or stop with an error.",
    )


def soften_input() -> Any:
    """Softness of the mask's edge."""
    return io.Float.Input(
        "soften",
        display_name="soften edge",
        default=0.0,
        min=0.0,
        max=MAX_SOFTEN,
        step=0.5,
        tooltip="Softens the mask's edge by this many pixels, 0 to 32.",
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
        tooltip="Space around the subject, as a share of the side, 0 to 0.45. The models like 0.08.",
    )


def background_input() -> Any:
    """Colour of the background."""
    return io.String.Input(
        "background",
        default="white",
        tooltip="A name (white, grey) or a hex code (#ffffff). The models were trained on white: keep it.",
    )


def marks_input() -> Any:
    """What the white part of a mask marks."""
    return advanced(
        io.Combo.Input,
        "mask_marks",
        display_name="white in mask means",
        options=[marks.value for marks in MaskMarks],
        default=MaskMarks.AUTO.value,
        tooltip="Whether the mask is white on the subject or on the background. auto decides by the "
        "picture's edge, and the node says so when it chose the background.",
    )
