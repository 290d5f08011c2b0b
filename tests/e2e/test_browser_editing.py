"""An edit and regions in a real Chromium, in both renderers: shown, drawn, and drawn again by Live."""

from __future__ import annotations

from playwright.sync_api import Page, expect

import comfy_server
from browser_page import (
    READY_MS,
    PageErrors,
    drag_dot,
    fit_view,
    open_quickstart,
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
    wire(of('EchoGenSamplePicture'), 0, edit, 'image');
    wire(of('EchoGenSamplePicture'), 0, region, 'image');
    wire(loader, 1, edit, 'tokenizer');
    wire(of('EchoGenEncodeText'), 0, region, 'text');
    wire(edit, 0, sampler, 'edit');
    wire(region, 0, sampler, 'regions');
    wire(of('EchoGenDecodeBits'), 0, back, 'image');
    wire(sampler, 1, back, 'edit');
    wire(back, 0, shown, 'images');
    const set = (node, name, value) => { node.widgets.find(w => w.name === name).value = value; };
    set(edit, 'way', 'redraw');
    set(edit, 'keep_scales', 2);
    set(edit, 'fit', 'crop');
    set(region, 'area', 'right half');
    set(sampler, 'batch', 1);
    return shown.id;
}"""
PREVIEW = "app.nodeOutputs[{}]?.images?.[0]?.filename"
SHOWN_GAMMA = """[
    app.graph._nodes.find(n => n.type === 'EchoGenSubjectRegion').widgets
        .find(w => w.name === 'gamma_t')._displayValue,
    [...document.querySelectorAll('[aria-label="gamma_t"], [aria-label="gamma_t"] *')]
        .flatMap(e => [e, e.parentElement]).map(e => getComputedStyle(e, '::after').content)
        .find(content => content.includes('sampler')) ?? '',
]"""


def test_an_edit_with_a_region_is_drawn_and_tuned(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    preview = PREVIEW.format(page.evaluate(BUILD))
    fit_view(page)
    run_to_the_end(page, comfy)
    before = page.evaluate(preview)
    assert before
    expect(page.locator(".echogen-panel .scales img")).to_have_count(5)
    in_words = ["as the sampler", '"as the sampler"' if vue else ""]
    assert page.evaluate(SHOWN_GAMMA) == in_words, "on the canvas, and in Nodes 2.0"
    name = f"browser_editing_{'nodes2' if vue else 'canvas'}.png"
    page.screenshot(path=comfy_server.results_path() / name)

    press_live(page)
    drag_dot(page, 0.8, 0.3)
    drawn_anew = f"before => {preview} && {preview} !== before"
    page.wait_for_function(drawn_anew, arg=before, timeout=READY_MS)
    assert not page_errors.found, page_errors.found
