"""Writes the workflows of the published models: echogen-2b and text-to-image-infinity.

COMFYUI_PATH=... python tests/tools/make_published.py
"""

from __future__ import annotations

from layout import LEFT_GROUPS, Group, Item, Layout, gammas, sampler, subject_way, write

ECHOGEN_NOTE = """## EchoGen-2B: your subject at 1024 px

1. **Get the files**, once: `python -m echogen_core models download echogen-2b` in this pack's folder, or by \
hand: press **Run**, and *Load EchoGen* lists each missing file with its size, address and folder. What a \
file is called does not matter.
2. Replace *EchoGen Sample Picture* with **Load Image** for a subject of your own.
3. Change the **prompt**: first the subject, then the place.
4. Small card? Set **dtype** in *Load EchoGen* to **fp8**: half the memory, a little less exact.
5. **γ_t** for the scene, **γ_I** for the likeness; 2.5 for both is the authors' choice, and cheaper than \
two different values."""

INFINITY_NOTE = """## Infinity-2B: text to image

EchoGen's base model, without a subject. **Get the files**, once: \
`python -m echogen_core models download infinity-2b` in this pack's folder. Pressing **Run** without them \
says what to fetch, from where and into which folder.

γ_t is what Infinity calls *cfg* (4); γ_I has no effect. tau 0 means Infinity's own 0.5."""


def echogen() -> dict[str, Item]:
    """The subject's way through Load EchoGen."""
    return {
        **subject_way(ECHOGEN_NOTE, "a teddy bear reading a book in a cafe, morning light", "EchoGen-2B"),
        "sampler": sampler((1100, 80), gamma=gammas("echogen-2b")),
        "decode": Item(
            "EchoGenDecodeBits",
            (1560, 80),
            (480, 60),
            [],
            {"bits": ("sampler", 0), "tokenizer": ("load", 1)},
        ),
        "save": Item("SaveImage", (1560, 210), (480, 630), ["EchoGen/echogen-2b"], {"images": ("decode", 0)}),
    }


ECHOGEN_GROUPS: tuple[Group, ...] = (
    *LEFT_GROUPS,
    ("4 · Sampler", (1080, 0, 440, 1060), "#b58b2a"),
    ("5 · Picture", (1540, 0, 520, 870), "#3f789e"),
)


def infinity() -> dict[str, Item]:
    """A prompt's way through the loaders of single files."""
    return {
        "note": Item("MarkdownNote", (20, 610), (360, 260), [INFINITY_NOTE], title="Start here"),
        "model": Item("EchoGenLoadModel", (20, 80), (360, 90), ["infinity_2b_reg.pth", "auto"]),
        "tokenizer": Item("EchoGenLoadTokenizer", (20, 230), (360, 65), ["infinity_vae_d32reg.pth"]),
        "encoder": Item("EchoGenLoadTextEncoder", (20, 355), (360, 90), ["flan-t5-xl", "auto"]),
        "text": Item(
            "EchoGenEncodeText",
            (440, 80),
            (360, 200),
            ["a lighthouse on a cliff at dusk, waves below, photograph"],
            {"text_encoder": ("encoder", 0)},
        ),
        "sampler": sampler(
            (860, 80),
            {"model": ("model", 0), "text": ("text", 0), "tokenizer": ("tokenizer", 0)},
            (4.0, 4.0),
        ),
        "decode": Item(
            "EchoGenDecodeBits",
            (1320, 80),
            (480, 60),
            [],
            {"bits": ("sampler", 0), "tokenizer": ("tokenizer", 0)},
        ),
        "save": Item("SaveImage", (1320, 210), (480, 630), ["EchoGen/infinity"], {"images": ("decode", 0)}),
    }


INFINITY_GROUPS: tuple[Group, ...] = (
    ("1 · Files", (0, 0, 400, 470), "#88aa88"),
    ("2 · Prompt", (420, 0, 400, 300), "#3f789e"),
    ("3 · Sampler", (840, 0, 440, 1060), "#b58b2a"),
    ("4 · Picture", (1300, 0, 520, 890), "#3f789e"),
    ("Read me", (0, 530, 400, 360), "#888888"),
)

LAYOUTS = (
    Layout("echogen-2b", "5f0c6c6e-2c9e-4a53-9d0e-ec406e000002", echogen, ECHOGEN_GROUPS, 0.8, (95, 190)),
    Layout(
        "text-to-image-infinity",
        "5f0c6c6e-2c9e-4a53-9d0e-ec406e000003",
        infinity,
        INFINITY_GROUPS,
        0.86,
        (95, 170),
    ),
)

if __name__ == "__main__":
    for layout in LAYOUTS:
        write(layout)
