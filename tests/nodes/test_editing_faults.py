"""What edits and regions refuse, and what they say of settings without effect, through the real classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from test_editing import EDIT, REGION, drawn, edited
from test_editing import ground as ground  # a fixture
from test_editing import right as right
from test_execution import SAMPLER, run
from test_sweep import sweep
from torch import Tensor

import comfy_pack
from echogen_core.config import PRESETS
from echogen_core.scales import find_schedule

NAN = float("nan")


def said(pack: Any, node_id: str, **inputs: Any) -> str:
    """All that a node says, which its history has as well as its notices."""
    ui = pack[node_id].PREPARE_CLASS_CLONE({}).EXECUTE_NORMALIZED(**inputs).ui
    assert ui["echogen_notices"] == ui["text"]
    return " ".join(ui["text"])


def of_edit(pack: Any, models: Any, image: Tensor, mask: Tensor | None, **options: Any) -> str:
    inputs = {**EDIT, **options}
    return said(pack, "EchoGenEditPicture", image=image, mask=mask, tokenizer=models.tokenizer, **inputs)


def part(height: int, width: int, pixels: int = 30) -> Tensor:
    """[1, H, W]: marked in a square at the upper left."""
    mask_1HW = torch.zeros(1, height, width)
    mask_1HW[:, :pixels, :pixels] = 1
    return mask_1HW


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(way="place", mask=None), "mask is missing or empty.*choose redraw"),
        (dict(way="place", mask=torch.zeros(1, 64, 64)), "mask is missing or empty"),
        (dict(mask=part(150, 150)), "150×150 px and does not fit the 200×150 px picture"),
        (dict(mask=torch.ones(1, 0, 5)), "mask is 5×0 px"),
        (dict(mask=torch.ones(5)), "Expected masks of shape"),
        (dict(mask=torch.full((1, 150, 200), NAN)), "not numbers"),
        (dict(mask=torch.ones(2, 150, 200), image=torch.rand(3, 150, 200, 3)), "one for each of the 3"),
        (
            dict(mask=torch.cat([part(150, 200), 0 * part(150, 200)]), image=torch.rand(2, 150, 200, 3)),
            "mask 2 is empty",
        ),
        (dict(image=torch.rand(1, 7, 9, 3), mask=None), "at least 8 px"),
        (dict(image=torch.full((1, 150, 200, 3), NAN)), "NaN or infinity"),
        (dict(image=torch.rand(1, 150, 200, 5)), "number of channels"),
        (dict(image=torch.rand(150, 200)), "shape"),
        (dict(keep_scales=6), "has 5 scales.*got 6"),
        (dict(size="0.25M"), "nano draws 256×256 only: set size to auto"),
    ],
)
def test_what_cannot_be_edited(
    pack: Any, models: Any, ground: Tensor, right: Tensor, change: Any, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        edited(pack, models, **{"image": ground, "mask": right, **change})


def test_pictures_and_masks_of_every_kind_are_edited(pack: Any, models: Any, ground: Tensor) -> None:
    for image in (torch.rand(2, 90, 60, 4), torch.rand(2, 90, 60, 1), torch.rand(2, 90, 60, 3).double()):
        for mask in (part(90, 60)[0], part(45, 30), part(90, 60).expand(2, -1, -1), torch.rand(4, 90, 60)):
            edit = edited(pack, models, image, mask, way="place", fit="around the mask").edit
            assert edit.pictures_B3HW.shape == (2, 3, 90, 60) and edit.masks_BHW.shape == (2, 90, 60)
            assert edit.pictures_B3HW.dtype == torch.float32
    three = torch.zeros(3, 150, 200)
    three[0, :9], three[1, -9:], three[2, 70:75] = 1, 1, 1
    assert torch.equal(edited(pack, models, ground, three).edit.masks_BHW, three.amax(0, keepdim=True))


@pytest.mark.parametrize(
    ("options", "pixels", "says"),
    [
        ({}, 60, ""),
        ({"fit": "pad"}, 60, ""),
        ({}, 0, "The mask is empty: the whole picture may change."),
        ({}, 1, "Nothing changes: what may change is smaller than a token"),
        ({"fit": "around the mask"}, 1, ""),
        ({"grow": 40}, 1, ""),
        ({"keep_scales": 5}, 60, "All scales are kept"),
        ({"way": "place"}, 60, "Fit has no effect with place"),
        ({"way": "place", "fit": "around the mask"}, 60, ""),
    ],
)
def test_what_has_no_effect_is_said(
    pack: Any, models: Any, options: dict[str, Any], pixels: int, says: str
) -> None:
    square = torch.rand(1, 128, 128, 3)
    words = of_edit(pack, models, square, part(128, 128, pixels), **options)
    assert words == says or (says and words.startswith(says))


def test_what_the_model_does_not_see_is_said(pack: Any, models: Any, ground: Tensor) -> None:
    lost = "25% of the mask is outside what the model sees, and stays."
    assert of_edit(pack, models, ground, None).startswith(lost)
    assert of_edit(pack, models, ground, part(150, 200, 20)).endswith("set fit to “around the mask”.")
    encode = dict(image=ground, tokenizer=models.tokenizer, size="auto")
    lost_picture = "25% of the picture is outside what the model sees. Set fit to pad"
    assert said(pack, "EchoGenEncodeBits", fit="crop", **encode).startswith(lost_picture)
    assert said(pack, "EchoGenEncodeBits", fit="stretch", **encode) == ""


def refused(pack: Any, models: Any, says: str, **inputs: Any) -> None:
    with pytest.raises(ValueError, match=says):
        drawn(pack, models, **inputs)


def test_what_does_not_fit_the_sampler(pack: Any, models: Any, ground: Tensor, right: Tensor) -> None:
    placed = edited(pack, models, ground, right, way="place")
    (region,) = run(pack, "EchoGenSubjectRegion", **REGION)
    refused(pack, models, "one subject.*Choose redraw", edit=placed, regions=region)
    three = edited(pack, models, ground.expand(3, -1, -1, -1), None)
    refused(pack, models, "holds 3 pictures, the run draws 1 picture:", edit=three)
    refused(pack, models, "holds 3 pictures, the run draws 2 pictures:", edit=three, batch=2)

    apart = torch.zeros(2, 150, 200)
    apart[0, :50, :50], apart[1, 90:, 90:] = 1, 1
    around = edited(pack, models, ground.expand(2, -1, -1, -1), apart, fit="around the mask")
    refused(pack, models, "framed in 2 ways.*set fit to crop", edit=around, batch=2, regions=region)

    other = placed.tokenizer.module.config
    foreign = replace(placed.tokenizer, module=torch.nn.Module())
    foreign.module.config = replace(other, bits=2 * other.bits)
    refused(pack, models, f"has {2 * other.bits} bits", edit=placed._replace(tokenizer=foreign))
    large = replace(placed.edit, schedule=find_schedule("1M", "4:3"))
    refused(pack, models, "nano draws 256×256 only", edit=placed._replace(edit=large))


def test_a_smaller_edit_of_a_larger_model_is_not_refused(pack: Any, models: Any, ground: Tensor) -> None:
    """An edit has the size of its own node, whatever the model's own is."""
    schedule_for = comfy_pack.pack_module("nodes.sampling").schedule_for
    edit = edited(pack, models, ground, None)
    for budget, ratio in (("0.06M", "4:3"), ("0.25M", "1:1"), ("1M", "1:3")):
        wanted = find_schedule(budget, ratio)
        sized = edit._replace(edit=replace(edit.edit, schedule=wanted))
        for size, aspect, unused in (("auto", "1:1", 0), (budget, ratio, 0), ("auto", "7:4", 1)):
            schedule, notes = schedule_for(PRESETS["echogen-2b"], size, aspect, sized)
            assert schedule == wanted and len(notes) == unused


