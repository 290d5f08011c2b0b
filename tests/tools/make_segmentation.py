"""Writes workflows/subject-segmentation.json and its API twin.

COMFYUI_PATH=... python tests/tools/make_segmentation.py
"""

from __future__ import annotations

from layout import ENLARGE, Group, Item, Layout, sampler, write

SAMPLE, PHRASE = "teddy_bear.png", "teddy bear"
NOTE = """## Which pixels are the subject

1. Press **Run**. Every step shows what it found: phrase, box and score, mask, cut-out.
2. **No files are needed**: a built-in cut stands in for missing models, and the nodes \
say so. \
With files in `models/grounding-dino` and `models/sams` the same workflow uses them.
3. The wrong thing is found? Type another **phrase**, lower the **threshold**, or take the **largest**.
4. Your own picture: replace *EchoGen Sample Picture* with **Load Image**.
5. Nothing helps? Right click on Load Image, *Open in MaskEditor*, paint the subject, and connect Load \
Image's **mask** to *Cut Out Subject* (or to *Subject Segmentation*): what you paint comes first.

**Subject Segmentation**, at the right, is all of it in one node. Any node's MASK and BOUNDING_BOX \
fit: SAM3, background removal, other packs.

Help for a node: select it and press the **?** above it."""


def items() -> dict[str, Item]:
    """The nodes, in the order of their ids."""
    return {**subject_items(), **picture_items()}


def subject_items() -> dict[str, Item]:
    """From the sample to the cut-out, step by step and by one node."""
    picture = {"image": ("sample", 0)}
    return {
        "note": Item("MarkdownNote", (20, 925), (600, 560), [NOTE], title="Start here"),
        "sample": Item("EchoGenSamplePicture", (20, 80), (300, 360), [SAMPLE]),
        "describe": Item("EchoGenDescribeSubject", (380, 80), (290, 500), [PHRASE, "auto"], picture),
        "detect": Item(
            "EchoGenDetectSubject",
            (700, 80),
            (310, 720),
            ["", 0.35, "best score", "built-in cut", "auto", "transformers"],
            {**picture, "phrase": ("describe", 0)},
        ),
        "segment": Item(
            "EchoGenSegmentSubject",
            (1040, 80),
            (300, 580),
            [0.0, "auto", "transformers"],
            {**picture, "bounding_box": ("detect", 0)},
        ),
        "cut": Item(
            "EchoGenCutOutSubject",
            (1370, 80),
            (300, 520),
            [0.08, "white", "auto"],
            {**picture, "mask": ("segment", 0)},
        ),
        "whole": Item(
            "EchoGenSubjectSegmentation",
            (1730, 80),
            (280, 730),
            [PHRASE, 0.08, "white", 0.35, "best score", "built-in cut", 0.0, "auto", "auto", "auto", "auto"],
            picture,
        ),
        "show_whole": Item("PreviewImage", (2030, 80), (340, 400), [], {"images": ("whole", 0)}),
    }


def picture_items() -> dict[str, Item]:
    """From the cut-out to a picture of it in a scene."""
    return {
        "load": Item("EchoGenLoadBundle", (680, 905), (360, 165), ["nano (built in)", "auto"]),
        "text": Item(
            "EchoGenEncodeText",
            (680, 1115),
            (360, 90),
            ["a teddy bear on a meadow"],
            {"text_encoder": ("load", 2)},
        ),
        "semantic": Item(
            "EchoGenEncodeSemantic",
            (680, 1255),
            (360, 120),
            [1.0],
            {"semantic_encoder": ("load", 3), "image": ("cut", 0)},
        ),
        "content": Item(
            "EchoGenEncodeContent",
            (680, 1430),
            (360, 120),
            [1.0],
            {"content_encoder": ("load", 4), "image": ("cut", 0)},
        ),
        "sampler": sampler((2430, 80)),
        "decode": Item(
            "EchoGenDecodeBits",
            (1100, 925),
            (380, 60),
            [],
            {"bits": ("sampler", 0), "tokenizer": ("load", 1)},
        ),
        "enlarge": Item(
            "ImageScaleBy", (1100, 1035), (380, 90), ["bicubic", 3.0], {"image": ("decode", 0)}, ENLARGE
        ),
        "show": Item("PreviewImage", (1100, 1175), (380, 390), [], {"images": ("enlarge", 0)}),
        "save": Item(
            "SaveImage", (1510, 925), (400, 490), ["EchoGen/subject-segmentation"], {"images": ("decode", 0)}
        ),
    }


GROUPS: tuple[Group, ...] = (
    ("1 · Picture", (0, 0, 340, 830), "#3f789e"),
    ("2 · What it is, where it is, which pixels", (360, 0, 1330, 830), "#b58b2a"),
    ("Or all in one", (1710, 0, 680, 830), "#3f789e"),
    ("Read me", (0, 850, 640, 735), "#888888"),
    ("3 · Model and conditions", (660, 850, 400, 735), "#88aa88"),
    ("4 · Sampler", (2410, 0, 440, 1060), "#b58b2a"),
    ("5 · Picture", (1080, 850, 850, 735), "#3f789e"),
)
LAYOUT = Layout(
    "subject-segmentation", "5f0c6c6e-2c9e-4a53-9d0e-ec406e000004", items, GROUPS, 0.59, (105, 222)
)


if __name__ == "__main__":
    write(LAYOUT)
