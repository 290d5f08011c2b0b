"""γ Sweep and Guidance Schedule, through their real classes at nano's sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import graphs
import pytest
import torch
from graphs import Comfy, Give, node
from test_execution import SAMPLER, run, same_bits

import comfy_pack

LISTS = dict(gamma_t="1, 3", gamma_i="0-4 [3]", vary="nothing", values="")
REST = {name: value for name, value in SAMPLER.items() if name not in ("gamma_t", "gamma_i", "batch")}


def sweep(pack: dict[str, Any], models: Any, **inputs: Any) -> Any:
    """What γ Sweep gives back, its message to the front end included."""
    import execution

    node = pack["EchoGenGammaSweep"]
    # the hidden values in whichever form this ComfyUI's executor has them
    *_, hidden = execution.get_input_data({}, node, "1")
    sockets = {"model": models.model, "tokenizer": models.tokenizer}
    return node.PREPARE_CLASS_CLONE(hidden).EXECUTE_NORMALIZED(**sockets, **{**LISTS, **REST, **inputs})


@pytest.fixture(scope="module")
def text(pack: dict[str, Any], models: Any) -> Any:
    with torch.inference_mode():
        return run(pack, "EchoGenEncodeText", text_encoder=models.text_encoder, prompt="a toy car")[0]


def test_each_cell_is_the_samplers_picture(pack: dict[str, Any], models: Any, text: Any) -> None:
    output = sweep(pack, models, text=text)
    grid, bits = output.result
    assert grid.shape[0] == 1 and grid.shape[3] == 3 and len(bits) == 6
    for cell, (gamma_i, gamma_t) in enumerate([(4, 1), (4, 3), (2, 1), (2, 3), (0, 1), (0, 3)]):
        inputs = {**SAMPLER, "gamma_t": float(gamma_t), "gamma_i": float(gamma_i)}
        single, _ = run(pack, "EchoGenSampler", model=models.model, text=text, **inputs)
        assert same_bits(bits[cell], single)
    (table,) = output.ui["echogen_sweep"]
    assert table["columns"] == [1, 3] and table["rows"] == [4, 2, 0]
    assert table["pages"] == [{"title": "", "set": {}}]
    assert [(cell["gamma_i"], cell["gamma_t"]) for cell in table["cells"]][1] == (4, 3)


def test_subject_and_prompt_are_computed_once(pack: dict[str, Any], models: Any, text: Any) -> None:
    cache = models.model.prefill_cache
    cache.clear()
    before = cache.computed
    sweep(pack, models, text=text, gamma_t="0-3", gamma_i="0-3")
    assert cache.computed - before <= 3


@pytest.mark.parametrize(
    ("vary", "values", "titles"),
    [
        ("tau", "0.5-1 (+0.25)", ["tau 0.5", "tau 0.75", "tau 1"]),
        ("seed", "3, 9", ["seed 3", "seed 9"]),
        ("prompt", "a toy car\n\n a cat \n", ["a toy car", "a cat"]),
    ],
)
def test_a_third_list_gives_a_grid_for_each_value(
    pack: dict[str, Any], models: Any, vary: str, values: str, titles: list[str]
) -> None:
    output = sweep(
        pack, models, gamma_t="2", gamma_i="2", vary=vary, values=values, text_encoder=models.text_encoder
    )
    grids, bits = output.result
    assert grids.shape[0] == len(bits) == len(titles)
    (table,) = output.ui["echogen_sweep"]
    assert [page["title"] for page in table["pages"]] == titles
    assert [cell["page"] for cell in table["cells"]] == list(range(len(titles)))
    taken_along = [] if vary == "prompt" else [vary]
    assert [list(page["set"]) for page in table["pages"]] == [taken_along] * len(titles)
    assert not same_bits(bits[0], bits[1])
    assert ["“a toy car” names none" in note for note in output.ui["echogen_notices"]] == [True] * (
        vary == "prompt"
    ), "nano knows scenes, and has none of these"


def test_weights_without_effect_are_said(pack: dict[str, Any], models: Any, text: Any) -> None:
    prompts = {"vary": "prompt", "values": "a cat in a forest\na cat (in a forest:9)"}
    inputs = {"negative": text, "text_encoder": models.text_encoder, **prompts}
    said = sweep(pack, models, gamma_t="1", gamma_i="2", **inputs).ui["echogen_notices"]
    assert ["negative prompt has no effect" in note for note in said] == [True, False]
    assert "expected 0 to 4, got 9" in said[1]
    assert sweep(pack, models, gamma_t="1, 2", gamma_i="2", negative=text).ui["echogen_notices"] == ()


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"gamma_t": ""}, "γ_t.*at least one"),
        ({"gamma_t": "two"}, "γ_t.*number or a range"),
        ({"gamma_i": "1-9"}, "γ_I.*from 0 to 8"),
        ({"gamma_i": "0-8 (+0.0000001)"}, "γ_I.*at most 12"),
        ({"gamma_i": "1-2 (+0)"}, "step above 0"),
        ({"vary": "prompt", "values": "a cat"}, "connect text encoder"),
        ({"vary": "prompt", "values": " \n"}, "1 to 12 prompts"),
        ({"vary": "tau", "values": "0"}, "tau.*from 0.01"),
    ],
)
def test_what_cannot_be_swept(pack: dict[str, Any], models: Any, inputs: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        sweep(pack, models, **inputs)


@pytest.fixture
def comfy(models: Any, text: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Comfy]:
    """A session to draw sweeps in."""
    graphs.register()
    given = {"model": models.model, "tokenizer": models.tokenizer, "text": text}
    monkeypatch.setattr(Give, "values", given)
    yield Comfy()
    import comfy.model_management as mm

    mm.interrupt_current_processing(False)


def sweeps(*names: str) -> dict[str, Any]:
    """Sweeps of the same values, and what is behind them; only `mine` has a prompt."""
    prompt = {name: node("Give", name=name) for name in Give.values}
    for name in names:
        sockets = {given: [given, 0] for given in Give.values if given != "text" or name == "mine"}
        prompt[name] = node("EchoGenGammaSweep", **sockets, **LISTS, **REST)
        prompt[f"behind {name}"] = node("Keep", value=[name, 0])
    return prompt


def cancel_at(cell: int, monkeypatch: pytest.MonkeyPatch, at: str = "send_event") -> None:
    """The artist cancels when the front end is told of that cell, or while it is decoded (`at`)."""
    import comfy.model_management as mm

    runtime = comfy_pack.pack_module("nodes.runtime")
    as_ever, seen = getattr(runtime, at), []

    def watched(*args: Any) -> Any:
        if at == "decode" or args[1]["cells"]:
            seen.append(args)
            if len(seen) == cell:
                mm.interrupt_current_processing()
        return as_ever(*args)

    monkeypatch.setattr(runtime, at, watched)


def interrupted(comfy: Comfy) -> bool:
    return "execution_interrupted" in [event for event, _ in comfy.front.told]


def test_cancel_keeps_what_is_done_and_ends_the_run(comfy: Comfy, monkeypatch: pytest.MonkeyPatch) -> None:
    assert comfy.run(sweeps("other")).kept
    with monkeypatch.context() as patch:
        cancel_at(2, patch)
        cut = comfy.run(sweeps("other", "mine"))
    assert interrupted(comfy) and not cut.error
    (table,) = cut.shown["mine"]["echogen_sweep"]
    assert len(table["cells"]) == 2
    assert "behind mine" not in cut.kept and "other" not in cut.ran
    again = comfy.run(sweeps("other", "mine"))
    assert not interrupted(comfy) and again.kept["behind mine"][0].shape[0] == 1
    assert "mine" in again.ran, "the part is not taken for the whole"
    assert "other" not in again.ran, "nor does another sweep of the same values run for it"
    (table,) = again.shown["mine"]["echogen_sweep"]
    assert len(table["cells"]) == 6
    assert "mine" not in comfy.run(sweeps("other", "mine")).ran


@pytest.mark.parametrize("at", ["start", "decode"])
def test_cancel_in_the_first_cell_is_no_fault(comfy: Comfy, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    with monkeypatch.context() as patch:
        if at == "decode":
            cancel_at(1, patch, "decode")
        else:
            drawing = comfy_pack.pack_module("nodes.drawing")
            as_ever = drawing.sample
            import comfy.model_management as mm

            patch.setattr(
                drawing, "sample", lambda *a, **k: (mm.interrupt_current_processing(), as_ever(*a, **k))[1]
            )
        cut = comfy.run(sweeps("mine"))
    assert interrupted(comfy) and not cut.error and "mine" not in cut.shown and not cut.kept
    assert len(comfy.run(sweeps("mine")).shown["mine"]["echogen_sweep"][0]["cells"]) == 6


def test_a_grid_of_large_pictures_is_reduced(pack: dict[str, Any]) -> None:
    grid = comfy_pack.pack_module("nodes.labelled_grid")
    drawn = grid.LabelledGrid((1024, 1024), ["1"] * 12, ["1"] * 2, "a very long title " * 60, ("x", "y"))
    assert max(drawn.image.size) < grid.MAX_SIDE * 1.1
    drawn.put(1, 11, drawn.image.resize((1024, 1024)))


def test_a_schedule_takes_the_place_of_the_sliders(pack: dict[str, Any], models: Any, text: Any) -> None:
    def sampled(**shape: Any) -> Any:
        widgets = dict(shape="constant", gamma_t=2.0, gamma_i=3.0, end=1.0, points_t="", points_i="")
        (guidance,) = run(pack, "EchoGenGuidanceSchedule", **{**widgets, **shape})
        inputs = {**SAMPLER, "gamma_t": 8.0, "gamma_i": 0.0}
        return run(pack, "EchoGenSampler", model=models.model, text=text, guidance=guidance, **inputs)[0]

    sliders, _ = run(pack, "EchoGenSampler", model=models.model, text=text, **SAMPLER)
    assert same_bits(sampled(), sliders)
    drawn = sampled(shape="drawn", points_t="2, 2", points_i="3")
    assert same_bits(drawn, sliders)
    assert not same_bits(sampled(shape="early"), sliders)


def test_points_that_cannot_be_drawn(pack: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"γ_I points.*0 to 8"):
        run(
            pack,
            "EchoGenGuidanceSchedule",
            shape="drawn",
            gamma_t=1.0,
            gamma_i=1.0,
            end=1.0,
            points_t="1",
            points_i="1, 9",
        )
