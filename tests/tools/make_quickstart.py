"""Writes workflows/quickstart.json and its API twin workflows/api/quickstart.json.

COMFYUI_PATH=... python tests/tools/make_quickstart.py

The layout is data here, so that it stays tidy when a node changes; look at it in a browser afterwards.
"""

from __future__ import annotations

from layout import ENLARGE, Group, Item, Layout, write

SAMPLE = "teddy_bear.png"
PROMPT = "a teddy bear on a meadow"
NOTE = """## EchoGen: the same subject in a new scene

1. Press **Run**. nano, the built-in miniature, makes a 64×64 px picture in about a second.
2. Drag **γ_I (subject)** or **γ_t (prompt)** on the sampler and run again: subject and prompt are \
remembered, only the sampler works.
3. Change the **prompt**: first the subject, then the place.
4. Your own picture: put **Load Image** in the place of *EchoGen Sample Picture*, with the same two wires. \
Is its background busy? Paint the subject in the mask editor.
5. Leave an input of the sampler open and that path is off: no text, no semantic, no content.

nano is tiny: scenes come out, subjects are soft shapes of the right colours. For real pictures choose \
**EchoGen-2B** in *Load EchoGen*; running it lists the files to download.

Help for a node: select it and press the **?** above it."""


def items() -> dict[str, Item]:
    """The nodes of the quickstart, in the order of their ids."""
    from echogen_core.config import PRESETS

    nano = PRESETS["nano"]
    bits = {"bits": ("sampler", 0), "tokenizer": ("load", 1)}
    return {
        "note": Item("MarkdownNote", (20, 640), (600, 350), [NOTE], title="Start here"),
        "sample": Item("EchoGenSamplePicture", (20, 80), (280, 330), [SAMPLE]),
        "cut": Item(
            "EchoGenCutOutSubject",
            (330, 80),
            (290, 440),
            [0.08, "white", "auto"],
            {"image": ("sample", 0), "mask": ("sample", 1)},
        ),
        "load": Item("EchoGenLoadBundle", (680, 80), (360, 140), ["nano (built in)"]),
        "text": Item("EchoGenEncodeText", (680, 350), (360, 160), [PROMPT], {"text_encoder": ("load", 2)}),
        "semantic": Item(
            "EchoGenEncodeSemantic",
            (680, 570),
            (360, 95),
            [1.0],
            {"semantic_encoder": ("load", 3), "image": ("cut", 0)},
        ),
        "content": Item(
            "EchoGenEncodeContent",
            (680, 725),
            (360, 95),
            [1.0],
            {"content_encoder": ("load", 4), "image": ("cut", 0)},
        ),
        "sampler": Item(
            "EchoGenSampler",
            (1100, 80),
            (400, 760),
            [nano.gamma_t, nano.gamma_i, 7, "fixed", 1, "1:1", "auto", 0.0, 0.0, 0],
            {
                "model": ("load", 0),
                "text": ("text", 0),
                "semantic": ("semantic", 0),
                "content": ("content", 0),
                "tokenizer": ("load", 1),
            },
        ),
        "decode": Item("EchoGenDecodeBits", (1560, 80), (200, 60), [], bits),
        "save": Item("SaveImage", (1780, 80), (200, 240), ["EchoGen/quickstart"], {"images": ("decode", 0)}),
        "enlarge": Item(
            "ImageScaleBy", (1560, 200), (200, 90), ["bicubic", 6.0], {"image": ("decode", 0)}, ENLARGE
        ),
        "show": Item("PreviewImage", (1570, 410), (400, 435), [], {"images": ("enlarge", 0)}),
        "scales": Item("EchoGenDecodeScales", (2040, 80), (300, 60), [], bits),
        "enlarge_scales": Item(
            "ImageScaleBy", (2040, 200), (300, 90), ["bicubic", 3.0], {"image": ("scales", 0)}, ENLARGE
        ),
        "show_scales": Item("PreviewImage", (2040, 380), (300, 450), [], {"images": ("enlarge_scales", 0)}),
    }


GROUPS: tuple[Group, ...] = (
    ("1 · Subject", (0, 0, 640, 540), "#3f789e"),
    ("2 · Model", (660, 0, 400, 240), "#88aa88"),
    ("3 · Conditions", (660, 260, 400, 600), "#3f789e"),
    ("4 · Sampler", (1080, 0, 440, 860), "#b58b2a"),
    ("5 · Picture", (1540, 0, 460, 860), "#3f789e"),
    ("Read me", (0, 560, 640, 450), "#888888"),
    ("6 · After each scale", (2020, 0, 340, 860), "#888888"),
)


LAYOUT = Layout("quickstart", "5f0c6c6e-2c9e-4a53-9d0e-ec406e000001", items, GROUPS, 0.76, (95, 190))


if __name__ == "__main__":
    write(LAYOUT)
