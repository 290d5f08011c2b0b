"""The workflows that edit pictures, opened in a real Chromium and run there, in both renderers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page

import comfy_server
from browser_page import PageErrors, open_workflow, pictures_of, run_to_the_end, until
from echogen_core.subject.samples import GROUNDS
from runner.server import Server

PHOTO = "mountain_meadow.webp"
REACH = 8  # pixels over which Paste Back blends: twice Edit Picture's feather
# Name of a workflow, the title of the node that shows its result -> how many pictures of what size.
RESULTS = {
    ("Rank - the best of eight", "Best two"): (2, (512, 512)),
    ("Regions - two subjects in one scene", "Result"): (1, (512, 512)),
    ("Subject - into your own photo", "Result"): (1, (768, 512)),
    ("Swap - another subject, same layout", "Result"): (1, (512, 512)),
}


def shown(comfy: Server, entry: dict[str, Any], node: int) -> list[Image.Image]:
    """The pictures that a node showed in a run."""
    return [Image.open(io.BytesIO(data)) for each, data in comfy.client.pictures(entry) if int(each) == node]


def test_they_run_and_show_their_results(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    for (name, title), (count, size) in RESULTS.items():
        open_workflow(page, comfy, vue, name)
        find = "title => app.graph._nodes.find(n => n.title === title).id"
        node = int(page.evaluate(find, title))  # newer front ends have them as text
        entry = run_to_the_end(page, comfy)
        pictures = shown(comfy, entry, node)
        assert [picture.size for picture in pictures] == [size] * count, name
        until(page, lambda: bool(pictures_of(page, node, vue)), f"{name}'s result")  # noqa: B023
        short = f"{name.split()[0].lower()}_{'nodes2' if vue else 'canvas'}"
        page.screenshot(path=comfy_server.results_path() / f"browser_workflow_{short}.png")
        if "photo" in name:
            assert_only_the_painted_part_changed(pictures[0])
    assert not page_errors.found, page_errors.found


def assert_only_the_painted_part_changed(result: Image.Image) -> None:
    """To the last bit, beyond the feathered edge of the box around what is painted."""
    photo = Image.open(GROUNDS / PHOTO)
    left, top, right, bottom = Image.eval(photo.getchannel("A"), lambda alpha: 255 - alpha).getbbox()
    changed_HW = (np.asarray(result.convert("RGB")) != np.asarray(photo.convert("RGB"))).any(-1)
    assert changed_HW[top:bottom, left:right].mean() > 0.2, "there is a subject"
    changed_HW[max(top - REACH, 0) : bottom + REACH, max(left - REACH, 0) : right + REACH] = False
    assert not changed_HW.any()
