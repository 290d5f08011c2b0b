"""γ Sweep and Guidance Schedule, through their real classes at nano's sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
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
        (single,) = run(pack, "EchoGenSampler", model=models.model, text=text, **inputs)
        assert same_bits(bits[cell], single)
    (table,) = output.ui["echogen_sweep"]
    assert table["columns"] == [1, 3] and table["rows"] == [4, 2, 0]
    assert table["pages"] == [{"title": "", "set": {}}]
    assert [(cell["gamma_i"], cell["gamma_t"]) for cell in table["cells"]][1] == (4, 3)


def test_subject_and_prompt_are_computed_once(pack: dict[str, Any], models: Any, text: Any) -> None:
    cache = models.model.prefills
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


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"gamma_t": ""}, "γ_t.*at least one"),
        ({"gamma_t": "two"}, "γ_t.*number or a range"),
        ({"gamma_i": "1-9"}, "γ_I.*from 0 to 8"),
        ({"gamma_i": "0-8 (+0.0000001)"}, "γ_I.*at most 12"),
        ({"gamma_i": "1-2 (+0)"}, "step above 0"),
        ({"vary": "prompt", "values": "a cat"}, "connect text_encoder"),
        ({"vary": "prompt", "values": " \n"}, "1 to 12 prompts"),
        ({"vary": "tau", "values": "0"}, "tau.*from 0.01"),
    ],
)
def test_what_cannot_be_swept(pack: dict[str, Any], models: Any, inputs: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        sweep(pack, models, **inputs)


def test_cancel_keeps_what_is_done(
    pack: dict[str, Any], models: Any, text: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.model_management as mm

    runtime, node = comfy_pack.pack_module("nodes.runtime"), pack["EchoGenGammaSweep"]
    cells: list[Any] = []

    def cancel_at_the_second(event: str, data: Any) -> None:
        cells.extend(data["cells"])
        if data["cells"] and len(cells) == 2:
            mm.interrupt_current_processing()

    monkeypatch.setattr(runtime, "tell_front_end", cancel_at_the_second)
    before = node.fingerprint_inputs()
    grid, bits = sweep(pack, models, text=text).result
    assert len(bits) == 2 and grid.shape[0] == 1
    assert node.fingerprint_inputs() != before, "or ComfyUI would take the part for the whole"
    assert len(sweep(pack, models, text=text).result[1]) == 6, "the next run is whole"

    mm.interrupt_current_processing()
    with pytest.raises(mm.InterruptProcessingException):
        sweep(pack, models, text=text)


def test_a_grid_of_large_pictures_is_reduced(pack: dict[str, Any]) -> None:
    grid = comfy_pack.pack_module("nodes.grid")
    drawn = grid.LabelledGrid((1024, 1024), ["1"] * 12, ["1"] * 2, "a very long title " * 60, ("x", "y"))
    assert max(drawn.image.size) < grid.LONGEST * 1.1
    drawn.put(1, 11, drawn.image.resize((1024, 1024)))


def test_a_schedule_takes_the_place_of_the_sliders(pack: dict[str, Any], models: Any, text: Any) -> None:
    def sampled(**shape: Any) -> Any:
        widgets = dict(shape="constant", gamma_t=2.0, gamma_i=3.0, end=1.0, points_t="", points_i="")
        (guidance,) = run(pack, "EchoGenGuidanceSchedule", **{**widgets, **shape})
        inputs = {**SAMPLER, "gamma_t": 8.0, "gamma_i": 0.0}
        return run(pack, "EchoGenSampler", model=models.model, text=text, guidance=guidance, **inputs)[0]

    (sliders,) = run(pack, "EchoGenSampler", model=models.model, text=text, **SAMPLER)
    assert same_bits(sampled(), sliders)
    drawn = sampled(shape="drawn", points_t="2, 2", points_i="3")
    assert same_bits(drawn, sliders)
    assert not same_bits(sampled(shape="early"), sliders)


def test_points_that_cannot_be_drawn(pack: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"points_i.*0 to 8"):
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
