"""Contact sheets: what the figures look like.

Shapes: S subjects (rows), K columns, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from echogen_core.pictures import to_pil

from ..data.dataset import Compositor
from .baselines import disc_of_mean_colour, reduce_to_cells
from .generation import GenerationSettings, Miniature
from .protocol import OTHER_VIEW, Task, make_task

SCENES = ("forest", "meadow", "sea", "venice", "night", "plain-red")
SWEEP_SCENE = "meadow"
GAMMAS = (0.0, 1.0, 2.0, 4.0)
BLIND_SCENES, BLIND_COLUMNS, BLIND_GAP, NUMBER_WIDTH = ("meadow", "sea", "plain-red"), 4, 40, 24
TILE = 128
"""Side of a picture on the sheet."""
LABEL_HEIGHT, NAME_WIDTH, GAP = 34, 120, 4


@dataclass(frozen=True)
class Column:
    """One picture for each subject under a heading of up to two lines."""

    heading: str
    images_S3HW: Tensor


def contact_sheet(data: Path, miniature: Miniature, names: list[str], seed: int) -> Image.Image:
    """References, scenes at the preset, γ_I in one scene, and real pictures and baselines of the same."""
    held = Compositor(data, "heldout", icons=False)
    rows = torch.tensor(rows_of(held, names))
    known = {scene.name: index for index, scene in enumerate(held.scenes)}
    preset = miniature.preset
    tasks = {
        name: make_task(held, rows, torch.full_like(rows, known[name]), seed)
        for name in (*SCENES, SWEEP_SCENE)
        if name in known
    }
    first = next(iter(tasks.values()))
    columns = [Column("reference", first.references_S3HW[rows])]
    columns += [_generated(name, task, miniature, preset) for name, task in tasks.items() if name in SCENES]
    if SWEEP_SCENE in tasks:
        task = tasks[SWEEP_SCENE]
        for gamma_i in GAMMAS:
            # Pillow's own font has no Greek
            heading = f"gamma_I {gamma_i:g}\n" + (SWEEP_SCENE if gamma_i else "text only")
            columns.append(_generated(heading, task, miniature, replace(preset, gamma_i=gamma_i)))
        columns += baseline_columns(task, miniature)
    return draw([held.subjects[row]["name"] for row in rows.tolist()], columns)


def blind_sheet(data: Path, miniature: Miniature, seed: int) -> tuple[Image.Image, list[str]]:
    """All held-out subjects in three scenes, in random order, for somebody to name without references.

    Rows are numbered. Returns the sheet, and the names in the order of the numbers.
    """
    held = Compositor(data, "heldout", icons=False)
    rows = torch.randperm(len(held.views_NVHW4), generator=torch.Generator().manual_seed(seed))
    known = {scene.name: index for index, scene in enumerate(held.scenes)}
    found_S3HW = []
    for name in BLIND_SCENES:
        task = make_task(held, rows, torch.full_like(rows, known[name]), seed)
        found_S3HW.append(miniature.generate(task, miniature.preset))
    height = -(-len(rows) // BLIND_COLUMNS)
    parts = []
    for start in range(0, len(rows), height):
        numbers = [str(number + 1) for number in range(start, min(start + height, len(rows)))]
        columns = [Column("", images_S3HW[start:][:height]) for images_S3HW in found_S3HW]
        parts.append(draw(numbers, columns, NUMBER_WIDTH))
    step = parts[0].width + BLIND_GAP
    whole = Image.new("RGB", (len(parts) * step - BLIND_GAP, parts[0].height), "white")
    for number, part in enumerate(parts):
        whole.paste(part, (number * step, 0))
    return whole, [held.subjects[row]["name"] for row in rows.tolist()]


def rows_of(held: Compositor, names: list[str]) -> list[int]:
    """Indices of held-out subjects by name. Raises ValueError, with the choices, for any other name."""
    known = {subject["name"]: subject["row"] for subject in held.subjects}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"Expected held-out subjects, got {', '.join(unknown)}. Choose from {', '.join(known)}."
        )
    return [known[name] for name in names]


def baseline_columns(task: Task, miniature: Miniature) -> list[Column]:
    """Real pictures, the same through the tokenizer, cells and disc, all at the same places."""
    sprites_N4HW, real = task.sprites(OTHER_VIEW), task.real(OTHER_VIEW)
    return [
        Column("real\nnext view", real),
        Column("real through\ntokenizer", miniature.through_tokenizer(real)),
        Column("4x4 cells", task.placed(reduce_to_cells(sprites_N4HW, 4))),
        Column("disc", task.placed(disc_of_mean_colour(sprites_N4HW))),
    ]


def _generated(heading: str, task: Task, miniature: Miniature, settings: GenerationSettings) -> Column:
    return Column(heading, miniature.generate(task, settings))


def draw(names: list[str], columns: list[Column], name_width: int = NAME_WIDTH) -> Image.Image:
    """Columns side by side, names on the left, headings on top; small pictures enlarged without smoothing."""
    side = TILE
    width = name_width + len(columns) * (side + GAP)
    height = LABEL_HEIGHT + len(names) * (side + GAP)
    canvas = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for row, name in enumerate(names):
        y = LABEL_HEIGHT + row * (side + GAP)
        pen.multiline_text((4, y + side // 2 - 14), _wrapped(name), fill="black", font=font)
    for number, column in enumerate(columns):
        x = name_width + number * (side + GAP)
        pen.multiline_text((x + 2, 2), column.heading, fill="black", font=font, spacing=1)
        for row, image_3HW in enumerate(column.images_S3HW):
            tile = to_pil(image_3HW).resize((side, side), Image.Resampling.NEAREST)
            canvas.paste(tile, (x, LABEL_HEIGHT + row * (side + GAP)))
    return canvas


def _wrapped(name: str, width: int = 15) -> str:
    lines = [""]
    for word in name.split():
        if lines[-1] and len(lines[-1]) + len(word) + 1 > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
