"""Rank by Likeness: the best few of a batch in order, what it says, and what it refuses."""

from __future__ import annotations

from typing import Any

import graphs
import pytest
import torch
from graphs import Comfy, give, node

from echogen_core.pictures import from_pil
from echogen_core.subject.likeness import REGION_COMPARED, WHOLE_COMPARED
from echogen_core.subject.samples import open_sample


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    """[1, 64, 64, 3]: a packaged sample on white."""
    sample = open_sample("teddy_bear.png").convert("RGB").resize((64, 64))
    return from_pil(sample).movedim(0, -1)[None]


@pytest.fixture(scope="module")
def batch(picture: torch.Tensor) -> torch.Tensor:
    """Three pictures: none of the subject, twice the same one of it."""
    return torch.cat([torch.full_like(picture, 0.5), picture, picture])


@pytest.fixture(scope="module")
def wires(pack: dict[str, Any], models: Any, picture: torch.Tensor) -> dict[str, Any]:
    """The reference's features and the encoder, by the node's inputs."""
    with torch.inference_mode():
        (semantic,) = pack["EchoGenEncodeSemantic"].execute(models.semantic_encoder, picture, 1.0).result
    return {"semantic": semantic, "semantic_encoder": models.semantic_encoder}


def rank(pack: dict[str, Any], **inputs: Any) -> Any:
    """The node's output, through the entry that ComfyUI calls."""
    return pack["EchoGenRankByLikeness"].PREPARE_CLASS_CLONE({}).EXECUTE_NORMALIZED(**inputs)


def test_the_best_few_come_in_order(wires: dict[str, Any], batch: torch.Tensor) -> None:
    graphs.register()
    ranked = node("EchoGenRankByLikeness", **{name: [name, 0] for name in ("image", *wires)}, how_many=2)
    picked = node("ImageFromBatch", image=["image", 0], batch_index=["ranked", 2], length=1)
    ends = {f"end {slot}": node("Keep", value=["ranked", slot]) for slot in range(3)}
    prompt = {
        **give(image=batch, **wires), "ranked": ranked, **ends,
        "picked": picked, "same": node("Keep", value=["picked", 0]),
    }  # fmt: skip
    comfy = Comfy()
    done = comfy.run(prompt)
    assert not done.error and not done.refused
    assert done.kept["end 2"] == [1, 2], "equal ones keep their order"
    assert torch.equal(done.kept["end 0"][0], batch[[1, 2]])
    assert torch.equal(torch.cat(done.kept["same"]), batch[[1, 2]]), "the order picks from another batch"
    lines = done.kept["end 1"][0].splitlines()
    cosines = [float(line.split(": ")[1]) for line in lines]
    assert [line.split(": ")[0] for line in lines] == ["1. picture 2", "2. picture 3", "3. picture 1"]
    assert cosines[0] == cosines[1] > cosines[2] >= -1
    said = f"Picture 1: {WHOLE_COMPARED}"
    assert done.shown["ranked"]["echogen_notices"] == [said]
    assert done.shown["ranked"]["echogen_results"] == lines[:2]
    assert done.shown["ranked"]["text"] == [said, *lines], "the history has every score"
    assert comfy.run(prompt).ran == [], "nothing has changed"


def test_a_single_picture_and_an_empty_mask(
    pack: dict[str, Any], wires: dict[str, Any], picture: torch.Tensor
) -> None:
    with_alpha_1HW4 = torch.cat([picture, torch.ones(1, 64, 64, 1)], dim=-1)
    output = rank(pack, image=with_alpha_1HW4, how_many=9, mask=torch.zeros(1, 32, 32), **wires)
    best, scores, order = output.result
    assert order == [0] and torch.equal(best, with_alpha_1HW4)
    assert output.ui["echogen_notices"] == ("The mask is empty, so it isn't used.",)
    assert output.ui["echogen_results"] == (scores,)


def test_the_mask_says_where_to_look(
    pack: dict[str, Any], wires: dict[str, Any], batch: torch.Tensor
) -> None:
    wide = torch.cat([batch[:2], batch[:2].flip(0)], dim=2)  # the subject on the right, and on the left
    left_1HW = torch.zeros(1, 64, 128)
    left_1HW[:, :, :64] = 1
    output = rank(pack, image=wide, how_many=1, mask=left_1HW, **wires)
    assert output.result[2] == [1]
    assert output.ui["echogen_notices"][0] == f"Picture 1: {REGION_COMPARED}"
    with pytest.raises(ValueError, match="does not fit the 64×64 px picture"):
        rank(pack, image=batch, how_many=1, mask=left_1HW, **wires)


def test_wrong_values_and_pictures(pack: dict[str, Any], wires: dict[str, Any], batch: torch.Tensor) -> None:
    for wrong, expected in (
        ({"how_many": 0}, "how many: expected a whole number from 1 to 4096, got '0'"),
        ({"semantic": batch}, "semantic: expected semantic features, from Encode Semantic"),
        ({"semantic_encoder": 1}, "semantic encoder: expected a semantic encoder, from Load EchoGen"),
        ({"mask": "half"}, "mask: expected a mask"),
        ({"image": batch / 0}, "The picture holds NaN or infinity"),
        ({"image": batch[:0]}, "The picture holds no picture"),
    ):
        with pytest.raises(ValueError, match=expected):
            rank(pack, **{"image": batch, "how_many": 1, **wires, **wrong})


def test_too_little_memory_is_said_before_any_work(
    pack: dict[str, Any], wires: dict[str, Any], batch: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 200_000}))
    with pytest.raises(MemoryError, match="Cutting out 1 picture"):
        rank(pack, image=batch[:1], how_many=1, **wires)
