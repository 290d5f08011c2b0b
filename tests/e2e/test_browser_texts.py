"""What the page says and offers: help, other languages, templates with their pictures, the blueprint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

import comfy_server
from browser_page import READY_MS, SAMPLER, PageErrors, open_quickstart, settled
from runner.server import Server

PACK = "echogen"
WORKFLOWS = sorted(path.stem for path in (comfy_server.ROOT / "workflows").glob("*.json"))


# What artists type for what our nodes do; older front ends search ids and names alone, without aliases.
SEARCHED = [
    "ip adapter", "ipadapter", "ip-adapter", "reference", "image prompt", "person", "remove background",
    "background removal", "cfg", "cfg schedule",
]  # fmt: skip
SEARCH = """words => {
    const {$pinia} = document.getElementById('vue-app').__vue_app__.config.globalProperties;
    const {nodeSearchService} = $pinia._s.get('nodeDef');
    const namesFor = word => nodeSearchService.searchNode(word).map(node => node.name + node.display_name);
    return words.map(word => [word, namesFor(word)]);
}"""


@pytest.fixture
def language(request: pytest.FixtureRequest, comfy: Server) -> Iterator[str]:
    """The page's language for one test."""
    comfy.client.post_json("/settings", {"Comfy.Locale": request.param})
    yield request.param
    comfy.client.post_json("/settings", {"Comfy.Locale": "en"})


def test_help_beside_the_graph(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    page.evaluate(f"app.canvas.selectNode({SAMPLER})")
    page.get_by_test_id("info-button").click()
    page.get_by_text("by next-scale prediction: first one token").first.wait_for(timeout=READY_MS)
    assert page.get_by_role("heading", name="Typical errors").count() > 0
    # The front end asks for a page in its own language first; ours are in one.
    assert [word for word in page_errors.found if not word.endswith("/en.md")] == []


LANGUAGES = [
    ("ja", ["γ パッド", "シード", "アスペクト比"], "バランス", "自動"),
    ("zh", ["γ 面板", "种子", "宽高比"], "均衡", "自动"),
]


@pytest.mark.parametrize(("language", "labels", "preset", "choice"), LANGUAGES, indirect=["language"])
def test_other_languages(
    language: str, labels: list[str], preset: str, choice: str, fresh_page: Page, comfy: Server
) -> None:
    page, page_errors = fresh_page, PageErrors(fresh_page)
    comfy.client.post_json("/settings", {"Comfy.VueNodes.Enabled": True})
    page.goto(f"{comfy.url}/?template=Quickstart&source={PACK}")
    page.wait_for_function(f"window.app?.graph && {SAMPLER}", timeout=READY_MS)
    page.locator(".echogen-pad").get_by_title(preset).wait_for(timeout=READY_MS)
    shown = page.evaluate(f"{SAMPLER}.widgets.map(widget => widget.label)")
    assert set(labels) <= set(shown)
    size = page.evaluate(f"""{{
        const size = {SAMPLER}.widgets.find(widget => widget.name === "size");
        [size.value, size.options.getOptionLabel(size.value), size.options.getOptionLabel("own file.pth")];
    }}""")
    assert size == ["auto", choice, "own file.pth"], "what is saved stays the same"
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [True], ids=["nodes2"], indirect=True)
def test_templates_show_their_pictures(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    page.evaluate("void app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.get_by_role("dialog").get_by_text(PACK).first.click()
    page.wait_for_function(
        """count => [...document.querySelectorAll('[role=dialog] img')]
            .filter(image => image.naturalWidth).length === count""",
        arg=len(WORKFLOWS),
        timeout=READY_MS,
    )
    words = page.get_by_role("dialog").inner_text()
    places = [words.find(name) for name in WORKFLOWS]
    assert -1 not in places and places == sorted(places), "all of them, in the order of their names"
    page.screenshot(path=comfy_server.results_path() / "browser_templates.png")
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [True], ids=["nodes2"], indirect=True)
def test_the_blueprint_is_found_by_searching(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    page.evaluate("app.graph.clear()")
    page.evaluate("void app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    found = page.evaluate(SEARCH, SEARCHED)
    assert [words for words, names in found if not any("EchoGen" in name for name in names)] == []
    field = page.locator("[role=dialog] input, [role=search] input").first
    field.fill("ip adapter")
    page.get_by_role("option").filter(has_text="Image Prompt like IP-Adapter (EchoGen)").first.click()
    settled(page)
    page.mouse.click(1200, 700)  # where it is put, in front ends that ask
    page.wait_for_function("app.graph._nodes.some(node => node.subgraph)", timeout=READY_MS)
    assert not page_errors.found, page_errors.found
