"""Edits and regions in a real Chromium, in both renderers: shown, drawn, tuned by Live, pinned and swept."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

import comfy_server
from browser_page import (
    PageErrors,
    drag_dot,
    finished_run,
    fit_view,
    gammas,
    open_quickstart,
    open_workflow,
    press_live,
    run_to_the_end,
)
from runner.server import Server

BUILD = """() => {
    const of = type => app.graph._nodes.find(n => n.type === type);
    const add = (type, x, y) => {
        const node = LiteGraph.createNode(type);
        node.pos = [x, y];
        app.graph.add(node);
        return node;
    };
    const wire = (from, slot, to, input) =>
        from.connect(slot, to, to.inputs.findIndex(i => i.name === input));
    const sampler = of('EchoGenSampler'), loader = of('EchoGenLoadBundle');
    const edit = add('EchoGenEditPicture', 0, 1400), back = add('EchoGenPasteBack', 400, 1400);
    const region = add('EchoGenSubjectRegion', 800, 1400), shown = add('PreviewImage', 400, 1600);
    const negative = add('EchoGenEncodeText', 1200, 1400), sweep = add('EchoGenGammaSweep', 1600, 1400);
    wire(of('EchoGenSamplePicture'), 0, edit, 'image');
    wire(of('EchoGenSamplePicture'), 0, region, 'image');
    wire(loader, 1, edit, 'tokenizer');
    wire(loader, 2, negative, 'text_encoder');
    wire(loader, 0, sweep, 'model');
    wire(loader, 1, sweep, 'tokenizer');
    wire(of('EchoGenEncodeText'), 0, region, 'text');
    for (const node of [sampler, sweep]) {
        wire(edit, 0, node, 'edit');
        wire(region, 0, node, 'regions');
        wire(negative, 0, node, 'negative');
    }
    wire(of('EchoGenDecodeBits'), 0, back, 'image');
    wire(sampler, 1, back, 'edit');
    wire(back, 0, shown, 'images');
    const set = (node, name, value) => { node.widgets.find(w => w.name === name).value = value; };
    set(edit, 'way', 'redraw');
    set(edit, 'keep_scales', 2);
    set(edit, 'fit', 'crop');
    set(region, 'area', 'right half');
    set(negative, 'prompt', 'in a forest');
    set(sweep, 'gamma_t', '3');
    set(sweep, 'gamma_i', '1.5');
    set(sampler, 'batch', 1);
    return shown.id;
}"""
SHOWN_GAMMA = """[
    app.graph._nodes.find(n => n.type === 'EchoGenSubjectRegion').widgets
        .find(w => w.name === 'gamma_t')._displayValue,
    [...document.querySelectorAll('[aria-label="gamma_t"], [aria-label="gamma_t"] *')]
        .flatMap(e => [e, e.parentElement]).map(e => getComputedStyle(e, '::after').content)
        .find(content => content.includes('sampler')) ?? '',
]"""


def shown_by(comfy: Server, run: str, node: int) -> bytes:
    """The pixels of the picture that a preview got in a run."""
    shown = dict(comfy.client.pictures(comfy.client.wait(run)))[str(node)]
    return Image.open(io.BytesIO(shown)).convert("RGB").tobytes()


def pin(page: Page) -> Locator:
    """Pins the picture on show; the pin."""
    panel = page.locator(".echogen-panel")
    panel.get_by_role("button", name="Pin").click()
    panel.locator(".pinned").wait_for()
    return panel.locator(".pinned > .choose")


@pytest.mark.parametrize("vue", [True], ids=["nodes2"], indirect=True)
def test_an_edit_with_a_region_is_drawn_tuned_and_pinned(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    preview = page.evaluate(BUILD)
    fit_view(page)
    run_to_the_end(page, comfy)
    panel, first, at_first = page.locator(".echogen-panel"), finished_run(page), gammas(page)
    before = shown_by(comfy, first, preview)
    expect(panel.locator(".scales img")).to_have_count(5)
    in_words = ["as the sampler", '"as the sampler"']
    assert page.evaluate(SHOWN_GAMMA) == in_words, "on the canvas, and in Nodes 2.0"
    pinned = pin(page)

    press_live(page)
    drag_dot(page, 0.8, 0.3)
    tuned = finished_run(page, first)
    assert shown_by(comfy, tuned, preview) != before
    pinned.click()
    expect(panel.get_by_role("slider", name="Drag to compare")).to_be_visible()
    page.screenshot(path=comfy_server.results_path() / "browser_editing.png")

    panel.get_by_role("button", name="Use these settings").click()
    assert shown_by(comfy, finished_run(page, tuned), preview) == before and gammas(page) == at_first
    page.locator(".echogen-sweep").get_by_title("γ_t 3, γ_I 1.5").click()
    assert gammas(page) == (3, 1.5), "a sweep's cell sets the sampler"
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_a_pin_places_the_same_subject_again(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_workflow(page, comfy, vue, "Subject - into your own photo")
    preview = page.evaluate("app.graph._nodes.find(n => n.type === 'PreviewImage').id")
    press_live(page)
    drag_dot(page, 0.4, 0.4)
    first = finished_run(page)
    placed = shown_by(comfy, first, preview)
    pin(page)
    drag_dot(page, 0.7, 0.3)
    second = finished_run(page, first)
    assert shown_by(comfy, second, preview) != placed
    page.get_by_role("button", name="Use these settings").click()
    assert shown_by(comfy, finished_run(page, second), preview) == placed
    assert not page_errors.found, page_errors.found
