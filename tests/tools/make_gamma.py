"""Writes the workflows about γ_t and γ_I, one by one, by scale, by path and for several prompts.

COMFYUI_PATH=... python tests/tools/make_gamma.py
"""

from __future__ import annotations

from collections.abc import Mapping

from layout import (
    COLUMN,
    COLUMNS,
    CONDITIONS,
    LEFT_HEIGHT,
    NARROWEST,
    RESULT_SIZE,
    Item,
    Layout,
    gammas,
    sampler,
    saved,
    shown,
    subject_way,
    write,
)

PROMPT = "a teddy bear on a meadow"
SWEEP_NOTE = """## γ Sweep: see them all, then choose

1. Press **Run**. *γ Sweep* draws the picture for every pair of γ_t (across) and γ_I (up); cells appear as \
they finish. Subject and prompt are computed once for all.
2. **Click a cell**: *EchoGen Sampler* takes its γ. Run again for that picture. Ctrl+Z undoes it.
3. Write lists (1, 2.5, 4) or ranges: 1-4 in steps of 1, 0-3 (+0.5), or 0-8 [5] for five values. Up to \
12 × 12.
4. **Third axis**: one grid for each tau, seed or prompt of a list.
5. **Cancel** keeps the finished cells. The grid is saved with its labels.

Cells above the diagonal of the sampler's pad follow the subject, those below it the prompt."""

SCHEDULE_NOTE = """## Guidance Schedule: γ scale by scale

1. Press **Run**: the same seed twice, with the schedule and with constant γ.
2. **Drag the points** of the curves (Shift: both at once), or press a preset. The picture grows from coarse \
to fine: the first scales set the layout, the last ones only detail.
3. The green squares are the **branches that each scale computes**: three in general, two where γ_t = γ_I, \
one where both are 1. *Off at end* saves two of three where most of the time goes.
4. Hover over a point for its numbers.

The scheduled sampler's own sliders are locked: the connected input overrides them."""

REWIRE_NOTE = """## What each path brings

The paper's ablation, by links alone. All three samplers have the same prompt, γ and seed:

- **Semantic only**: *content* isn't connected. DINOv2 knows what the subject is.
- **Content only**: *semantic* isn't connected. The VAE's code knows how it looks.
- **Both**: as in the other workflows.

Press **Run** and compare the pictures at the right. Change the seed in all three to see what is \
chance. Unplug *text* as well, and the model chooses the scene.

nano is tiny: both paths carry the colours, and the pictures differ little. With **EchoGen-2B** in \
*Load EchoGen* the same links show the paper's figure."""

SCENES_NOTE = """## One subject, many scenes

1. Press **Run**: one picture for each prompt of the **third axis**. The subject is computed only once.
2. Write your own, **one prompt per line**, up to 12. nano knows the scenes in the tooltip of *Encode Text*.
3. **2, 4** in γ_t or γ_I draws a small grid for each prompt.
4. Both are saved: the grids with their prompts, and the plain pictures.

The third axis can be **seed** or **tau** as well."""

SCENES = tuple(
    f"a teddy bear {place}"
    for place in ("on a meadow", "by the sea at dusk", "in a forest", "in Venice", "in an old laboratory")
)


def sweep_values(gamma_t: str, gamma_i: str, vary: str = "nothing", values: str = "") -> list[object]:
    """γ Sweep's widgets in order: the lists, and the sampler's own with seed 7."""
    return [gamma_t, gamma_i, vary, values, 7, "fixed", "1:1", "auto", 0.0, 0.0, 0]


def gamma_sweep() -> dict[str, Item]:
    """All cells, and the chosen one at their right."""
    x = COLUMNS[3]
    return {
        **subject_way(SWEEP_NOTE, PROMPT),
        "sweep": Item("EchoGenGammaSweep", (x, 0), (520, 960), sweep_values("1-4", "0-4 [3]"), CONDITIONS),
        "sampler": sampler((x + 570, 0), title="The cell you clicked"),
        **shown("chosen", x + 1010, 0, ("sampler", 0)),
        "save": saved("EchoGen/gamma-sweep", (x + 1010, 160), ("sweep", 0), "Save the grid"),
    }


