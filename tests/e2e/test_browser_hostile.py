"""Workflows with anything in the place of what the pack keeps in them, and views that fail: others go on."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, Request

import comfy_server
from browser_page import SAMPLER, PageErrors, fit_view, open_quickstart, settled, until
from runner.server import Server

OWN_ASSETS = "/assets/"  # the front end's own pictures
# what Reference Picture shows, and what newer front ends show of finished runs
KNOWN = (OWN_ASSETS, "filename=teddy_bear.png", "filename=quickstart_", "filename=ComfyUI_temp_")
NO_DRAFT = "QuotaExceededError"  # the front end keeps no draft of a workflow of 8 MB, and says so
PADS = ".echogen-pad text.values"
GAMMAS = "id => app.graph.getNodeById(id).widgets.slice(0, 2).map(w => w.value)"
ELSEWHERE = (
    "http://127.0.0.1:9/leak.png",
    "//127.0.0.1:9/leak",
    "/api/leak",
    "prompt",
    " http://127.0.0.1:9/leak",
    "blob:http://127.0.0.1:9/leak",
    "javascript:fetch('/leak')",
    "data:text/html,<img src=http://127.0.0.1:9/leak>",
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>",
    "url(http://127.0.0.1:9/leak)",
    "data:image/png;base64," + "A" * 2_000_000,
)
STRANGE: tuple[Any, ...] = (
    None,
    5,
    "x",
    True,
    [],
    [[1]],
    {},
    {"toString": 1},
    {"length": 9},
    "y" * 1_000_000,
)


def picture(form: str) -> str:
    """A small picture in an address of its own."""
    file = BytesIO()
    Image.new("RGB", (32, 32), (200, 80, 10)).save(file, form)
    return f"data:image/{form.lower()};base64,{b64encode(file.getvalue()).decode()}"


def pin(name: str, **parts: Any) -> dict[str, Any]:
    """A pin as the page writes it, with other parts."""
    kept = {"gamma": {"t": 1.5, "i": 3}, "settings": {"seed": 7, "size": "auto"}, "thumb": picture("JPEG")}
    return {"id": name, **kept, **parts}


GOOD = [pin("one"), pin("two", thumb=picture("PNG"), gamma=None)]


def pins() -> list[Any]:
    """The good ones among others."""
    bad: list[Any] = [pin(f"bad {at}", thumb=address) for at, address in enumerate(ELSEWHERE)]
    bad += [*STRANGE, *(pin("bad", thumb=value) for value in STRANGE), *(pin(value) for value in STRANGE[:2])]
    bad += [{"thumb": ELSEWHERE[0], "gamma_t": "<b>x</b>", "gamma_i": None}, pin("one", settings="<b>x</b>")]
    return [*bad, *[None] * 5000, GOOD[0], *bad, GOOD[1]]


def opened_with(samplers: list[dict[str, Any]]) -> dict[str, Any]:
    """Quickstart with such samplers: the first in the place of its own, the others beside it."""
    path = comfy_server.ROOT / "workflows" / "Quickstart.json"
    graph = dict(json.loads(path.read_text(encoding="utf-8")))
    (own,) = [node for node in graph["nodes"] if node["type"] == "EchoGenSampler"]
    inputs = [{**slot, "link": None} for slot in own["inputs"]]
    for at, parts in enumerate(samplers[1:]):
        place = {"id": 100 + at, "pos": [2600 + 450 * (at // 2), 80 + 1000 * (at % 2)]}
        free = {"inputs": inputs, "outputs": [{**own["outputs"][0], "links": []}]}
        graph["nodes"].append({**own, **free, **place, **parts})
    own.update(samplers[0])
    return graph


def load(page: Page, graph: dict[str, Any], nodes: int) -> None:
    """Opens a workflow, as by dropping its file, and waits for that many pads."""
    text = json.dumps(graph)  # NaN and Infinity as well, which files may have as 1e999
    page.evaluate(
        "async text => { await app.loadGraphData(JSON.parse(text)) }", text.replace("Infinity", "1e999")
    )
    fit_view(page)
    until(page, lambda: page.locator(PADS).count() == nodes, f"{nodes} pads")


def gone_wrong_on_show(page: Page) -> list[str]:
    """What on the page reads as a number or a text that is none."""
    return list(
        page.evaluate(
            r"""() => {
                const found = [], none = /NaN|undefined|Infinity|\[object/;
                for (const element of document.querySelectorAll('body *')) {
                    const own = [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE);
                    const said = [...own.map(node => node.data), String(element.value ?? '')];
                    said.push(...[...element.attributes].map(({name, value}) => `${name}=${value}`));
                    found.push(...said.filter(text => none.test(text)).map(text => text.slice(0, 200)));
                }
                return found;
            }"""
        )
    )


def follows(page: Page, sampler: int, value: float) -> None:
    """Types γ_t into the sampler of that number; its pad must tell it."""
    page.evaluate("([id, value]) => { app.graph.getNodeById(id).widgets[0].value = value }", [sampler, value])
    until(
        page,
        lambda: any(f"γ_t {value:g}," in text for text in page.locator(PADS).all_text_contents()),
        "it follows",
    )


@pytest.fixture
def asked(page: Page) -> Iterator[list[Request]]:
    """All that the page asks for."""
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request))
    yield requests


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_pins_of_a_hostile_workflow(vue: bool, page: Page, comfy: Server, asked: list[Request]) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    asked.clear()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    polluted = json.loads('{"__proto__": {"echogen_live": true, "echogen_pins": [{"thumb": "/leak"}]}}')
    kept = [{"echogen_pins": pins()}, {"echogen_pins": {"length": 9}}, polluted, {"echogen_live": "no"}]
    load(page, opened_with([{"properties": properties} for properties in kept]), len(kept))
    tray = page.locator(".pinned")
    until(page, lambda: tray.count() == len(GOOD), "the good pins alone")
    settled(page)
    urls = [request.url for request in asked if request.resource_type == "image"]
    images = [url for url in urls if not any(known in url for known in KNOWN)]
    assert not images
    assert not [request.url for request in asked if "leak" in request.url]
    assert gone_wrong_on_show(page) == []
    own, *others = page.evaluate("app.graph._nodes.filter(n => n.type === 'EchoGenSampler').map(n => n.id)")
    for at, node in enumerate((own, *others)):
        follows(page, node, 3.15 + at)
    assert not page.locator(".live[aria-pressed=true]").count()
    assert sum("EchoGen Sampler" in text and "dropped" in text for text in said) == 2, (
        "said once for each node"
    )

    saved = {str(node["id"]): node["properties"] for node in page.evaluate("app.graph.serialize().nodes")}
    assert saved[str(own)]["echogen_pins"] == GOOD, "saved again it has the good ones"
    tray.first.get_by_role("button", name="Use these settings").click()
    until(page, lambda: page.evaluate(GAMMAS, own) == [1.5, 3], "its γ")
    page.screenshot(path=comfy_server.results_path() / "browser_hostile.png")
    assert [error for error in page_errors.found if NO_DRAFT not in error] == []


# Nodes 2.0 stops drawing a node for an object in a number's place.
@pytest.mark.parametrize("vue", [True], ids=["nodes2"], indirect=True)
def test_pads_show_what_is_sent_whatever_is_in_the_widgets(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    texts = ["5", "NaN", "7", "fixed", "1", "1:1", "auto", "x", "0.0", "0"]
    alike = (None, [[1]], {"toString": 1}, math.inf, 1e308)
    cases = [texts, [2.5], [*texts, 1, "x", None] * 5, *([value] * 10 for value in alike)]
    load(page, opened_with([{"widgets_values": values} for values in cases]), len(cases))
    settled(page)
    sent = page.evaluate(
        """() => app.graph._nodes.filter(n => n.type === 'EchoGenSampler').map(n =>
            n.widgets.slice(0, 2).map(w => w.value))"""
    )
    assert all(isinstance(value, int | float) and math.isfinite(value) for pair in sent for value in pair), (
        sent
    )
    shown = [text.removesuffix(" cheaper (2 passes)") for text in page.locator(PADS).all_text_contents()]
    told = [page.evaluate("pair => `γ_t ${pair[0]}, γ_I ${pair[1]}`", pair) for pair in sent]
    assert sorted(shown) == sorted(told)
    assert gone_wrong_on_show(page) == []
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_a_view_that_fails_stops_no_other(vue: bool, page: Page, comfy: Server) -> None:
    open_quickstart(page, comfy, vue)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    uncaught: list[str] = []
    page.on("pageerror", lambda error: uncaught.append(str(error)))
    load(page, opened_with([{}, {}, {}]), 3)
    broken = page.evaluate(f"{SAMPLER}.id")
    page.evaluate(
        """id => {
            const broken = { configurable: true, get() { throw new Error('broken') } };
            Object.defineProperty(app.graph.getNodeById(id), 'properties', broken);
        }""",
        broken,
    )
    for _ in range(3):
        settled(page)
    follows(page, 100, 6.5)
    ours = [text for text in errors if text.startswith("EchoGen:")]
    assert len(ours) == 1 and "EchoGen Sampler" in ours[0] and "broken" in ours[0], errors
    page.evaluate("id => { delete app.graph.getNodeById(id).properties }", broken)
    page.evaluate("id => { app.graph.getNodeById(id).properties = {} }", broken)
    follows(page, broken, 7.25)
    page.evaluate("() => { app.graph.clear() }")
    page.wait_for_function("!document.querySelector('.echogen-pad')")
    assert not uncaught, uncaught
