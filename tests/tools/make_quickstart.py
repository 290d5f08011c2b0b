"""Writes workflows/Quickstart.json and its API twin.

COMFYUI_PATH=... python tests/tools/make_quickstart.py

The layout is data here, so that it stays tidy when a node changes; look at it in a browser afterwards.
"""

from __future__ import annotations

from layout import COLUMNS, App, Item, Layout, sampler, shown, subject_way, write

PROMPT = "a teddy bear on a meadow"
NOTE = """## Your subject in a new scene

1. Press **Run**: seconds later the teddy bear is on a meadow.
2. **Your own picture**: drop it on *Reference Picture*. *Subject Segmentation* cuts the subject out and \
shows it. The wrong thing? Draw a **box** on its picture or type a **phrase** there; or paint the subject: \
right-click *Reference Picture*, *Open in MaskEditor*.
3. Change the **prompt**: first the subject, then the scene.
4. Drag the dot on the sampler's **pad**: across for the prompt, up for the subject.

nano, the built-in model, is tiny: 256×256 px, and 20 scenes, which *Encode Text* lists in its tooltip. For \
real pictures choose **EchoGen-2B** in *Load EchoGen* and press Run: it lists what to download.

All of this in one node: the blueprint **BLUEPRINT**, in the node library."""


def items() -> dict[str, Item]:
    """The nodes of the quickstart, in the order of their ids."""
    from make_blueprint import NAME

    x = COLUMNS[3]
    return {
        **subject_way(NOTE.replace("BLUEPRINT", NAME), PROMPT),
        "sampler": sampler((x, 0)),
        **shown("result", x + 440, 0, ("sampler", 0), prefix="EchoGen/quickstart"),
    }


APP = App(
    [("sample", "picture"), ("text", "prompt"), ("sampler", "gamma_pad")],
    ["show_result"],
)
LAYOUT = Layout("Quickstart", "5f0c6c6e-2c9e-4a53-9d0e-ec406e000001", items, APP)


if __name__ == "__main__":
    write(LAYOUT)
