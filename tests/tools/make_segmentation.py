"""Writes workflows/subject-segmentation.json and its API twin.

COMFYUI_PATH=... python tests/tools/make_segmentation.py
"""

from __future__ import annotations

from layout import ENLARGE, Group, Item, Layout, write

SAMPLE, PHRASE = "teddy_bear.png", "teddy bear"
NOTE = """## Which pixels are the subject

1. Press **Run**. Every step shows what it found: phrase, box and score, mask, cut-out.
2. **No files are needed**: a built-in cut does the work of the models that are not there, and the nodes say so. \
With files in `models/grounding-dino` and `models/sams` the same workflow uses them.
3. The wrong thing is found? Type another **phrase**, lower the **threshold**, or take the **largest**.
4. Your own picture: put **Load Image** in the place of *EchoGen Sample Picture*.
5. Nothing helps? Right click on Load Image, *Open in MaskEditor*, paint the subject, and connect Load Image's \
**mask** to *Cut Out Subject* (or to *Subject Segmentation*): what you paint goes before everything.

**Subject Segmentation**, below, is all of it in one node, with the same result. Any node's MASK and BOUNDING_BOX \
fit: SAM3, background removal, other packs.

Help for a node: select it and press the **?** above it."""


def items() -> dict[str, Item]:
    """The nodes, in the order of their ids."""
    from echogen_core.config import PRESETS

    nano, picture = PRESETS["nano"], {"image": ("sample", 0)}
    return {
        "note": Item("MarkdownNote", (20, 740), (600, 500), [NOTE], title="Start here"),
        "sample": Item("EchoGenSamplePicture", (20, 80), (300, 360), [SAMPLE]),
        "describe": Item("EchoGenDescribeSubject", (380, 80), (290, 440), [PHRASE, "auto"], picture),
        "detect": Item(
            "EchoGenDetectSubject",
            (700, 80),
            (310, 540),
            ["", 0.35, "best score", "built-in cut", "auto", "transformers"],
            {**picture, "phrase": ("describe", 0)},
        ),
        "segment": Item(
            "EchoGenSegmentSubject",
            (1040, 80),
            (300, 500),
            [0.0, "auto", "transformers"],
            {**picture, "bounding_box": ("detect", 0)},
        ),
        "cut": Item(
            "EchoGenCutOutSubject",
            (1370, 80),
            (300, 480),
            [0.08, "white", "auto"],
            {**picture, "mask": ("segment", 0)},
        ),
        "whole": Item(
            "EchoGenSubjectSegmentation",
            (680, 740),
            (560, 700),
            [PHRASE, 0.08, "white", 0.35, "best score", "built-in cut", 0.0, "auto", "auto", "auto", "auto"],
            picture,
        ),
        "show_whole": Item("PreviewImage", (1270, 740), (400, 430), [], {"images": ("whole", 0)}),
        "load": Item("EchoGenLoadBundle", (1730, 80), (360, 170), ["nano (built in)", "auto"]),
        "text": Item(
            "EchoGenEncodeText", (1730, 310), (360, 160), ["a teddy bear on a meadow"], {"text_encoder": ("load", 2)}
        ),
        "semantic": Item(
            "EchoGenEncodeSemantic",
            (1730, 530),
            (360, 95),
            [1.0],
            {"semantic_encoder": ("load", 3), "image": ("cut", 0)},
        ),
        "content": Item(
            "EchoGenEncodeContent",
            (1730, 685),
            (360, 95),
            [1.0],
            {"content_encoder": ("load", 4), "image": ("cut", 0)},
        ),
        "sampler": Item(
            "EchoGenSampler",
            (2150, 80),
            (400, 800),
            [nano.gamma_t, nano.gamma_i, 7, "fixed", 1, "1:1", "auto", 0.0, 0.0, 0],
            {
                "model": ("load", 0),
                "text": ("text", 0),
                "semantic": ("semantic", 0),
                "content": ("content", 0),
                "tokenizer": ("load", 1),
            },
        ),
        "decode": Item(
            "EchoGenDecodeBits", (2610, 80), (200, 60), [], {"bits": ("sampler", 0), "tokenizer": ("load", 1)}
        ),
        "enlarge": Item(
            "ImageScaleBy", (2610, 200), (400, 90), ["bicubic", 6.0], {"image": ("decode", 0)}, ENLARGE
        ),
        "show": Item("PreviewImage", (2610, 350), (400, 435), [], {"images": ("enlarge", 0)}),
        "save": Item(
            "SaveImage", (2610, 850), (400, 380), ["EchoGen/subject-segmentation"], {"images": ("decode", 0)}
        ),
    }


GROUPS: tuple[Group, ...] = (
    ("1 · Picture", (0, 0, 340, 640), "#3f789e"),
    ("2 · What it is, where it is, which pixels", (360, 0, 1330, 640), "#b58b2a"),
    ("3 · Model and conditions", (1710, 0, 400, 900), "#88aa88"),
    ("4 · Sampler", (2130, 0, 440, 900), "#b58b2a"),
    ("5 · Picture", (2590, 0, 440, 1250), "#3f789e"),
    ("Read me", (0, 660, 640, 600), "#888888"),
    ("All in one", (660, 660, 1030, 800), "#3f789e"),
)
LAYOUT = Layout(
    "subject-segmentation", "5f0c6c6e-2c9e-4a53-9d0e-ec406e000004", items, GROUPS, 0.59, (110, 230)
)


if __name__ == "__main__":
    write(LAYOUT)