def schedule() -> dict[str, Item]:
    """The same seed with curves and without."""
    points, x = "2.5, 2.5, 2.5, 2.5, 1", COLUMNS[3]
    ways = {"scheduled": "With the schedule", "constant": "Constant γ"}
    return {
        **subject_way(SCHEDULE_NOTE, PROMPT),
        "schedule": Item(
            "EchoGenGuidanceSchedule",
            (COLUMNS[2], 820),
            (COLUMN, 560),
            ["late off", *gammas("nano"), 1.0, points, points],
        ),
        "scheduled": sampler((x, 0), {**CONDITIONS, "guidance": ("schedule", 0)}, title=ways["scheduled"]),
        "constant": sampler((x + 440, 0), title=ways["constant"]),
        **compared(x + 880, ways),
    }


def compared(x: float, samplers: Mapping[str, str]) -> dict[str, Item]:
    """The pictures of several samplers, by name and title, one below the other."""
    height = LEFT_HEIGHT / len(samplers)
    made: dict[str, Item] = {}
    for row, (name, title) in enumerate(samplers.items()):
        size = (min(height - 90, RESULT_SIZE[0]), min(height - 50, RESULT_SIZE[1]))
        made.update(shown(name, x, row * height, (name, 0), title, size, decode_y=130 * row))
    return made


def rewire() -> dict[str, Item]:
    """Three samplers, each with other paths connected."""
    unplugged = {"semantic": ("content",), "content": ("semantic",), "both": ()}
    titles = {"semantic": "Semantic only", "content": "Content only", "both": "Both"}
    x = COLUMNS[3]
    samplers = {}
    for column, (name, sockets) in enumerate(unplugged.items()):
        links = {socket: source for socket, source in CONDITIONS.items() if socket not in sockets}
        samplers[f"by_{name}"] = sampler((x + 440 * column, 0), links, title=titles[name])
    shown_by = {f"by_{name}": title for name, title in titles.items()}
    return {**subject_way(REWIRE_NOTE, PROMPT), **samplers, **compared(x + 1320, shown_by)}


def scenes() -> dict[str, Item]:
    """γ Sweep over prompts: no text encoder of its own is needed."""
    way, x = subject_way(SCENES_NOTE, PROMPT), COLUMNS[3]
    del way["text"]
    way["semantic"].pos, way["content"].pos = (COLUMNS[2], 190), (COLUMNS[2], 420)
    links = {socket: source for socket, source in CONDITIONS.items() if socket != "text"}
    one_each = [f"{gamma:g}" for gamma in gammas("nano")]
    return {
        **way,
        "sweep": Item(
            "EchoGenGammaSweep",
            (x, 0),
            (600, 1000),
            sweep_values(*one_each, "prompt", "\n".join(SCENES)),
            {**links, "text_encoder": ("load", 2)},
            "One prompt per line",
        ),
        "decode": Item(
            "EchoGenDecodeBits",
            (x + 660, 0),
            (NARROWEST, 60),
            [],
            {"bits": ("sweep", 1), "tokenizer": ("load", 1)},
        ),
        "save": saved("EchoGen/scenes", (x + 660 + NARROWEST + 40, 0), ("decode", 0), "Save the pictures"),
        "save_grids": saved("EchoGen/scenes-titled", (x + 660, 160), ("sweep", 0), "Save with prompts"),
    }


IDENT = "5f0c6c6e-2c9e-4a53-9d0e-ec406e00000"
LAYOUTS = (
    Layout("Sweep - every pair of gammas", f"{IDENT}5", gamma_sweep),
    Layout("Schedule - guidance by scale", f"{IDENT}6", schedule),
    Layout("Unplug - what each path brings", f"{IDENT}7", rewire),
    Layout("Scenes - one subject, many prompts", f"{IDENT}8", scenes),
)


if __name__ == "__main__":
    for layout in LAYOUTS:
        write(layout)
