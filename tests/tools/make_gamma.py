"""Writes the workflows about γ_t and γ_I: gamma-sweep, schedule, rewire-ablation and batch-of-scenes.

COMFYUI_PATH=... python tests/tools/make_gamma.py
"""

from __future__ import annotations

from layout import (
    CONDITIONS,
    LEFT_GROUPS,
    Group,
    Item,
    Layout,
    gammas,
    sampler,
    shown,
    subject_way,
    write,
)

PROMPT = "a teddy bear on a meadow"
SWEEP_NOTE = """## γ Sweep: see them all, then choose

1. Press **Run**. *γ Sweep* draws the picture for every pair of γ_t (across) and γ_I (up); cells appear as \
they finish. Subject and prompt are computed once for all.
2. **Click a cell**: its γ goes to *EchoGen Sampler*. Run again for that picture. Ctrl+Z undoes it.
3. Write lists (`1, 2.5, 4`) or ranges: `1-4` in steps of 1, `0-3 (+0.5)`, `0-8 [5]` for five values. Up to \
12 × 12.
4. **vary**: one grid for each tau, seed or prompt of a third list.
5. **Cancel** keeps the cells that are done. The grid is saved with its labels.

Cells above the diagonal of the sampler's pad follow the subject, those below it the prompt."""

SCHEDULE_NOTE = """## Guidance Schedule: γ scale by scale

1. Press **Run**: the same seed, once with the schedule, once with the constant γ from the sliders.
2. **Drag the points** of the curves (Shift: both at once), or press a preset. The picture grows from coarse \
to fine: the first scales set the layout, the last ones only detail.
3. The green squares are the **branches that each scale computes**: three in general, two where γ_t = γ_I, \
one where both are 1. *Late off* saves two of three where most of the time goes.
4. Hover over a point for its numbers.

The scheduled sampler's own sliders are locked: the connected input overrides them."""

REWIRE_NOTE = """## What each path brings

The paper's ablation, by links alone. All three samplers have the same prompt, γ and seed:

- **Semantic only**: *content* is unconnected. DINOv2 knows what the subject is.
- **Content only**: *semantic* is unconnected. The VAE's code knows how it looks.
- **Both**: as everywhere else.

Press **Run** and compare the pictures below the samplers. Change the seed in all three to see what is \
chance. Unplug *text* as well, and the scene is the model's own choice.

nano is tiny: colours come from both paths, and what sets them apart is small. With **EchoGen-2B** in \
*Load EchoGen* the same links show the paper's figure."""

SCENES_NOTE = """## One subject, many scenes

1. Press **Run**: one picture for every line of **values**. The subject is computed once, each prompt once.
2. Write scenes of your own, **one prompt per line**, up to 12.
3. More than one γ? `2, 4` in γ_t or γ_I gives a small grid for each scene.
4. The saved grids carry their prompts; *Save Image* at the right has the plain pictures.

The same node varies **seed** or **tau** instead: choose it under *vary*."""

SCENES = tuple(
    f"a teddy bear {place}"
    for place in ("on a meadow", "by the sea at dusk", "in a forest", "in a snowy street", "on a beach")
)


def sweep_values(gamma_t: str, gamma_i: str, vary: str = "nothing", values: str = "") -> list[object]:
    """γ Sweep's widgets in order: the lists, and the sampler's own with seed 7."""
    return [gamma_t, gamma_i, vary, values, 7, "fixed", "1:1", "auto", 0.0, 0.0, 0]


def gamma_sweep() -> dict[str, Item]:
    """All cells at the left, the chosen one at the right."""
    return {
        **subject_way(SWEEP_NOTE, PROMPT),
        "sweep": Item(
            "EchoGenGammaSweep", (1100, 80), (520, 960), sweep_values("1-4", "0-4 [3]"), CONDITIONS
        ),
        "save": Item("SaveImage", (1680, 80), (460, 360), ["EchoGen/gamma-sweep"], {"images": ("sweep", 0)}),
        "sampler": sampler((2200, 80)),
        **shown("chosen", 1680, 540, 460, 500, ("sampler", 0)),
    }


SWEEP_GROUPS: tuple[Group, ...] = (
    *LEFT_GROUPS,
    ("4 · Every pair", (1080, 0, 560, 1060), "#b58b2a"),
    ("5 · The grid, saved", (1660, 0, 500, 460), "#3f789e"),
    ("6 · The one you clicked", (2180, 0, 440, 1060), "#b58b2a"),
    ("7 · Its picture", (1660, 480, 500, 580), "#3f789e"),
)


