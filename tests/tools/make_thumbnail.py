"""Makes the thumbnails of all workflows, or of those that are named, from real runs of them.

COMFYUI_PATH=... python tests/tools/make_thumbnail.py [Quickstart ...]

The workflows of the published models, whose weights aren't in the repository, get a drawing of what they do.
Needs the built-in model's weights. Look at the results before committing them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

ROOT = Path(__file__).resolve().parents[2]
SIDE, CORNER = 512, 132
PAPER, INK, QUIET, WARM, COOL = "#23282f", "#f2efe8", "#9aa3ad", "#ffb02e", "#7cb7ff"
STEPS = ("EchoGenSamplePicture", "EchoGenDetectSubject", "EchoGenSegmentSubject", "EchoGenCutOutSubject")
SCENES = ("on a meadow", "by the sea at dusk", "in a forest")
STEP_BY_STEP, SWEEP = "Segmentation - step by step", "Sweep - every pair of gammas"
SCHEDULE, UNPLUG = "Schedule - guidance by scale", "Unplug - what each path brings"
SEVERAL = "Scenes - one subject, many prompts"
INTO_PHOTO, SWAP = "Subject - into your own photo", "Swap - another subject, same layout"
REGIONS, RANK = "Regions - two subjects in one scene", "Rank - the best of eight"
SAMPLE = ROOT / "echogen_core" / "assets" / "samples" / "teddy_bear.png"

Tile = tuple[str, Image.Image]


def sheet(tiles: Iterable[Tile]) -> Image.Image:
    """Up to four pictures in a square, each filling its quarter, with their captions."""
    whole, side = Image.new("RGB", (SIDE, SIDE), PAPER), SIDE // 2
    pen = ImageDraw.Draw(whole)
    for index, (caption, picture) in enumerate(list(tiles)[:4]):
        x, y = index % 2 * side, index // 2 * side
        whole.paste(ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.BICUBIC), (x, y))
        if caption:
            pen.rectangle((x, y + side - 30, x + side, y + side), PAPER)
            pen.text((x + side // 2, y + side - 15), caption, INK, font(18), anchor="mm")
    return whole


def font(size: int) -> Any:
    """The built-in font: it has no Greek and no arrows."""
    return ImageFont.load_default(size)


class Runs:
    """Shipped workflows, run on a real server."""

    def __init__(self, recorder: Any) -> None:
        self.recorder = recorder

    def pictures(self, graph: dict[str, Any]) -> dict[str, list[Image.Image]]:
        """What each node of a graph shows, by the node's title."""
        run = self.recorder.run(graph)
        if run.error is not None:
            raise SystemExit(run.message)
        return {graph[node]["_meta"]["title"]: pictures for node, pictures in run.pictures.items()}


def quickstart(runs: Runs) -> Image.Image:
    """The reference, and what the workflow makes of three prompts."""
    import comfy_server

    tiles: list[Tile] = []
    for scene in SCENES:
        graph = comfy_server.changed(
            comfy_server.quickstart(), "EchoGenEncodeText", prompt=f"a teddy bear {scene}"
        )
        shown = runs.pictures(graph)
        tiles += [] if tiles else [("", shown["Subject Segmentation"][1])]
        tiles.append(("", shown["Save Image"][0]))
    return sheet(tiles)


def segmentation(runs: Runs) -> Image.Image:
    """What each step shows, without the words below."""
    import comfy_server

    graph = comfy_server.shipped(STEP_BY_STEP)
    titles = [graph[comfy_server.node_of(graph, step)]["_meta"]["title"] for step in STEPS]
    shown = runs.pictures(graph)
    firsts = [shown[title][0] for title in titles]
    return sheet(("", picture.crop((0, 0, picture.width, picture.width))) for picture in firsts)


def gamma_sweep(runs: Runs) -> Image.Image:
    """The labelled grid as it is saved."""
    import comfy_server

    (grid,) = runs.pictures(comfy_server.shipped(SWEEP))["Save the grid"]
    return ImageOps.pad(grid.convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS, "white")


def schedule(runs: Runs) -> Image.Image:
    """The reference, the curves, and the picture with and without them."""
    import comfy_server

    graph = comfy_server.shipped(SCHEDULE)
    shape = graph[comfy_server.node_of(graph, "EchoGenGuidanceSchedule")]["inputs"]
    shown = by_sampler(runs, graph)
    return sheet(
        [
            ("reference", Image.open(SAMPLE)),
            ("guidance over the scales", curves(**shape)),
            ("with the schedule", shown["With the schedule"]),
            ("constant", shown["Constant γ"]),
        ]
    )


