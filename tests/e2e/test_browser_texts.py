"""What the page says and offers: help, other languages, templates with their pictures, the blueprint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

import comfy_server
from browser_page import SAMPLER, PageErrors, load_quickstart, open_quickstart, settled
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
def english_again(comfy: Server) -> Iterator[None]:
    """After a test of other languages."""
    yield
    comfy.client.post_json("/settings", {"Comfy.Locale": "en"})


@pytest.mark.parametrize("vue", [True], ids=["nodes2"], indirect=True)
def test_help_beside_the_graph(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    page.evaluate(f"app.canvas.selectNode({SAMPLER})")
    page.get_by_test_id("info-button").click()
    page.get_by_text("by next-scale prediction: first one token").first.wait_for()
    assert page.get_by_role("heading", name="Typical errors").count() > 0
    # The front end asks for a page in its own language first; ours are in one.
    assert [word for word in page_errors.found if not word.endswith("/en.md")] == []


LANGUAGES = [
    ("ja", ["γ パッド", "シード", "アスペクト比"], "バランス", "自動"),
    ("zh", ["γ 面板", "种子", "宽高比"], "均衡", "自动"),
]


def test_other_languages(fresh_page: Page, comfy: Server, english_again: None) -> None:
    page, page_errors = fresh_page, PageErrors(fresh_page)
    for language, labels, preset, choice in LANGUAGES:
        comfy.client.post_json("/settings", {"Comfy.Locale": language, "Comfy.VueNodes.Enabled": False})
        load_quickstart(page, comfy)
        page.locator(".echogen-pad").get_by_title(preset).wait_for()
        shown = page.evaluate(f"{SAMPLER}.widgets.map(widget => widget.label)")
        assert set(labels) <= set(shown), language
        size = page.evaluate(f"""{{
            const {{value, options}} = {SAMPLER}.widgets.find(widget => widget.name === "size");
            [value, options.getOptionLabel(value), options.getOptionLabel("own file.pth")];
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
    expect(page.get_by_role("option"), "a fading list would take the next click").to_have_count(0)
    settled(page)
    page.mouse.click(1200, 700)  # where it is put, in front ends that ask
    page.wait_for_function("app.graph._nodes.some(node => node.subgraph)")
    assert not page_errors.found, page_errors.found