def pasting(pack: Any, image: Tensor, edit: Any) -> Callable[[], Any]:
    return lambda: run(pack, "EchoGenPasteBack", image=image, edit=edit)


def test_what_cannot_be_pasted_back(pack: Any, models: Any, ground: Tensor, right: Tensor) -> None:
    placed, redrawn = (edited(pack, models, ground, right, way=way) for way in ("place", "redraw"))
    pair = edited(pack, models, ground.expand(2, -1, -1, -1), right)
    canvas = torch.rand(1, 128, 128, 3)
    for paste, says in (
        (pasting(pack, canvas, placed), "not drawn yet.*edit output of EchoGen Sampler"),
        (pasting(pack, torch.rand(1, 128, 96, 3), redrawn), "96×128 px; this frame is for 128×128"),
        (pasting(pack, torch.rand(3, 128, 128, 3), pair), "2 pictures.*got 3"),
        (pasting(pack, torch.full((1, 128, 128, 3), NAN), redrawn), "edited picture holds NaN"),
    ):
        with pytest.raises(ValueError, match=says):
            paste()
    larger = canvas.repeat_interleave(4, 1).repeat_interleave(4, 2)
    (pasted, _), (finer, _) = pasting(pack, canvas, redrawn)(), pasting(pack, larger, redrawn)()
    moved = (finer - ground).abs().amax(-1)
    assert finer.shape == pasted.shape and float(moved[:, :, :100].max()) == 0 and float(moved.max()) > 0.1
    assert float((finer - pasted).abs().mean()) < 0.05, "an enlarged picture is the same, but finer"


