"""From a photo to the reference: by mask, box or phrase, or by itself. What is cut out already stays so."""

from __future__ import annotations

import pytest
import torch

from echogen_core.checkpoints.segmentation_models import load_salient
from echogen_core.subject.cutout import Cutout, cut_out
from echogen_core.subject.find import Tools
from echogen_core.subject.photo_cut import cut_reference
from echogen_core.subject.segmentation import FixedBoxes

pytestmark = pytest.mark.usefixtures("kept_looks")
HEIGHT, WIDTH = 120, 160


@pytest.fixture(scope="module")
def tools() -> Tools:
    return Tools(load_salient())


def disc(x: int, y: int, radius: int = 34) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    return ((rows - y) ** 2 + (columns - x) ** 2 < radius**2).float()


RED, BLUE = (disc(50, 60), (0.8, 0.1, 0.1)), (disc(130, 60, 16), (0.1, 0.1, 0.8))
AT_BLUE = (105.0, 35.0, 158.0, 90.0)


def photo(*discs: tuple[torch.Tensor, tuple[float, ...]]) -> torch.Tensor:
    """[1, 3, H, W]: discs before a busy background, or else a red one at the left and a small blue one."""
    noise = 0.3 + 0.4 * torch.rand(1, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    image = noise.expand(1, 3, -1, -1).clone()
    for mask_HW, colour in discs or (RED, BLUE):
        image = torch.where(mask_HW > 0, torch.tensor(colour).view(1, 3, 1, 1), image)
    return image


def shares(cut: Cutout) -> tuple[float, float]:
    """How much of the cut-out is red, and how much blue."""
    red, green, blue = cut.images_B3SS[0]
    return float(((red > 0.6) & (green < 0.3)).float().mean()), float(
        ((blue > 0.6) & (green < 0.3)).float().mean()
    )


def test_a_photo_is_cut_out_by_itself_and_helped_by_a_box(tools: Tools) -> None:
    cut = cut_reference(photo(RED), tools)
    red, _ = shares(cut)
    assert cut.sources == ("built-in",) and red > 0.4 and cut.images_B3SS[0, :, 0, 0].tolist() == [1, 1, 1]
    boxed = cut_reference(photo(), tools, box_xyxy=AT_BLUE)
    red, blue = shares(boxed)
    assert boxed.sources == ("box and built-in",) and blue > 0.3 and red < 0.02


def test_a_mask_comes_first_and_a_box_limits_it(tools: Tools) -> None:
    both = torch.maximum(disc(50, 60), disc(130, 60, 16))[None]
    cut = cut_reference(photo(), tools, both, AT_BLUE, "red ball")
    assert cut.sources == ("mask",) and shares(cut)[0] == 0
    beside = cut_reference(photo(), tools, disc(50, 60)[None], (140.0, 100.0, 150.0, 110.0))
    assert shares(beside)[0] > 0.4 and "the box isn't used" in beside.notes[0]
    large = 1 - disc(50, 60)[None]
    around = cut_reference(photo(), tools, large)
    assert shares(around)[1] > 0 == shares(around)[0] and around.notes == ("",), "white is the subject"
    empty = cut_reference(photo(), tools, torch.zeros(1, HEIGHT, WIDTH))
    assert empty.sources == ("built-in",) and "mask is empty" in empty.notes[0]


def test_a_large_photo_keeps_its_box(tools: Tools) -> None:
    large = torch.nn.functional.interpolate(photo(), scale_factor=16)  # 2560 px, reduced to 2048
    both = torch.maximum(disc(50, 60), disc(130, 60, 16))[None]
    box = (AT_BLUE[0] * 16, AT_BLUE[1] * 16, AT_BLUE[2] * 16, AT_BLUE[3] * 16)
    red, blue = shares(cut_reference(large, tools, both, box))
    assert blue > 0.3 and red == 0


@pytest.mark.parametrize("kind", ["transparent", "plain", "white alpha"])
def test_what_is_cut_out_already_gives_the_same_bits(kind: str, tools: Tools) -> None:
    mask_HW = disc(50, 60)
    image = torch.where(mask_HW > 0, photo(), torch.ones(()))
    if kind != "plain":
        alpha_HW = mask_HW if kind == "transparent" else torch.ones_like(mask_HW)
        image = torch.cat([image, alpha_HW[None, None]], dim=1)
    found, expected = cut_reference(image, tools), cut_out(image)
    assert torch.equal(found.images_B3SS, expected.images_B3SS) and found.sources == expected.sources


def test_a_phrase_that_is_not_found_leaves_it_to_the_built_in_cut(tools: Tools) -> None:
    looked = cut_reference(photo(RED), Tools(tools.salient, detector=FixedBoxes([])), phrase="a lamp post")
    assert "Nothing like “lamp post” was found" in looked.notes[0] and looked.sources == ("built-in",)
    assert shares(looked)[0] > 0.4


def test_one_picture_with_something_to_see(tools: Tools) -> None:
    with pytest.raises(ValueError, match="one picture"):
        cut_reference(photo().expand(2, -1, -1, -1), tools)
    with pytest.raises(ValueError, match="one plain colour"):
        cut_reference(torch.full((1, 3, 40, 40), 0.5), tools)
    with pytest.raises(ValueError, match="marks nothing"):
        cut_reference(photo(), tools, box_xyxy=(500.0, 0.0, 510.0, 10.0))
