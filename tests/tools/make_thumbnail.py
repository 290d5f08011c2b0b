"""Makes workflows/quickstart.jpg: the reference and three scenes, from real runs of the quickstart.

COMFYUI_PATH=... python tests/tools/make_thumbnail.py

Needs the built-in model's weights. Look at the result before committing it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
THUMBNAIL = ROOT / "workflows" / "quickstart.jpg"
TILE = 256
SCENES = ("on a meadow", "by the sea at dusk", "in a forest")


def sheet(pictures: list[Image.Image]) -> Image.Image:
    """Up to four pictures in a square, each enlarged to its quarter."""
    whole = Image.new("RGB", (2 * TILE, 2 * TILE), "white")
    for index, picture in enumerate(pictures[:4]):
        tile = picture.convert("RGB").resize((TILE, TILE), Image.Resampling.BICUBIC)
        whole.paste(tile, (index % 2 * TILE, index // 2 * TILE))
    return whole


def main() -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import comfy_server

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--subject", default="a teddy bear", help="what the prompt calls the sample")
    parser.add_argument("--scenes", nargs=3, default=SCENES, help="three places")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=THUMBNAIL)
    options = parser.parse_args()
    graph = comfy_server.quickstart()
    cut, saved = (comfy_server.node_of(graph, name) for name in ("EchoGenCutOutSubject", "SaveImage"))
    pictures: list[Image.Image] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        comfy_server.serving(Path(folder), name="thumbnail") as running,
    ):
        recorder = comfy_server.Recorder(running)
        for scene in options.scenes:
            prompted = comfy_server.changed(graph, "EchoGenEncodeText", prompt=f"{options.subject} {scene}")
            run = recorder.run(comfy_server.changed(prompted, "EchoGenSampler", seed=options.seed))
            if run.error is not None:
                raise SystemExit(run.message)
            pictures += [*run.pictures[cut], *run.pictures[saved]] if not pictures else run.pictures[saved]
        recorder.close()
    sheet(pictures).save(options.out, quality=90)


if __name__ == "__main__":
    main()