def test_pictures_without_a_subject_are_said(pack: Any, models: Any, ground: Tensor, right: Tensor) -> None:
    made = edited(pack, models, ground, right)
    made = made._replace(canvas=replace(made.canvas, missed=(0,)))
    assert made.canvas.note.startswith("No subject stood out, so the mask")
    three = replace(made.canvas, frames=made.canvas.frames * 3, missed=(0, 2))
    assert three.note.startswith("Pictures 1, 3: No subject stood out")
    words = " ".join(sweep(pack, models, gamma_t="1", gamma_i="1, 2", edit=made).ui["text"])
    assert "No subject stood out in 2 of 2 pictures" in words


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (None, ""),
        (part(80, 80), ""),
        (torch.zeros(1, 64, 64), "The mask is empty, so it isn't used: the region is the left half."),
        (torch.ones(3, 50, 80), "3 masks were joined into one region."),
        (torch.rand(20, 30), ""),
    ],
)
def test_what_a_region_says_of_its_mask(pack: Any, models: Any, mask: Tensor | None, says: str) -> None:
    (text,) = run(pack, "EchoGenEncodeText", text_encoder=models.text_encoder, prompt="a cat")
    assert said(pack, "EchoGenSubjectRegion", mask=mask, text=text, **REGION) == says
    bare = said(pack, "EchoGenSubjectRegion", mask=mask, **REGION)
    assert bare.startswith(says) and bare.endswith("connected: here the model draws what it likes.")


def test_regions_that_cannot_be(pack: Any, ground: Tensor) -> None:
    for change, says in (
        (dict(mask=part(80, 80), image=ground), "does not fit the 200×150 px picture"),
        (dict(mask=torch.full((1, 9, 9), NAN)), "not numbers"),
        (dict(mask=torch.ones(9)), "Expected masks of shape"),
        (dict(image=torch.full((1, 50, 50, 3), NAN)), "NaN"),
        (dict(previous=(1, 2)), "previous: expected regions, from Subject Region"),
    ):
        with pytest.raises(ValueError, match=says):
            run(pack, "EchoGenSubjectRegion", **{**REGION, **change})
    wide = torch.rand(1, 384, 384, 3)  # as the ground without a picture
    with pytest.raises(ValueError, match="does not fit"):
        run(pack, "EchoGenSubjectRegion", mask=part(80, 120), image=wide, **REGION)


def test_regions_that_overlap_or_cover_nothing_are_said(pack: Any, models: Any) -> None:
    def region(**inputs: Any) -> Any:
        return run(pack, "EchoGenSubjectRegion", **{**REGION, **inputs})[0]

    both = region(previous=region(area="everywhere"))
    sampler = pack["EchoGenSampler"].PREPARE_CLASS_CLONE({}).EXECUTE_NORMALIZED
    words = " ".join(sampler(model=models.model, regions=both, **SAMPLER).ui["text"])
    assert "overlap in 50% of the picture" in words
    nothing = (region()[0]._replace(mask_HW=torch.zeros(9, 9)),)
    words = " ".join(sampler(model=models.model, regions=nothing, **SAMPLER).ui["text"])
    assert words == "Region 1 covers nothing of the picture: it has no effect."
