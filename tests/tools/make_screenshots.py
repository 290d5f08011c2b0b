"""Makes the screenshots from real runs in a Chromium: docs/*.png of the README, web/docs/*.jpg of the help.

ECHOGEN_COMFYUI=... python tests/tools/make_screenshots.py [quickstart] [tuning] [schedule] [sweep]

`PLAYWRIGHT_CHROMIUM` names the browser. Look at the results before committing them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

sys.path.extend(str(Path(__file__).resolve().parents[2] / folder) for folder in ("", "tests"))

import comfy_server
from browser_page import (
    READY_MS,
    SAMPLER,
    drag_dot,
    finished_run,
    launch,
    open_quickstart,
    open_workflow,
    press_live,
    run_on_show,
    run_to_the_end,
    settled,
    steady,
)
from runner.server import Server

ROOT = Path(__file__).resolve().parents[2]
DOCS, HELP = ROOT / "docs", ROOT / "web" / "docs"
README_WIDTH, HELP_WIDTH = 1400, 720
MARGIN = 12  # around what is shown, in CSS pixels
PINS = ((0.62, 0.05), (0.62, 0.55))
"""Shares of the pad's sides: hardly any subject, and as much of it as nano likes."""
SWEEP = "app.graph._nodes.find(n => n.type === 'EchoGenGammaSweep')"
SCHEDULE = "app.graph._nodes.find(n => n.type === 'EchoGenGuidanceSchedule')"


def save(shot: Path, path: Path) -> None:
    """A screenshot at the width of its place; a PNG in few colours, as the pages are mostly flat."""
    picture = Image.open(shot).convert("RGB")
    width = min(picture.width, README_WIDTH if path.parent == DOCS else HELP_WIDTH)
    height = round(width * picture.height / picture.width)
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    if path.suffix == ".jpg":
        picture.save(path, quality=85, optimize=True)
    else:
        picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {width} x {height}, {path.stat().st_size / 1000:.0f} kB")


def photograph(page: Page, shot: Path, left: float, top: float, right: float, bottom: float) -> None:
    """The page without selection and pointer, from `left`, `top` to `right`, `bottom` and a margin around."""
    page.evaluate("app.canvas.deselectAll()")
    page.mouse.move(5, 500)
    steady(page, "[app.canvas.ds.scale, ...app.canvas.ds.offset]")
    page.wait_for_timeout(3000)  # pictures fade in, messages go
    page.screenshot(
        path=shot,
        clip={
            "x": left - MARGIN,
            "y": top - MARGIN,
            "width": right - left + 2 * MARGIN,
            "height": bottom - top + 2 * MARGIN,
        },
    )


def bounds(page: Page) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the graph in the window."""
    left, top, right, bottom = page.evaluate(
        """() => {
            const boxes = app.graph._nodes.map(n => n.boundingRect);
            const canvas = app.canvas.canvas.getBoundingClientRect();
            const at = (x, y) => app.canvas.ds.convertOffsetToCanvas([x, y]);
            const [left, top] = at(Math.min(...boxes.map(b => b[0])), Math.min(...boxes.map(b => b[1])));
            const [right, bottom] = at(
                Math.max(...boxes.map(b => b[0] + b[2])), Math.max(...boxes.map(b => b[1] + b[3])));
            return [left + canvas.left, top + canvas.top, right + canvas.left, bottom + canvas.top];
        }"""
    )
    return left, top, right, bottom


def pin(page: Page, across: float, up: float, count: int) -> None:
    """Lets the dot go there with Live on, and pins the picture that it gives."""
    panel = page.locator(".echogen-panel")
    former = run_on_show(page)
    drag_dot(page, across, up)
    finished_run(page, former)
    panel.get_by_role("button", name="Pin").click()
    panel.locator(".pinned > button:first-child").nth(count - 1).wait_for(timeout=READY_MS)


def quickstart(page: Page, server: Server, shot: Path) -> None:
    """The whole graph after a run, on the classic canvas."""
    open_quickstart(page, server, False)
    run_to_the_end(page, server)
    photograph(page, shot, *bounds(page))
    save(shot, DOCS / "quickstart.png")


def tuning(page: Page, server: Server, shot: Path) -> None:
    """The sampler with two pins compared, in Nodes 2.0."""
    open_quickstart(page, server, True)
    press_live(page)
    for count, (across, up) in enumerate(PINS, 1):
        pin(page, across, up, count)
    for pinned in page.locator(".pinned > button:first-child").all():
        pinned.click()
    show_node(page, SAMPLER)
    photograph(page, shot, *node_box(page, SAMPLER))
    save(shot, DOCS / "tuning.png")


def schedule(page: Page, server: Server, shot: Path) -> None:
    """Guidance Schedule with both curves and one drawn point, in Nodes 2.0."""
    open_workflow(page, server, True, "Schedule - guidance by scale")
    show_node(page, SCHEDULE)
    page.locator(".echogen-schedule").get_by_role("button", name="Off at end").click()
    settled(page)
    handle = page.locator(".echogen-schedule circle[data-index='2']").bounding_box()
    assert handle
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 10, steps=2)
    page.mouse.move(x, y - 30, steps=4)
    page.mouse.up()
    left, top, right, _ = node_box(page, SCHEDULE)
    buttons = page.locator(".echogen-schedule .row").bounding_box()
    assert buttons
    photograph(page, shot, left, top, right, buttons["y"] + buttons["height"])
    save(shot, HELP / "guidance_schedule.jpg")


def sweep(page: Page, server: Server, shot: Path) -> None:
    """γ Sweep with all cells of the shipped workflow, on the classic canvas."""
    open_workflow(page, server, False, "Sweep - every pair of gammas")
    page.evaluate(f"{SWEEP}.setSize([620, 1080]); {SWEEP}.pos = [-2000, 0]")  # nothing in front of it
    run_to_the_end(page, server)
    show_node(page, SWEEP)
    page.wait_for_function(
        "[...document.querySelectorAll('.echogen-sweep .cells button')].every(cell => "
        "cell.querySelector('img')?.naturalWidth)",
        timeout=READY_MS,
    )
    view = page.locator(".echogen-sweep").bounding_box()
    assert view
    photograph(page, shot, view["x"], view["y"], view["x"] + view["width"], view["y"] + view["height"])
    save(shot, HELP / "gamma_sweep.jpg")


def show_node(page: Page, node: str) -> None:
    """Shows a node, which a JavaScript expression names, in its own size in the window's middle."""
    page.evaluate(f"app.canvas.ds.scale = 1; app.canvas.centerOnNode({node})")
    steady(page, "[app.canvas.ds.scale, ...app.canvas.ds.offset]")


def node_box(page: Page, node: str) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a node in the window, in Nodes 2.0."""
    box = page.locator(f'[data-node-id="{page.evaluate(f"{node}.id")}"]').bounding_box()
    assert box
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


SHOTS: dict[str, Callable[[Page, Server, Path], None]] = {
    "quickstart": quickstart,
    "tuning": tuning,
    "schedule": schedule,
    "sweep": sweep,
}


def main(names: Sequence[str]) -> None:
    """Takes the named screenshots, by default all."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        base = Path(folder)
        browser = launch(playwright)
        with comfy_server.serving(base, name="screenshots") as server:
            for name in names or SHOTS:
                page = browser.new_page(viewport={"width": 2400, "height": 1500})
                SHOTS[name](page, server, base / "shot.png")
                page.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
