"""Makes the README's screenshots from a real run in a Chromium: docs/quickstart.png and docs/tuning.png.

ECHOGEN_COMFYUI=... python tests/tools/make_screenshots.py

`PLAYWRIGHT_CHROMIUM` names the browser. Look at the results before committing them.
"""

from __future__ import annotations

import sys
import tempfile
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
    press_live,
    run_on_show,
    run_to_the_end,
)
from runner.server import Server

DOCS = Path(__file__).resolve().parents[2] / "docs"
WIDTH = 1400  # of a picture in docs
PINS = ((0.62, 0.05), (0.62, 0.55))
"""Shares of the pad's sides: hardly any subject, and as much of it as nano likes."""


def save(shot: Path, name: str) -> None:
    """A screenshot in few colours: the pages are mostly flat."""
    picture = Image.open(shot).convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize(
            (WIDTH, round(WIDTH * picture.height / picture.width)), Image.Resampling.LANCZOS
        )
    picture.quantize(256, dither=Image.Dither.NONE).save(DOCS / name, optimize=True)


def group(page: Page, title: str) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a group in the window."""
    left, top, right, bottom = page.evaluate(
        """title => {
            const [x, y, w, h] = app.graph._groups.find(g => g.title.includes(title))._bounding;
            const box = app.canvas.canvas.getBoundingClientRect();
            const at = (x, y) => app.canvas.ds.convertOffsetToCanvas([x, y]);
            const [left, top] = at(x, y), [right, bottom] = at(x + w, y + h);
            return [left + box.left, top + box.top, right + box.left, bottom + box.top];
        }""",
        title,
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
    page.evaluate("app.canvas.deselectAll()")
    page.mouse.move(5, 500)
    page.wait_for_timeout(3000)
    (left, top, _, _), (_, _, right, _) = group(page, "Subject"), group(page, "After each scale")
    bottom = group(page, "Sampler")[3]
    clip = {"x": left - 12, "y": top - 12, "width": right - left + 24, "height": bottom - top + 24}
    page.screenshot(path=shot, clip=clip)  # type: ignore[arg-type]
    save(shot, "quickstart.png")


def tuning(page: Page, server: Server, shot: Path) -> None:
    """Sampler and picture with two pins compared, in Nodes 2.0."""
    open_quickstart(page, server, True)
    press_live(page)
    for count, (across, up) in enumerate(PINS, 1):
        pin(page, across, up, count)
    for pinned in page.locator(".pinned > button:first-child").all():
        pinned.click()
    page.mouse.move(5, 500)
    page.wait_for_timeout(3000)
    node = page.evaluate(f"{SAMPLER}.id")
    sampler = page.locator(f'[data-node-id="{node}"]').bounding_box()
    assert sampler
    left, top, _, _ = group(page, "Sampler")
    right = group(page, "Picture")[2]
    bottom = sampler["y"] + sampler["height"]
    clip = {"x": left - 12, "y": top - 12, "width": right - left + 24, "height": bottom - top + 24}
    page.screenshot(path=shot, clip=clip)  # type: ignore[arg-type]
    save(shot, "tuning.png")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        base = Path(folder)
        browser = launch(playwright)
        with comfy_server.serving(base, name="screenshots") as server:
            for shoot in (quickstart, tuning):
                page = browser.new_page(viewport={"width": 2400, "height": 1500})
                shoot(page, server, base / "shot.png")
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
