"""Writes the workflow that shows the cut-out step by step, and its API twin.

COMFYUI_PATH=... python tests/tools/make_segmentation.py
"""

from __future__ import annotations

from layout import (
    COLUMNS,
    Item,
    Layout,
    note,
    sampler,
    segmentation_values,
    shown,
    subject_way,
    write,
)

PROMPT = "a teddy bear on a meadow"
NOTE = """## Cutting out the subject

1. Press **Run**. Every step shows what it found: phrase, box, mask, cut-out.
2. **No files are needed**: the built-in cut stands in for missing models, and the nodes say so. With files \
in models/grounding-dino and models/sams the same workflow uses them.
3. The wrong thing? Type a **phrase** in *Describe Subject*, lower the **threshold**, or set **if \
several found** to the largest.
4. **Your own picture**: drop it on *Reference Picture*.
5. Still wrong? Right-click *Reference Picture*, *Open in MaskEditor*, paint the subject, and connect its \
**mask** to *Cut Out Subject*.

*Subject Segmentation*, below, does all of this in one node. Masks and boxes of other nodes fit as well: \
SAM3, background removal, other packs."""


def items() -> dict[str, Item]:
    """The nodes, in the order of their ids: the usual way, with the cut-out taken apart."""
    way = subject_way(NOTE, PROMPT)
    way["note"] = note(NOTE, (0, 480), (320, 640))
    for name in ("load", "cut", "text", "semantic", "content"):
        way[name].pos = (way[name].pos[0] + STEPS_WIDTH, way[name].pos[1])
    x = COLUMNS[3] + STEPS_WIDTH
    return {
        **way,
        **steps(),
        "sampler": sampler((x, 0)),
        **shown("result", x + 440, 0, ("sampler", 0), size=(290, 340), prefix="EchoGen/subject-segmentation"),
    }


def steps() -> dict[str, Item]:
    """What finds the subject: three steps, a cut-out of theirs, and all of it in one node."""
    picture, x = {"image": ("sample", 0)}, COLUMNS[1]
    return {
        "describe": Item("EchoGenDescribeSubject", (x, 0), (240, 500), ["", "auto"], picture),
        "detect": Item(
            "EchoGenDetectSubject",
            (x + 270, 0),
            (260, 720),
            ["", 0.35, "best score", "built-in cut", "auto", "transformers"],
            {**picture, "phrase": ("describe", 0)},
        ),
        "segment": Item(
            "EchoGenSegmentSubject",
            (x + 560, 0),
            (240, 580),
            [0.0, "auto", "transformers"],
            {**picture, "bounding_box": ("detect", 0)},
        ),
        "cut": Item(
            "EchoGenCutOutSubject",
            (x + STEPS_WIDTH, 250),
            (300, 520),
            [0.08, "white", "auto"],
            {**picture, "mask": ("segment", 0)},
        ),
        "whole": Item(
            "EchoGenSubjectSegmentation",
            (x + 560, 650),
            (240, 730),
            segmentation_values(),
            picture,
            "All in one: Subject Segmentation",
        ),
    }


STEPS_WIDTH = 830
LAYOUT = Layout("Segmentation - step by step", "5f0c6c6e-2c9e-4a53-9d0e-ec406e000004", items)


if __name__ == "__main__":
    write(LAYOUT)
