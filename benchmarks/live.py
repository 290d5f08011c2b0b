"""Seconds from letting the pad's dot go to the first preview and to the final picture, only γ changed.

`python benchmarks/live.py [--runs 20]`, in a Chromium with a real server that runs the quickstart with nano:
from the mouse button to the pictures in the node's strip, the front end and its drawing included. Medians.
`ECHOGEN_COMFYUI` names the ComfyUI folder. The server's own share: end_to_end.py.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path

import torch

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "tests"))

from playwright.sync_api import Page
from renderers import each_renderer

from browser_page import drag_dot, open_quickstart, press_live
from runner.server import Server

Seconds = tuple[float, float]
"""To the first preview, and to the last, which is the final picture."""

# The strip has its first picture when it names another run, and its last when that run can be pinned.
WATCH = """() => {
    const strip = document.querySelector('.echogen-panel .strip'), former = strip.dataset.run;
    window.measured = new Promise(done => {
        let released = 0, first = 0;
        addEventListener('pointerup', () => { released = performance.now(); }, {capture: true, once: true});
        const observer = new MutationObserver(() => {
            const now = performance.now();
            if (released && !first && strip.dataset.run !== former) first = now - released;
            if (first && !strip.querySelector(':scope > button').disabled) {
                observer.disconnect();
                done([first / 1000, (now - released) / 1000]);
            }
        });
        observer.observe(strip, {attributes: true, subtree: true});
    });
}"""


def through_browser(page: Page, server: Server, runs: int, vue: bool) -> list[Seconds]:
    """The whole way, with a hand on the mouse."""
    open_quickstart(page, server, vue)
    press_live(page)
    times: list[Seconds] = []
    for index in range(runs + 1):
        page.evaluate(WATCH)
        drag_dot(page, 0.25 + 0.02 * index, 0.7)
        first, final = page.evaluate("window.measured")
        times.append((first, final))
        page.wait_for_timeout(1000)  # the graph's other nodes finish their part of the run
    return times[1:]


def report(name: str, times: list[Seconds]) -> None:
    """Print the medians of both columns."""
    first, final = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"{name:10} first preview {first:6.2f} s   final picture {final:6.2f} s   ({len(times)} runs)")


def main() -> None:
    """Measure in both renderers and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    args = parser.parse_args()
    print(f"torch {torch.__version__}, {os.cpu_count()} cores")
    for server, page, vue in each_renderer("live"):
        report("Nodes 2.0" if vue else "canvas", through_browser(page, server, args.runs, vue))


if __name__ == "__main__":
    main()
