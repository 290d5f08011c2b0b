"""An artist's own picture in one action, in a real Chromium and in both renderers, and what helps the cut."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

import comfy_server
from browser_page import (
    SAMPLER,
    PageErrors,
    fit_view,
    open_quickstart,
    pictures_of,
    run_to_the_end,
    set_widget,
    settled,
    steady,
    until,
    widget,
)
from echogen_core.subject.samples import FOLDER as SAMPLES
from runner.server import Server

REFERENCE, WHOLE, TEXT = (
    f"app.graph._nodes.find(n => n.type === 'EchoGen{kind}')"
    for kind in ("SamplePicture", "SubjectSegmentation", "EncodeText")
)
RED, BLUE = (200, 30, 30), (30, 60, 200)
DROP = f"""async ([content, name]) => {{
    const node = {REFERENCE}, data = new DataTransfer(), {{canvas, ds}} = app.canvas;
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
    data.items.add(new File([bytes], name, {{type: 'image/png'}}));
    const area = canvas.getBoundingClientRect();
    const [x, y] = ds.convertOffsetToCanvas([node.pos[0] + node.size[0] / 2, node.pos[1] + node.size[1] / 2]);
    const [clientX, clientY] = [area.left + x, area.top + y];
    const at = {{clientX, clientY, bubbles: true, cancelable: true, dataTransfer: data}};
    const target = document.querySelector(`[data-node-id="${{node.id}}"]`) ?? canvas;
    target.dispatchEvent(new DragEvent('dragover', at));
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    target.dispatchEvent(new DragEvent('drop', at));
}}"""


PASTE = f"""content => {{
    app.canvas.current_node = {SAMPLER};
    app.canvas.deselectAll();
    app.canvas.select({REFERENCE}); // as a click in Nodes 2.0
    const data = new DataTransfer();
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
    data.items.add(new File([bytes], 'image.png', {{type: 'image/png'}}));
    const pasted = {{clipboardData: data, bubbles: true, cancelable: true}};
    document.dispatchEvent(new ClipboardEvent('paste', pasted));
}}"""

# Of rows (shares of the height), those that are not wholly painted between two columns. The editor's canvases
# are the picture, what is painted in colours, and the mask.
NOT_PAINTED = """([left, right, rows]) => {
    const mask = document.querySelectorAll('[role=dialog] canvas')[2], {width, height} = mask;
    const [from, to] = [Math.ceil(left * width), Math.floor(right * width)];
    return rows.filter(row => {
        const line = mask.getContext('2d').getImageData(from, Math.round(row * height), to - from, 1).data;
        return line.some((value, index) => index % 4 === 3 && value === 0);
    });
}"""


def two_subjects(left: tuple[int, int, int] = RED, right: tuple[int, int, int] = BLUE) -> bytes:
    """A disc at the left and one at the right, both conspicuous, on a plain background."""
    picture = Image.new("RGB", (320, 240), (214, 220, 205))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((40, 70, 140, 170), fill=left)
    draw.ellipse((190, 70, 290, 170), fill=right)
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def paint(page: Page, left: float, top: float, right: float, bottom: float) -> None:
    """Opens the mask editor on Reference Picture, paints that part (shares of the picture), and saves."""
    before = widget(page, REFERENCE, "picture")
    page.evaluate(f"app.canvas.selectNode({REFERENCE})")
    page.evaluate("app.extensionManager.command.execute('Comfy.MaskEditor.OpenMaskEditor')")
    editor = page.get_by_role("dialog")
    editor.locator("canvas").first.wait_for()
    # it fits the picture to the window
    steady(page, "document.querySelector('[role=dialog] canvas').getBoundingClientRect()")

    def painted() -> bool:
        """On a busy machine the editor misses a part: it begins a stroke a moment after the press."""
        missing = page.evaluate(NOT_PAINTED, [left, right, np.linspace(top, bottom, 12).tolist()])
        for row in missing:
            stroke(page, left, right, row)
        return not missing

    until(page, painted, "every stroke in the mask")
    page.screenshot(path=comfy_server.results_path() / "browser_mask_editor.png")
    editor.locator("button").filter(has_text=re.compile(r"^\s*Save\s*$")).click()
    until(page, lambda: widget(page, REFERENCE, "picture") != before, "the painted picture in the node")


def stroke(page: Page, left: float, right: float, row: float) -> None:
    """Paints from left to right in the mask editor (shares of the picture), and waits until it is drawn."""
    area = page.get_by_role("dialog").locator("canvas").first.bounding_box()
    assert area
    page.mouse.move(area["x"] + left * area["width"], area["y"] + row * area["height"])
    page.mouse.down()
    page.mouse.move(area["x"] + right * area["width"], area["y"] + row * area["height"], steps=8)
    page.mouse.up()
    settled(page, 0)


def draw_box(page: Page, left: float, top: float, right: float, bottom: float) -> None:
    """Drags a box on the picture of Subject Segmentation (shares of its sides), and keeps it."""
    page.evaluate(f"{WHOLE}.widgets.find(w => w.name === 'Draw a box').callback()")
    picture = page.locator("dialog.echogen-box .picture")
    page.wait_for_function("document.querySelector('dialog.echogen-box img')?.naturalWidth")
    area = picture.bounding_box()
    assert area
    page.mouse.move(area["x"] + left * area["width"], area["y"] + top * area["height"])
    page.mouse.down()
    page.mouse.move(area["x"] + right * area["width"], area["y"] + bottom * area["height"], steps=4)
    page.mouse.up()
    page.screenshot(path=comfy_server.results_path() / "browser_box.png")
    page.get_by_role("button", name="Use this box").click()


def cut_out(comfy: Server, page: Page, entry: dict[str, Any]) -> tuple[str, float, float]:
    """What Subject Segmentation says of a run, and how much of its cut-out is red, and how much blue."""
    whole = str(page.evaluate(f"{WHOLE}.id"))
    _, made = [Image.open(io.BytesIO(data)) for node, data in comfy.client.pictures(entry) if node == whole]
    pixels = np.asarray(made.convert("RGB"), dtype=int)
    red, blue = (float((np.abs(pixels - colour).max(-1) < 40).mean()) for colour in (RED, BLUE))
    return entry["outputs"][whole]["text"][0], red, blue


def file_names(addresses: list[str]) -> list[str]:
    """The files behind addresses, which differ each time."""
    return [address.split("filename=")[1].split("&")[0] for address in addresses]


def drop_own(page: Page, vue: bool) -> None:
    """Drops a picture on Reference Picture, which shows its sample until then."""
    sample = page.evaluate(f"{REFERENCE}.id")
    until(page, lambda: "teddy_bear.png" in str(pictures_of(page, sample, vue)), "the sample, before any run")
    page.evaluate(DROP, [base64.b64encode(two_subjects()).decode(), "my photo.png"])
    until(page, lambda: "my+photo" in str(pictures_of(page, sample, vue)), "the dropped picture in the node")


def assert_what_it_found_stays(page: Page, comfy: Server, vue: bool) -> None:
    """The pictures of Subject Segmentation, when only the seed changes."""
    whole = page.evaluate(f"{WHOLE}.id")
    shown = file_names(pictures_of(page, whole, vue))
    set_widget(page, SAMPLER, "seed", widget(page, SAMPLER, "seed") + 1)
    run_to_the_end(page, comfy)
    fit_view(page)
    settled(page)
    name = f"browser_reference_{'nodes2' if vue else 'canvas'}.png"
    page.screenshot(path=comfy_server.results_path() / name)
    again = file_names(pictures_of(page, whole, vue))
    assert again == shown != []


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_an_own_picture_on_the_canvas(vue: bool, page: Page, comfy: Server) -> None:
    """What the canvas has of its own: where pictures are dropped, and how nodes show them."""
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    drop_own(page, vue)
    said, red, blue = cut_out(comfy, page, run_to_the_end(page, comfy))
    assert said.startswith("built-in cut") and red > 0.05 and blue > 0.05, "both stand out"
    assert_what_it_found_stays(page, comfy, vue)
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [True], ids=["nodes2"], indirect=True)
def test_an_own_picture_takes_one_action(vue: bool, page: Page, comfy: Server) -> None:
    """Dropped and cut out by a box, pasted and cut out by itself, by what is painted. Nothing is rewired."""
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    nodes = page.evaluate("app.graph._nodes.length")
    drop_own(page, vue)
    stale = page.locator(".echogen-notices p:visible").filter(has_text="teddy bear")
    expect(stale, "the prompt still names the sample").to_have_count(1)
    draw_box(page, 0.55, 0.2, 0.95, 0.8)
    assert " of 320x240 #" in widget(page, WHOLE, "box"), "drawn before any run"
    said, red, blue = cut_out(comfy, page, run_to_the_end(page, comfy))
    assert said == "box and built-in cut" and blue > 0.3 and red == 0

    set_widget(page, TEXT, "prompt", "two discs on a meadow")
    expect(stale).to_have_count(0)
    dropped = widget(page, REFERENCE, "picture")
    page.evaluate(PASTE, base64.b64encode(two_subjects(BLUE, RED)).decode())
    until(page, lambda: widget(page, REFERENCE, "picture") != dropped, "the pasted picture in the node")
    said, red, blue = cut_out(comfy, page, run_to_the_end(page, comfy))
    assert said.startswith("built-in cut") and red > 0.05 and blue > 0.05, "both stand out"
    assert "drawn on another picture" in said
    assert page.evaluate("app.graph._nodes.length") == nodes, "no node was added"

    set_widget(page, WHOLE, "box", "")
    paint(page, 0.14, 0.32, 0.42, 0.68)
    said, red, blue = cut_out(comfy, page, run_to_the_end(page, comfy))
    assert said.endswith("mask") and blue > 0.3 and red == 0, "the left disc alone was painted"
    assert page.evaluate(f"{REFERENCE}.serialize().widgets_values.length") <= 2, "nothing else is saved"
    assert_what_it_found_stays(page, comfy, vue)
    assert not page_errors.found, page_errors.found


def test_samples_are_served_where_the_front_end_looks(comfy: Server, tmp_path: Path) -> None:
    """Before a run, in every form that it asks for; an own file of that name is shown in its place."""
    name, address = "siamese_cat.png", "/view?filename={}&type=input"
    for path in (address, f"/api{address}", f"{address}&subfolder="):
        assert comfy.client.get(path.format(name)) == (SAMPLES / name).read_bytes()
    for extra in ("&preview=webp;90", "&channel=rgb", "&channel=a"):
        seen = Image.open(io.BytesIO(comfy.client.get(address.format(name) + extra)))
        assert seen.size == Image.open(SAMPLES / name).size, extra
    for other in ("no_such.png", "CREDITS.md", "../samples/siamese_cat.png", f"{name}&subfolder=clipspace"):
        with pytest.raises(HTTPError):
            comfy.client.get(address.format(other))
    Image.new("RGB", (30, 20), RED).save(tmp_path / "cup_cake.png")
    assert comfy.client.upload_image(tmp_path / "cup_cake.png", "cup_cake.png") == "cup_cake.png"
    try:
        assert Image.open(io.BytesIO(comfy.client.get(address.format("cup_cake.png")))).size == (30, 20)
        info = comfy.client.get_json("/object_info/EchoGenSamplePicture")["EchoGenSamplePicture"]
        listed = json.dumps(info["input"]["required"]["picture"])
        assert listed.count("cup_cake.png") == 2, "in the list, and as the default"
    finally:
        (own,) = comfy.log.parent.rglob("input/cup_cake.png")
        own.unlink()  # other tests run workflows with the sample of that name