def rewire(runs: Runs) -> Image.Image:
    """The reference, and what each path makes of it."""
    import comfy_server

    shown = by_sampler(runs, comfy_server.shipped(UNPLUG))
    names = ("Semantic only", "Content only", "Both")
    return sheet([("reference", Image.open(SAMPLE)), *((name.lower(), shown[name]) for name in names)])


def by_sampler(runs: Runs, graph: dict[str, Any]) -> dict[str, Image.Image]:
    """The plain picture of each sampler in a graph, by the sampler's title."""
    for node in [node for node, item in graph.items() if item["class_type"] == "EchoGenDecodeBits"]:
        title = graph[graph[node]["inputs"]["bits"][0]]["_meta"]["title"]
        shows = {"class_type": "PreviewImage", "inputs": {"images": [node, 0]}, "_meta": {"title": title}}
        graph[f"show {node}"] = shows
    return {title: pictures[0] for title, pictures in runs.pictures(graph).items()}


def curves(shape: str, gamma_t: float, gamma_i: float, end: float, **_: str) -> Image.Image:
    """A tile with the curves of a preset."""
    from echogen_core.sampling import GuidanceSchedule

    tile = Image.new("RGB", (SIDE, SIDE), PAPER)
    pen = ImageDraw.Draw(tile)
    values = GuidanceSchedule(shape, gamma_t, gamma_i, end).over(13)
    unit = 320 / max(*values.gamma_t, *values.gamma_i, 1.0)
    for gammas, colour in ((values.gamma_t, WARM), (values.gamma_i, COOL)):
        points = [(40 + 36 * scale, 400 - unit * gamma) for scale, gamma in enumerate(gammas)]
        pen.line(points, colour, 8, joint="curve")
        for x, y in points:
            pen.ellipse((x - 9, y - 9, x + 9, y + 9), colour)
    return tile


def scenes(runs: Runs) -> Image.Image:
    """Four of its scenes."""
    import comfy_server

    pictures = runs.pictures(comfy_server.shipped(SEVERAL))["Save the pictures"]
    return sheet(("", picture) for picture in pictures[1:])


