"""Writes the workflows of the published models, EchoGen-2B and Infinity-2B.

COMFYUI_PATH=... python tests/tools/make_published.py
"""

from __future__ import annotations

from layout import (
    COLUMN,
    COLUMNS,
    LARGE_RESULT_SIZE,
    NARROWEST,
    Item,
    Layout,
    gammas,
    note,
    sampler,
    subject_way,
    write,
)

ECHOGEN_NOTE = """## EchoGen-2B: your subject at 1024 px

1. **Get the files**, once: **python -m echogen_core models download echogen-2b** in this pack's folder, or \
by hand: press **Run**, and *Load EchoGen* lists each missing file with its size, address and folder.
2. **Your own picture**: drop it on *Reference Picture*. *Subject Segmentation* cuts the subject out.
3. Change the **prompt**: first the subject, then the place.
4. Small card? Set **dtype** in *Load EchoGen* to **fp8**: half the memory, a little less exact.
5. **γ_t** for the scene, **γ_I** for the likeness; 2.5 for both is the authors' choice, and cheaper than \
two different values."""

ECHOGEN_PROMPT = "a teddy bear on a meadow, reading a book, morning light"
INFINITY_PROMPT = "a lighthouse by the sea at dusk, waves below, photograph"
INFINITY_NOTE = """## Infinity-2B: text to image

EchoGen's base model, without a subject. **Get the files**, once: \
**python -m echogen_core models download infinity-2b** in this pack's folder. Pressing **Run** without them \
says what to fetch, from where and into which folder.

γ_t is what Infinity calls *cfg* (4); γ_I has no effect. tau 0 means Infinity's own 0.5."""


def echogen() -> dict[str, Item]:
    """The subject's way through Load EchoGen."""
    x = COLUMNS[3] + 440
    return {
        **subject_way(ECHOGEN_NOTE, ECHOGEN_PROMPT, "EchoGen-2B", single_files("echogen-2b")),
        "sampler": sampler((COLUMNS[3], 0), gamma=gammas("echogen-2b")),
        "decode": Item(
            "EchoGenDecodeBits",
            (x, 0),
            (NARROWEST, 60),
            [],
            {"bits": ("sampler", 0), "tokenizer": ("load", 1)},
        ),
        "save": Item(
            "SaveImage",
            (x + NARROWEST + 50, 0),
            LARGE_RESULT_SIZE,
            ["EchoGen/echogen-2b"],
            {"images": ("decode", 0)},
            "Result",
        ),
    }


def infinity() -> dict[str, Item]:
    """A prompt's way through the loaders of single files."""
    _, left, right, last = COLUMNS
    model, tokenizer = single_files("infinity-2b")
    return {
        "note": note(INFINITY_NOTE, (0, 0), (320, 440)),
        "encoder": Item("EchoGenLoadTextEncoder", (left, 280), (COLUMN, 90), ["flan-t5-xl", "auto"]),
        "model": Item(
            "EchoGenLoadModel", (right, 0), (COLUMN, 90), ["infinity_2b_reg.pth", "auto"], models=[model]
        ),
        "tokenizer": Item(
            "EchoGenLoadTokenizer",
            (right, 150),
            (COLUMN, 65),
            ["infinity_vae_d32reg.pth"],
            models=[tokenizer],
        ),
        "text": Item(
            "EchoGenEncodeText",
            (right, 280),
            (COLUMN, 200),
            [INFINITY_PROMPT],
            {"text_encoder": ("encoder", 0)},
        ),
        "sampler": sampler(
            (last, 0),
            {"model": ("model", 0), "text": ("text", 0), "tokenizer": ("tokenizer", 0)},
            (4.0, 4.0),
        ),
        "decode": Item(
            "EchoGenDecodeBits",
            (last + 440, 0),
            (NARROWEST, 60),
            [],
            {"bits": ("sampler", 0), "tokenizer": ("tokenizer", 0)},
        ),
        "save": Item(
            "SaveImage",
            (last + 440 + NARROWEST + 50, 0),
            LARGE_RESULT_SIZE,
            ["EchoGen/infinity"],
            {"images": ("decode", 0)},
            "Result",
        ),
    }


def single_files(name: str) -> list[dict[str, str]]:
    """A published model's parts that are one file each, as core's templates embed them."""
    from echogen_core.checkpoints.catalog.published_models import PUBLISHED, WEB

    return [
        {
            "name": part.name,
            "url": f"{WEB}/{part.hub}/resolve/main/{part.name}",
            "directory": part.folder,
        }
        for part in PUBLISHED[name]
        if not part.subfolder
    ]


IDENT = "5f0c6c6e-2c9e-4a53-9d0e-ec406e00000"
LAYOUTS = (
    Layout("With download - EchoGen-2B", f"{IDENT}2", echogen),
    Layout("With download - Infinity-2B", f"{IDENT}3", infinity),
)

if __name__ == "__main__":
    for layout in LAYOUTS:
        write(layout)
