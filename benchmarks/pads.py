"""Frames a second while panning over 30 EchoGen Samplers, with their pads and without.

`python benchmarks/pads.py [--count 30] [--seconds 5]`, in a Chromium that draws in software,
medians of three rounds each, both renderers. "visible": how many pads lie within the window.
`ECHOGEN_COMFYUI` names the ComfyUI folder.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "tests"))

from playwright.sync_api import Page
from renderers import each_renderer

from browser_page import fit_view, open_quickstart
from runner.server import Server

ROUNDS = 3

FILL = """count => {
    app.graph.clear();
    for (let index = 0; index < count; index++) {
        const node = LiteGraph.createNode('EchoGenSampler');
        node.pos = [(index % 6) * 420, Math.floor(index / 6) * 800];
        app.graph.add(node);
    }
}"""

# The view swings to and fro by a tenth of the window, a step a frame, as under a dragging hand.
PAN = """seconds => new Promise(done => {
    const start = performance.now(), home = [...app.canvas.ds.offset];
    let frames = 0;
    const step = now => {
        const passed = (now - start) / 1000;
        app.canvas.ds.offset[0] = home[0] + 100 * Math.sin(4 * passed);
        app.canvas.ds.offset[1] = home[1] + 60 * Math.sin(3 * passed);
        app.canvas.setDirty(true, true);
        if (passed < seconds) { frames += 1; return requestAnimationFrame(step); }
        [app.canvas.ds.offset[0], app.canvas.ds.offset[1]] = home;
        done(frames / passed);
    };
    requestAnimationFrame(step);
})"""


def frames(page: Page, seconds: float) -> float:
    """Median over the rounds."""
    return statistics.median(float(page.evaluate(PAN, seconds)) for _ in range(ROUNDS))


def measure(page: Page, server: Server, vue: bool, count: int, seconds: float) -> None:
    """With pads, then without, on the same page."""
    open_quickstart(page, server, vue)
    page.evaluate(FILL, count)
    page.wait_for_timeout(2000)
    fit_view(page)
    visible = page.locator(".echogen-pad:visible").count()
    with_pads = frames(page, seconds)
    page.evaluate("document.querySelectorAll('.echogen-panel').forEach(e => { e.style.display = 'none'; })")
    hidden = frames(page, seconds)
    name = "Nodes 2.0" if vue else "canvas"
    print(f"{name:10} {visible} pads visible: {with_pads:5.1f} frames/s; hidden: {hidden:5.1f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=5)
    args = parser.parse_args()
    for server, page, vue in each_renderer("pads"):
        measure(page, server, vue, args.count, args.seconds)


if __name__ == "__main__":
    main()