def into_photo(runs: Runs) -> Image.Image:
    """The reference and where the photograph may change, and below them the photograph with the subject."""
    import comfy_server

    shown = runs.pictures(comfy_server.shipped(INTO_PHOTO))
    whole, height = Image.new("RGB", (SIDE, SIDE), "white"), SIDE * 2 // 3
    above = SIDE - height
    for title, number, x, y, width in (
        ("Subject Segmentation", 1, (SIDE - above * 5 // 2) // 2, 0, above),
        ("Edit Picture", 0, SIDE - above * 3 // 2, 0, above * 3 // 2),
        ("Result", 0, 0, above, SIDE),
    ):
        size = (width, height if y else above)
        picture = shown[title][number].convert("RGB")
        whole.paste(ImageOps.fit(picture, size, Image.Resampling.LANCZOS), (x, y))
    return whole


def two_subjects(runs: Runs) -> Image.Image:
    """The picture, with a reference in each of its upper corners."""
    import comfy_server

    shown = runs.pictures(comfy_server.shipped(REGIONS))
    whole = shown["Result"][0].convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    for title, x in (("First subject", 0), ("Second subject", SIDE - CORNER)):
        subject = shown[f"{title}, cut out"][0].convert("RGB")
        whole.paste(subject.resize((CORNER, CORNER), Image.Resampling.LANCZOS), (x, 0))
    return whole


def swap(runs: Runs) -> Image.Image:
    """The picture that is kept, the other subject, and both at fewer and more kept scales."""
    import comfy_server

    tiles: list[Tile] = []
    for scales in (2, 3):
        graph = comfy_server.changed(comfy_server.shipped(SWAP), "EchoGenEditPicture", keep_scales=scales)
        shown = runs.pictures(graph)
        tiles += [] if tiles else [("picture to keep", shown["Picture to keep"][0])]
        tiles += [] if len(tiles) > 1 else [("subject", shown["Subject Segmentation"][1])]
        tiles.append((f"{scales} of 5 scales kept", shown["Result"][0]))
    return sheet(tiles)


def rank(runs: Runs) -> Image.Image:
    """The best two, and all eight below them."""
    import comfy_server

    shown = runs.pictures(comfy_server.shipped(RANK))
    whole = Image.new("RGB", (SIDE, SIDE), PAPER)
    for title, columns, top in (("Best two", 2, 0), ("All eight", 4, SIDE // 2)):
        side = SIDE // columns
        for index, picture in enumerate(shown[title]):
            place = (index % columns * side, top + index // columns * side)
            whole.paste(picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC), place)
    return whole


def echogen_2b(_: Runs) -> Image.Image:
    """A subject on its way into a scene that is still to be made."""
    card, pen = titled("EchoGen-2B", "your subject at 1024 px", "download first")
    reference = ImageOps.fit(Image.open(SAMPLE).convert("RGB"), (180, 180), Image.Resampling.LANCZOS)
    card.paste(reference, (40, 170))
    pen.line((236, 260, 262, 260), INK, 4)
    pen.polygon(((262, 250), (262, 270), (278, 260)), INK)
    for inset in range(0, 180, 12):  # a dashed frame
        for y in (170, 350):
            pen.line((292 + inset, y, 298 + inset, y), QUIET, 3)
        for x in (292, 472):
            pen.line((x, 170 + inset, x, 176 + inset), QUIET, 3)
    for row, words in enumerate(("on a meadow,", "reading a book,", "morning light")):
        pen.text((382, 232 + 28 * row), words, INK, font(20), anchor="mm")
    return card


def infinity_2b(_: Runs) -> Image.Image:
    """A gradient in ever finer squares, as the model draws: scale by scale."""
    card, pen = titled("Infinity-2B", "text to image, 1024 px", "download first")
    for index, cells in enumerate((1, 2, 4, 8, 16)):
        side, x = 80, 32 + 92 * index
        size = side / cells
        for row in range(cells):
            for column in range(cells):
                height, breadth = (row + 0.5) / cells, (column + 0.5) / cells
                sky = height < 0.55 + 0.12 * (breadth - 0.5) ** 2
                colour = (
                    (255 - int(90 * (1 - height)), 150 + int(60 * height), 110 + int(90 * (1 - height)))
                    if sky
                    else (40, 70 + int(60 * (1 - height)), 110)
                )
                if abs(breadth - 0.7) < 0.06 and 0.2 < height < 0.62:
                    colour = (245, 240, 230)
                corner = (x + column * size, 215 + row * size)
                pen.rectangle((*corner, corner[0] + size - 1, corner[1] + size - 1), colour)
    pen.text((SIDE // 2, 335), "a lighthouse by the sea at dusk", INK, font(22), anchor="mm")
    return card


def titled(title: str, line: str, foot: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A card with its words; the middle is free."""
    card = Image.new("RGB", (SIDE, SIDE), PAPER)
    pen = ImageDraw.Draw(card)
    pen.text((SIDE // 2, 70), title, INK, font(52), anchor="mm")
    pen.text((SIDE // 2, 122), line, WARM, font(26), anchor="mm")
    pen.text((SIDE // 2, 450), foot, QUIET, font(22), anchor="mm")
    return card, pen


MAKERS: dict[str, Callable[[Runs], Image.Image]] = {
    "Quickstart": quickstart,
    STEP_BY_STEP: segmentation,
    SWEEP: gamma_sweep,
    SCHEDULE: schedule,
    UNPLUG: rewire,
    SEVERAL: scenes,
    INTO_PHOTO: into_photo,
    REGIONS: two_subjects,
    SWAP: swap,
    RANK: rank,
    "With download - EchoGen-2B": echogen_2b,
    "With download - Infinity-2B": infinity_2b,
}


def main() -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import comfy_server

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workflows", nargs="*", metavar="workflow", help=", ".join(MAKERS))
    names = parser.parse_args().workflows or list(MAKERS)
    with (
        tempfile.TemporaryDirectory() as folder,
        comfy_server.serving(Path(folder), name="thumbnail") as running,
    ):
        recorder = comfy_server.Recorder(running)
        for name in names:
            MAKERS[name](Runs(recorder)).save(ROOT / "workflows" / f"{name}.jpg", quality=90)
        recorder.close()


if __name__ == "__main__":
    main()
