"""Makes a workflow's thumbnail from real runs of it.

COMFYUI_PATH=... python tests/tools/make_thumbnail.py [subject-segmentation]

quickstart: the reference and three scenes. subject-segmentation: picture, box, mask and cut-out.

Needs the built-in model's weights. Look at the result before committing it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TILE = 256
STEPS = ("EchoGenSamplePicture", "EchoGenDetectSubject", "EchoGenSegmentSubject", "EchoGenCutOutSubject")
SCENES = ("on a meadow", "by the sea at dusk", "in a forest")


def sheet(pictures: list[Image.Image]) -> Image.Image:
    """Up to four pictures in a square, each enlarged to its quarter."""
    whole = Image.new("RGB", (2 * TILE, 2 * TILE), "white")
    for index, picture in enumerate(pictures[:4]):
        tile = picture.convert("RGB").resize((TILE, TILE), Image.Resampling.BICUBIC)
        whole.paste(tile, (index % 2 * TILE, index // 2 * TILE))
    return whole


def scenes(recorder: Any, options: argparse.Namespace) -> list[Image.Image]:
    """The quickstart's reference, and what it makes of three prompts."""
    import comfy_server

    graph = comfy_server.quickstart()
    cut, saved = (comfy_server.node_of(graph, name) for name in ("EchoGenCutOutSubject", "SaveImage"))
    pictures: list[Image.Image] = []
    for scene in options.scenes:
        prompted = comfy_server.changed(graph, "EchoGenEncodeText", prompt=f"{options.subject} {scene}")
        run = recorder.run(comfy_server.changed(prompted, "EchoGenSampler", seed=options.seed))
        if run.error is not None:
            raise SystemExit(run.message)
        pictures += [*run.pictures[cut], *run.pictures[saved]] if not pictures else run.pictures[saved]
    return pictures


def steps(recorder: Any) -> list[Image.Image]:
    """What each step of the subject's workflow shows, without the words below."""
    import comfy_server

    graph = comfy_server.shipped("subject-segmentation")
    run = recorder.run(graph)
    if run.error is not None:
        raise SystemExit(run.message)
    shown = [run.pictures[comfy_server.node_of(graph, step)][0] for step in STEPS]
    return [picture.crop((0, 0, picture.width, picture.width)) for picture in shown]


def main() -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import comfy_server

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "workflow", nargs="?", default="quickstart", choices=["quickstart", "subject-segmentation"]
    )
    parser.add_argument("--subject", default="a teddy bear", help="what the prompt calls the sample")
    parser.add_argument("--scenes", nargs=3, default=SCENES, help="three places")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        comfy_server.serving(Path(folder), name="thumbnail") as running,
    ):
        recorder = comfy_server.Recorder(running)
        pictures = scenes(recorder, options) if options.workflow == "quickstart" else steps(recorder)
        recorder.close()
    sheet(pictures).save(ROOT / "workflows" / f"{options.workflow}.jpg", quality=90)


if __name__ == "__main__":
    main()
