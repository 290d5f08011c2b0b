"""Writes workflows/quickstart.json and its API twin workflows/api/quickstart.json.

COMFYUI_PATH=... python tests/tools/make_quickstart.py

The layout is data here, so that it stays tidy when a node changes; look at it in a browser afterwards.
"""

from __future__ import annotations

from layout import ENLARGE, LEFT_GROUPS, NARROWEST, Group, Item, Layout, sampler, subject_way, write

PROMPT = "a teddy bear on a meadow"
NOTE = """## EchoGen: the same subject in a new scene

1. Press **Run**. nano, the built-in miniature, makes a 128×128 px picture in about a second.
2. Drag **γ_I (subject)** or **γ_t (prompt)** on the sampler and run again: subject and prompt are \
remembered, only the sampler works.
3. Change the **prompt**: first the subject, then the place. nano knows *on the left* and *at night* too.
4. Your own picture: replace *EchoGen Sample Picture* with **Load Image**, with the same two links. \
Is its background busy? Paint the subject in the mask editor.
5. Leave an input of the sampler unconnected and that path is off: no text, no semantic, no content.

nano is tiny: it draws your subject as the reference shows it, a little soft, in scenes that it knows. \
For real pictures choose **EchoGen-2B** in *Load EchoGen*; running it lists the files to download.

Help for a node: select it and press the **?** above it."""


def items() -> dict[str, Item]:
    """The nodes of the quickstart, in the order of their ids."""
    bits = {"bits": ("sampler", 0), "tokenizer": ("load", 1)}
    return {
        **subject_way(NOTE, PROMPT),
        "sampler": sampler((1100, 80)),
        "decode": Item("EchoGenDecodeBits", (1560, 80), (NARROWEST, 60), [], bits),
        "save": Item(
            "SaveImage", (1800, 80), (NARROWEST, 240), ["EchoGen/quickstart"], {"images": ("decode", 0)}
        ),
        "enlarge": Item(
            "ImageScaleBy", (1560, 200), (NARROWEST, 90), ["bicubic", 3.0], {"image": ("decode", 0)}, ENLARGE
        ),
        "show": Item("PreviewImage", (1592, 410), (400, 435), [], {"images": ("enlarge", 0)}),
        "scales": Item("EchoGenDecodeScales", (2085, 80), (300, 60), [], bits),
        "enlarge_scales": Item(
            "ImageScaleBy", (2085, 200), (300, 90), ["bicubic", 2.0], {"image": ("scales", 0)}, ENLARGE
        ),
        "show_scales": Item("PreviewImage", (2085, 380), (300, 450), [], {"images": ("enlarge_scales", 0)}),
    }


GROUPS: tuple[Group, ...] = (
    *LEFT_GROUPS,
    ("4 · Sampler", (1080, 0, 440, 1060), "#b58b2a"),
    ("5 · Picture", (1540, 0, 505, 870), "#3f789e"),
    ("6 · After each scale", (2065, 0, 340, 870), "#888888"),
)


LAYOUT = Layout("quickstart", "5f0c6c6e-2c9e-4a53-9d0e-ec406e000001", items, GROUPS, 0.74, (95, 190))


if __name__ == "__main__":
    write(LAYOUT)
