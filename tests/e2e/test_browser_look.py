"""All text of our views can be read, in every palette that ComfyUI brings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import comfy_server
from browser_page import (
    SAMPLER,
    PageErrors,
    drag_dot,
    fit_view,
    open_quickstart,
    press_live,
    set_widget,
    settled,
)
from runner.server import Server

LEAST = 4.5  # WCAG 2.2, contrast (minimum)
PALETTES = ("dark", "light", "solarized", "arc", "nord", "github")
SECTIONS = ("pad", "live-row", "pins", "stage", "note", "sweep", "schedule", "notices", "result")

# Every text in our views with its contrast: its colour against the backgrounds behind it, as computed.
TEXTS = """() => {
    const context = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
    const rgba = colour => {
        context.clearRect(0, 0, 1, 1);
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = ([r, g, b, a], under) => [r, g, b].map((part, at) => part * a + under[at] * (1 - a));
    const luminance = colour => {
        const parts = colour.map(part => part / 255);
        const [r, g, b] = parts.map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const backOf = (element, layers = []) => {
        if (!element.closest('.echogen-view')) return null; // a node of any colour
        const colour = rgba(getComputedStyle(element).backgroundColor);
        if (colour[3] < 1) return backOf(element.parentElement, [...layers, colour]);
        return layers.reduceRight((under, layer) => over(layer, under), colour.slice(0, 3));
    };
    const opacity = element =>
        element ? getComputedStyle(element).opacity * opacity(element.parentElement) : 1;
    const own = element => [...element.childNodes].filter(({nodeType}) => nodeType === Node.TEXT_NODE)
        .map(({data}) => data.trim()).join('');
    const classes = element => element.closest('.echogen-view').contains(element.parentElement)
        ? `${classes(element.parentElement)} ${element.getAttribute('class') ?? ''}` : element.className;
    return [...document.querySelectorAll('.echogen-view, .echogen-view *')].flatMap(element => {
        if (!own(element) || !(element.checkVisibility() || element.localName === 'option')) return [];
        const style = getComputedStyle(element), [back, text] = [backOf(element), rgba(
            element.namespaceURI.endsWith('svg') ? style.fill : style.color)];
        if (!back) return [[own(element), 'no background of its own', element.outerHTML]];
        text[3] *= opacity(element);
        const [high, low] = [luminance(over(text, back)), luminance(back)].sort((a, b) => b - a);
        return [[own(element), (high + 0.05) / (low + 0.05), classes(element)]];
    });
}"""
# A sweep's grid, a notice and a score, as they come from the server.
FILL = """() => {
    const add = (type, x) => {
        const node = LiteGraph.createNode(type);
        node.pos = [x, 1100];
        app.graph.add(node);
        return node;
    };
    add('EchoGenGuidanceSchedule', 0);
    const sweep = add('EchoGenGammaSweep', 500);
    const cell = {page: 0, row: 0, column: 0, gamma_t: 1, gamma_i: 2, picture: {}};
    app.api.dispatchCustomEvent('echogen.cell', {graph: app.graph.id, node: String(sweep.id), run: 'a',
        columns: [1, 2], rows: [2], pages: [{title: 'in a forest', set: {}}], cells: [cell]});
    app.nodeOutputs[String(app.graph._nodes.find(n => n.type === 'EchoGenEncodeText').id)] =
        {echogen_notices: ['nano knows no such scene'], echogen_results: ['1. picture 3: 0.9931']};
    const shows = app.graph._nodes.filter(n => ['SaveImage', 'PreviewImage'].includes(n.type));
    shows.forEach(n => app.graph.remove(n));
}"""
PINS = f"""() => {{
    const thumb = document.createElement('canvas').toDataURL();
    {SAMPLER}.properties.echogen_pins = ['a', 'b'].map(id =>
        ({{id, gamma: {{t: 1, i: 2}}, settings: {{seed: 7}}, thumb}}));
}}"""


def texts(page: Page) -> list[tuple[str, Any, str]]:
    """Text, contrast and class of all that our views say; instead of a contrast, why there is none."""
    return [tuple(found) for found in page.evaluate(TEXTS)]


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_all_text_can_be_read_in_every_palette(vue: bool, page: Page, comfy: Server) -> None:
    """In every state of the panel: Live refused, pins compared, a seed too long, wires missing."""
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    page.evaluate(FILL)
    page.evaluate(PINS)
    set_widget(page, SAMPLER, "seed", 2**60)
    fit_view(page)
    panel = page.locator(".echogen-panel")
    panel.locator(".pinned > button:first-child").first.click()
    press_live(page)
    drag_dot(page, 0.3, 0.6)
    expect(panel.locator(".on-error")).to_be_visible()
    settled(page)
    try:
        worst = {}
        for palette in PALETTES:
            page.evaluate("name => app.extensionManager.setting.set('Comfy.ColorPalette', name)", palette)
            settled(page)
            found = texts(page)
            worst[palette] = min(found, key=lambda text: text[1] if isinstance(text[1], float) else 0)
            assert [text for text in found if not isinstance(text[1], float) or text[1] < LEAST] == []
        path = comfy_server.results_path() / "browser_contrast.json"
        path.write_text(
            json.dumps({"texts": len(found), "worst": worst}, indent=1, ensure_ascii=False), "utf-8"
        )
    finally:
        page.evaluate("app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")
    said = " ".join(kind for _, _, kind in found)
    assert [section for section in SECTIONS if section not in said] == [], "every part says something"
    assert not page_errors.found, page_errors.found
