"""What nodes say about a run, in a real Chromium and in both renderers: it is seen, it stays, and it goes."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

import comfy_server
from browser_page import SAMPLER, PageErrors, fit_view, open_quickstart, run_to_the_end, settled
from runner.server import Server

NODE = "app.graph._nodes.find(n => n.type === '{}')"
ENCODER, CUT = (NODE.format(f"EchoGen{name}") for name in ("EncodeSemantic", "SubjectSegmentation"))
# A Load Image in the place of the sample picture, both wires into Subject Segmentation.
LOAD = """name => {
    const load = LiteGraph.createNode('LoadImage');
    app.graph.add(load);
    const widget = load.widgets.find(w => w.name === 'image');
    widget.options.values.push?.(name);
    widget.value = name;
    const cut = app.graph._nodes.find(n => n.type === 'EchoGenSubjectSegmentation');
    for (const [slot, input] of [[0, 'image'], [1, 'mask']]) {
        load.connect(slot, cut, cut.inputs.findIndex(each => each.name === input));
    }
}"""
BACK = """() => {
    const [sample, cut] = ['EchoGenSamplePicture', 'EchoGenSubjectSegmentation'].map(
        type => app.graph._nodes.find(n => n.type === type));
    for (const [slot, input] of [[0, 'image'], [1, 'mask']]) {
        sample.connect(slot, cut, cut.inputs.findIndex(each => each.name === input));
    }
}"""
# Nodes whose notices the page has filed under the tab on show.
FILED = """Object.values(app.extensionManager.workflow.activeWorkflow.changeTracker.nodeOutputs ?? {})
    .filter(output => output.echogen_notices?.length).length"""


@pytest.fixture
def busy(comfy: Server, tmp_path: Path) -> str:
    """A picture in ComfyUI's input folder that has no plain border and no transparency."""
    file = tmp_path / f"busy_{uuid.uuid4().hex[:8]}.png"
    Image.frombytes("RGB", (96, 72), os.urandom(96 * 72 * 3)).save(file)
    return comfy.client.upload_image(file)


def seen(page: Page, words: str) -> Locator:
    """The visible notices with these words."""
    return page.locator(".echogen-notices p:visible").filter(has_text=words)


def run(page: Page, comfy: Server, **cut: Any) -> None:
    """Runs the graph with another seed, after changes of Subject Segmentation."""
    page.evaluate(f"cut => {{ Object.assign({CUT}, cut); }}", cut)
    page.evaluate(f"{SAMPLER}.widgets.find(w => w.name === 'seed').value++")
    run_to_the_end(page, comfy)


def size(page: Page, node: str) -> list[float]:
    return [round(side) for side in page.evaluate(f"[...{node}.size]")]


def test_an_encoder_says_that_its_picture_is_not_cut_out(
    vue: bool, page: Page, comfy: Server, busy: str
) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    before = size(page, ENCODER)
    run(page, comfy)
    expect(page.locator(".echogen-notices p")).to_have_count(0)
    assert size(page, ENCODER) == before, "nodes with nothing to say have no space for it"

    page.evaluate(LOAD, busy)
    run(page, comfy, mode=4)  # bypassed
    expect(seen(page, "border isn't plain")).to_have_count(2)
    fit_view(page)
    settled(page)
    name = f"browser_notices_{'nodes2' if vue else 'canvas'}.png"
    page.screenshot(path=comfy_server.results_path() / name)
    for notice in seen(page, "border isn't plain").all():
        assert notice.evaluate("e => e.scrollHeight <= e.clientHeight + 1 && e.clientHeight > 10")
    page.evaluate(BACK)
    run(page, comfy, mode=0)
    expect(page.locator(".echogen-notices p:visible"), "the cause is gone").to_have_count(0)
    assert size(page, ENCODER)[1] == pytest.approx(before[1], abs=2)
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [True], ids=["nodes2"], indirect=True)
def test_notices_come_back_from_the_cache_and_with_their_workflows_tab(
    vue: bool, page: Page, comfy: Server, busy: str
) -> None:
    open_quickstart(page, comfy, vue)
    page.evaluate(LOAD, busy)
    run(page, comfy, mode=4)
    expect(seen(page, "border isn't plain")).to_have_count(2)
    run(page, comfy)
    expect(seen(page, "border isn't plain"), "a cached node still says it").to_have_count(2)
    page.evaluate(BACK)
    run(page, comfy, mode=0)
    page.evaluate(LOAD, busy)
    run(page, comfy, mode=4)
    expect(seen(page, "border isn't plain"), "from the cache, where it keeps older results").to_have_count(2)

    for _ in range(5):  # a cached node may speak before the page knows the run, and so its tab
        if page.evaluate(FILED) == 2:
            break
        run(page, comfy)
    page.evaluate("app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    expect(seen(page, "border isn't plain")).to_have_count(0)
    page.evaluate(
        """async () => {
            const {workflow} = app.extensionManager;
            const other = workflow.openWorkflows.findLast(each => each.path.includes('Quickstart'));
            await app.loadGraphData(other.activeState, true, true, other);
        }"""
    )
    fit_view(page)  # the canvas hides what lies outside it
    expect(seen(page, "border isn't plain")).to_have_count(2)
