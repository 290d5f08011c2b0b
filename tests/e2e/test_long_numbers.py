"""Numbers with more digits than a page or a widget's step has: whole, or said not to be set."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from browser_page import PageErrors, gammas, open_workflow, run_to_the_end, settled
from runner.server import Server

SWEEP = "app.graph._nodes.find(n => n.type === 'EchoGenGammaSweep')"
SAMPLER = "app.graph._nodes.find(n => n.type === 'EchoGenSampler')"
LARGEST = 2**64 - 1


def seed(page: Page) -> Any:
    return page.evaluate(f"{SAMPLER}.widgets.find(w => w.name === 'seed').value")


def test_a_cells_click_sets_its_numbers_whole(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_workflow(page, comfy, vue, "gamma-sweep")
    own_seed = seed(page)
    lists = {"gamma_t": "0-1 [4]", "gamma_i": "1,5; 2" if vue else "1,5; 3", "vary": "seed"}
    for name, value in {**lists, "values": f"7; {LARGEST}"}.items():
        page.evaluate(f"([n, v]) => {SWEEP}.widgets.find(w => w.name === n).value = v", [name, value])
    run_to_the_end(page, comfy)

    view = page.locator(".echogen-sweep")
    view.get_by_text("16 / 16").wait_for()
    expect(view.locator(".page")).to_have_text(["seed 7", f"seed {LARGEST}"])
    expect(view.locator(".across").nth(2)).to_have_text("0.3333333333")
    view.get_by_title(f"γ_t 0.3333333333, γ_I 1.5, seed {LARGEST}").click()
    assert gammas(page) == (0.3333333333, 1.5) and seed(page) == own_seed
    expect(view.locator(".status")).to_contain_text(f"the page's numbers hold: seed {LARGEST}")
    cell = view.get_by_title("γ_t 0.6666666667, γ_I 1.5, seed 7")
    cell.click()
    expect(cell).to_have_attribute("aria-pressed", "true")
    assert gammas(page) == (0.6666666667, 1.5) and seed(page) == 7
    settled(page)
    sent = page.evaluate("app.graphToPrompt().then(({output}) => Object.values(output))")
    (inputs,) = (node["inputs"] for node in sent if node["class_type"] == "EchoGenSampler")
    assert (inputs["gamma_t"], inputs["seed"]) == (0.6666666667, 7), "what is run is what the cell says"
    assert not page_errors.found, page_errors.found
