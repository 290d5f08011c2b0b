"""Numbers with more digits than a page or a widget's step has: whole, or said not to be set."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from browser_page import (
    SAMPLER,
    SWEEP,
    PageErrors,
    gammas,
    open_workflow,
    run_to_the_end,
    set_widget,
    settled,
    widget,
)
from comfy_server import Graph, Recorder, changed, inputs_of, node_of
from runner.server import Server

LARGEST = 2**64 - 1


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_a_cells_click_sets_its_numbers_whole(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_workflow(page, comfy, vue, "Sweep - every pair of gammas")
    page.wait_for_function(f"!!({SWEEP} && {SAMPLER})")
    own_seed = widget(page, SAMPLER, "seed")
    lists = {"gamma_t": "0-1 [4]", "gamma_i": "1,5; 3", "vary": "seed"}
    for name, value in {**lists, "values": f"7; {LARGEST}"}.items():
        set_widget(page, SWEEP, name, value)
    run_to_the_end(page, comfy)

    view = page.locator(".echogen-sweep")
    view.get_by_text("16 / 16").wait_for()
    expect(view.locator(".page")).to_have_text(["seed 7", f"seed {LARGEST}"])
    expect(view.locator(".across").nth(2)).to_have_text("0.3333333333")
    view.get_by_title(f"γ_t 0.3333333333, γ_I 1.5, seed {LARGEST}").click()
    assert gammas(page) == (0.3333333333, 1.5) and widget(page, SAMPLER, "seed") == own_seed
    expect(view.locator(".status")).to_contain_text(f"too many digits for the browser: seed {LARGEST}")
    cell = view.get_by_title("γ_t 0.6666666667, γ_I 1.5, seed 7")
    cell.click()
    expect(cell).to_have_attribute("aria-pressed", "true")
    assert gammas(page) == (0.6666666667, 1.5) and widget(page, SAMPLER, "seed") == 7
    settled(page)
    inputs = inputs_of(page.evaluate("app.graphToPrompt().then(({output}) => output)"), "EchoGenSampler")
    assert (inputs["gamma_t"], inputs["seed"]) == (0.6666666667, 7), "what is run is what the cell says"
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_the_largest_seed_is_whole_in_pictures_and_in_what_the_page_reads(
    vue: bool, recorder: Recorder, graph: Graph, page: Page, comfy: Server
) -> None:
    run = recorder.run(changed(graph, "EchoGenSampler", seed=LARGEST))
    assert run.error is None, run.error
    (picture,) = run.pictures["picture"]
    sampler = node_of(graph, "EchoGenSampler")
    assert json.loads(picture.info["prompt"])[sampler]["inputs"]["seed"] == LARGEST
    open_workflow(page, comfy, vue, "Quickstart")
    read = page.evaluate(
        """async run => {
            const served = await (await fetch('/api/extensions')).json();
            const {exactJson} = await import(served.find(name => name.endsWith('/plain_values.js')));
            return exactJson(await (await fetch(`/history/${run}`)).text());
        }""",
        run.prompt_id,
    )
    (entry,) = read.values()
    assert entry["prompt"][2][sampler]["inputs"]["seed"] == str(LARGEST)


def test_what_the_page_shows_of_a_typed_seed_is_what_runs(vue: bool, page: Page, comfy: Server) -> None:
    """The page rounds what is typed beyond 2^53 at once, so that the rounded seed is seen, run and saved."""
    open_workflow(page, comfy, vue, "Quickstart")
    notice = page.locator(".echogen-panel .note")
    expect(notice).to_have_count(1)
    expect(notice).to_be_hidden()
    page.evaluate(f"{SAMPLER}.widgets.find(w => w.name === 'seed').value = Number('{2**53 + 1}')")
    shown = page.evaluate(f"String({SAMPLER}.widgets.find(w => w.name === 'seed').value)")
    sent = page.evaluate("app.graphToPrompt().then(({output}) => JSON.stringify(output))")
    inputs = inputs_of(json.loads(sent), "EchoGenSampler")
    assert str(inputs["seed"]) == shown == str(2**53)
    expect(notice).to_have_text(f"The browser rounds seeds above {2**53 - 1}: {shown} is used")
    expect(notice).to_be_in_viewport(ratio=0.9)
    set_widget(page, SAMPLER, "seed", 7)
    expect(notice).to_be_hidden()
    page.evaluate(
        f"""() => {SAMPLER}.properties.echogen_pins = [{{id: 'long', gamma: {{t: 1, i: 2}},
            settings: {{seed: '{LARGEST}'}}, thumb: document.createElement('canvas').toDataURL()}}]"""
    )
    panel = page.locator(".echogen-panel")
    word = panel.locator(".pinned .word").last
    expect(word).to_have_text(f"seed {LARGEST}")
    assert word.evaluate(
        "e => e.getBoundingClientRect().right <= e.closest('.pins').getBoundingClientRect().right"
    )
    panel.locator(".pinned .use").click()
    expect(notice).to_have_text("Not changed: too many digits for the browser: seed")
    set_widget(page, SAMPLER, "gamma_t", 3)
    expect(notice).to_be_hidden()