def schedule() -> dict[str, Item]:
    """The same seed with curves and without."""
    points = "2.5, 2.5, 2.5, 2.5, 1"
    return {
        **subject_way(SCHEDULE_NOTE, PROMPT),
        "schedule": Item(
            "EchoGenGuidanceSchedule",
            (1100, 80),
            (460, 560),
            ["late off", *gammas("nano"), 1.0, points, points],
        ),
        "scheduled": sampler(
            (1650, 80), {**CONDITIONS, "guidance": ("schedule", 0)}, title="With the schedule"
        ),
        "constant": sampler((2170, 80), title="Constant γ"),
        **shown("scheduled", 1620, 1110, 460, 500, ("scheduled", 0)),
        **shown("constant", 2140, 1110, 460, 500, ("constant", 0)),
    }


SCHEDULE_GROUPS: tuple[Group, ...] = (
    *LEFT_GROUPS,
    ("4 · Curves", (1080, 0, 500, 870), "#b58b2a"),
    ("5 · With the schedule", (1600, 0, 500, 1630), "#3f789e"),
    ("6 · Constant γ, same seed", (2120, 0, 500, 1630), "#888888"),
)


def rewire() -> dict[str, Item]:
    """Three samplers, each with other paths open."""
    paths = {"semantic": ("content",), "content": ("semantic",), "both": ()}
    titles = {"semantic": "Semantic only", "content": "Content only", "both": "Both"}
    columns: dict[str, Item] = {}
    for column, (name, left_open) in enumerate(paths.items()):
        x = 1100 + 520 * column
        links = {socket: source for socket, source in CONDITIONS.items() if socket not in left_open}
        columns[f"sampler_{name}"] = sampler((x + 30, 80), links, title=titles[name])
        columns.update(shown(name, x, 1110, 460, 500, (f"sampler_{name}", 0)))
    return {**subject_way(REWIRE_NOTE, PROMPT), **columns}


REWIRE_GROUPS: tuple[Group, ...] = (
    *LEFT_GROUPS,
    ("4 · Semantic only", (1080, 0, 500, 1630), "#3f789e"),
    ("5 · Content only", (1600, 0, 500, 1630), "#3f789e"),
    ("6 · Both", (2120, 0, 500, 1630), "#b58b2a"),
)


def scenes() -> dict[str, Item]:
    """γ Sweep over prompts: no text encoder of its own is needed."""
    way = subject_way(SCENES_NOTE, PROMPT)
    del way["text"]
    way["semantic"].pos, way["content"].pos = (680, 375), (680, 585)
    links = {socket: source for socket, source in CONDITIONS.items() if socket != "text"}
    one_each = [f"{gamma:g}" for gamma in gammas("nano")]
    return {
        **way,
        "sweep": Item(
            "EchoGenGammaSweep",
            (1100, 80),
            (520, 960),
            sweep_values(*one_each, "prompt", "\n".join(SCENES)),
            {**links, "text_encoder": ("load", 2)},
            "One picture a line",
        ),
        "save_grids": Item(
            "SaveImage", (1680, 80), (460, 360), ["EchoGen/scenes-titled"], {"images": ("sweep", 0)}
        ),
        **shown("scenes", 1680, 540, 460, 500, ("sweep", 1)),
        "save": Item(
            "SaveImage", (2200, 80), (400, 360), ["EchoGen/scenes"], {"images": ("decode_scenes", 0)}
        ),
    }


SCENES_GROUPS: tuple[Group, ...] = (
    LEFT_GROUPS[0],
    LEFT_GROUPS[1],
    LEFT_GROUPS[2],
    ("3 · Subject's features", (660, 290, 400, 480), "#3f789e"),
    ("4 · Scenes", (1080, 0, 560, 1060), "#b58b2a"),
    ("5 · With their prompts, saved", (1660, 0, 500, 460), "#3f789e"),
    ("6 · Plain", (1660, 480, 500, 580), "#3f789e"),
    ("7 · Saved", (2180, 0, 440, 460), "#3f789e"),
)

IDENT = "5f0c6c6e-2c9e-4a53-9d0e-ec406e00000"
LAYOUTS = (
    Layout("gamma-sweep", f"{IDENT}5", gamma_sweep, SWEEP_GROUPS, 0.69, (95, 200)),
    Layout("schedule", f"{IDENT}6", schedule, SCHEDULE_GROUPS, 0.58, (106, 225)),
    Layout("rewire-ablation", f"{IDENT}7", rewire, REWIRE_GROUPS, 0.58, (106, 225)),
    Layout("batch-of-scenes", f"{IDENT}8", scenes, SCENES_GROUPS, 0.69, (95, 200)),
)


if __name__ == "__main__":
    for layout in LAYOUTS:
        write(layout)
