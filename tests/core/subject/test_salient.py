"""The built-in cut: the network against its ONNX file, and what comes of pictures good and bad."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from echogen_core.checkpoints.segmentation_models import U2NETP, load_salient
from echogen_core.pictures import check_pictures, flatten_alpha
from echogen_core.subject.regions import Box
from echogen_core.subject.salient import FIRST_SIDE, SIDE, SalientSubject, conspicuous_box, evidence
from echogen_core.subject.u2net import U2Netp

pytestmark = pytest.mark.usefixtures("kept_looks")

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "u2netp_onnx.safetensors"
PUBLISHED = GOLDEN.with_name("u2netp.safetensors")
"""The published weights in our names; the packaged ones were trained on from them."""
GRID = 4
"""Every fourth output pixel is kept."""


def golden_pictures() -> dict[str, torch.Tensor]:
    """Inputs [1, 3, 320, 320] of the network: a disc on a slope of grey, and noise."""
    axis = torch.linspace(-1, 1, 320)
    slope_HW = (axis[None, :] + axis[:, None]) / 2
    disc_HW = ((axis[None, :] - 0.2) ** 2 + (axis[:, None] + 0.1) ** 2 < 0.25).float()
    disc_13HW = torch.stack([slope_HW + 2 * disc_HW, slope_HW, slope_HW - 2 * disc_HW])[None]
    return {
        "disc": disc_13HW,
        "noise": torch.randn(1, 3, 320, 320, generator=torch.Generator().manual_seed(0)),
    }


@pytest.fixture(scope="module")
def net() -> SalientSubject:
    return load_salient()


@pytest.fixture(scope="module")
def published() -> SalientSubject:
    """With the published weights, which miss more at a first look than the packaged ones."""
    net = SalientSubject().eval().requires_grad_(False)
    net.load_state_dict(load_file(PUBLISHED))
    return net


def ball(height: int, width: int, x: float, y: float, radius: float) -> tuple[torch.Tensor, torch.Tensor]:
    """[1, 3, H, W] picture of a red ball on a grey slope, and its truth [H, W]."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None, :]
    truth_HW = (columns - x) ** 2 + (rows - y) ** 2 < radius**2
    image_13HW = (0.55 + 0.2 * rows / height).expand(height, width).repeat(1, 3, 1, 1)
    red_311 = torch.tensor([0.75, 0.1, 0.1]).view(3, 1, 1)
    return torch.where(truth_HW, red_311, image_13HW), truth_HW


def iou(mask_HW: torch.Tensor, truth_HW: torch.Tensor) -> float:
    marked_HW = mask_HW >= 0.5
    return float((marked_HW & truth_HW).sum() / (marked_HW | truth_HW).sum())


def test_the_published_weights_give_the_outputs_of_the_onnx_file(published: SalientSubject) -> None:
    golden = load_file(GOLDEN)
    assert float(golden["disc"].max()) > 0.9 and float(golden["disc"].min()) < 0.1
    for name, picture_13HW in golden_pictures().items():
        ours_HW = published.net(picture_13HW).sigmoid()[0, 0, ::GRID, ::GRID]
        assert torch.allclose(ours_HW, golden[name], atol=1e-4), name


def test_the_packaged_file_is_small_and_complete() -> None:
    assert U2NETP.stat().st_size < 2.4e6
    assert sum(parameter.numel() for parameter in U2Netp().parameters()) == 1_125_485
    assert (U2NETP.parent / "LICENSE").is_file() and (U2NETP.parent / "README.md").is_file()


def test_a_ball_is_found_wherever_it_stands(net: SalientSubject) -> None:
    for x, y, radius in ((40, 60, 25), (290, 100, 50)):  # small and aside; leaving the picture
        image_13HW, truth_HW = ball(200, 300, x, y, radius)
        mask_BHW = net.mask(image_13HW)
        assert mask_BHW.shape == (1, 200, 300) and float(mask_BHW.min()) >= 0 and float(mask_BHW.max()) <= 1
        assert iou(mask_BHW[0], truth_HW) > 0.93, (x, y, radius)


def test_a_box_says_which_of_two(net: SalientSubject) -> None:
    image_13HW, first_HW = ball(200, 300, 75, 100, 45)
    other_13HW, second_HW = ball(200, 300, 225, 100, 45)
    both_13HW = torch.where(second_HW, other_13HW, image_13HW)
    assert iou(net.mask(both_13HW)[0], first_HW | second_HW) > 0.93
    masks_BHW = net.mask(both_13HW.repeat(2, 1, 1, 1), [(25, 50, 125, 150), (175, 50, 275, 150)])
    assert iou(masks_BHW[0], first_HW) > 0.93 and iou(masks_BHW[1], second_HW) > 0.93
    assert float(masks_BHW[0][:, 126:].max()) == 0, "nothing outside the box"


def test_a_finding_has_its_faint_parts_but_no_faint_neighbours() -> None:
    saliency_HW = torch.zeros(100, 200)
    saliency_HW[20:60, 20:60] = 0.9
    saliency_HW[60:80, 30:50] = 0.3  # hangs on to it
    assert conspicuous_box(saliency_HW) == (20, 20, 60, 80)
    saliency_HW[20:90, 100:180] = 0.3  # as large, by itself
    assert conspicuous_box(saliency_HW) == (20, 20, 60, 80)
    saliency_HW[30:50, 100:120] = 0.8  # a second subject
    assert conspicuous_box(saliency_HW) == (20, 20, 180, 90)
    assert conspicuous_box(saliency_HW / 10) is None


def watched(net: SalientSubject, image_13HW: torch.Tensor) -> tuple[list[int], torch.Tensor]:
    """The side of each square that the network looks at for one picture, and the mask [H, W]."""
    sides: list[int] = []
    hook = net.net.register_forward_hook(lambda _, inputs, __: sides.append(inputs[0].shape[-1]))
    mask_BHW = net.mask(image_13HW)
    hook.remove()
    return sides, mask_BHW[0]


def test_a_first_look_in_doubt_is_taken_again(published: SalientSubject) -> None:
    assert watched(published, ball(200, 300, 75, 100, 45)[0])[0] == [FIRST_SIDE, SIDE]
    plain_13HW, truth_HW = ball(200, 300, 240, 60, 8)
    blotches_13HW = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    blotches_13HW = torch.nn.functional.interpolate(blotches_13HW, (200, 300), mode="bicubic").clamp(0, 1)
    image_13HW = torch.where(truth_HW, plain_13HW, blotches_13HW)
    assert float(published.saliency(image_13HW[0], FIRST_SIDE).max()) < 0.1, "too small to be seen at once"
    sides, mask_HW = watched(published, image_13HW)
    assert sides == [FIRST_SIDE, SIDE, SIDE] and iou(mask_HW, truth_HW) > 0.93
    faint_13HW = 0.55 + 0.12 * (plain_13HW - 0.55)
    assert float(published.saliency(faint_13HW[0], SIDE).max()) < 0.1, "the finer look sees nothing"
    assert iou(published.mask(faint_13HW)[0], truth_HW) > 0.93, "then the first one stands"


def test_evidence_is_a_sure_finding_with_a_rim_in_the_picture() -> None:
    image_13HW, truth_HW = ball(200, 300, 75, 100, 45)
    whole = evidence(truth_HW.float(), image_13HW[0])
    assert whole > 0.2
    assert evidence(0.5 * truth_HW.float(), image_13HW[0]) == pytest.approx(whole / 2)
    assert evidence(truth_HW.roll(150, 1).float(), image_13HW[0]) < 0.05, "no edge there"
    assert evidence(torch.ones(200, 300), image_13HW[0]) == 0, "all of the picture has no rim"


def test_what_the_first_look_sees_around_a_box_counts_against_it(net: SalientSubject) -> None:
    ball_13HW, truth_HW = ball(200, 300, 180, 120, 30)
    _, large_HW = ball(200, 300, 200, 100, 90)
    yellow_311 = torch.tensor([0.95, 0.9, 0.3]).view(3, 1, 1)
    image_13HW = torch.where(large_HW & ~truth_HW, yellow_311, ball_13HW)
    assert iou(net.mask(image_13HW)[0], large_HW) > 0.93, "by itself the disc stands out"
    mask_HW = net.mask(image_13HW, [(148, 88, 212, 152)])[0]
    assert iou(mask_HW, truth_HW) > 0.98 and float(mask_HW[~truth_HW].sum()) < 1


def test_a_batch_gives_what_its_pictures_give_alone(net: SalientSubject) -> None:
    images = torch.cat([ball(120, 160, 60, 60, 30)[0], ball(120, 160, 110, 70, 40)[0]])
    together = net.mask(images, [None, (60, 20, 160, 120)], soften=2.0)
    assert torch.equal(together[0], net.mask(images[:1], soften=2.0)[0])
    assert torch.equal(together[1], net.mask(images[1:], [(60, 20, 160, 120)], soften=2.0)[0])


def test_the_mask_follows_edges_finer_than_the_network_sees(net: SalientSubject) -> None:
    image_13HW, truth_HW = ball(1000, 1400, 700, 480, 330)
    assert iou(net.mask(image_13HW)[0], truth_HW) > 0.985


def test_odd_pictures_have_defined_outcomes(net: SalientSubject) -> None:
    black = torch.zeros(1, 3, 64, 80)
    assert not bool(net.mask(black).any()), "nothing stands out"
    image_13HW, truth_HW = ball(120, 160, 80, 60, 35)
    grey_11HW = image_13HW.mean(1, keepdim=True)
    assert iou(net.mask(grey_11HW)[0], truth_HW) > 0.9
    assert net.mask(image_13HW[:, :, 56:64]).shape == (1, 8, 160), "a strip"


def test_depths_and_channels_are_brought_to_one_form() -> None:
    image_13HW, _ = ball(12, 16, 8, 6, 4)
    eight, sixteen = (image_13HW * 255).round().to(torch.uint8), (image_13HW * 65535).round().to(torch.uint16)
    assert torch.allclose(check_pictures(eight), image_13HW, atol=1 / 500)
    assert torch.allclose(check_pictures(sixteen), image_13HW, atol=1e-5)
    grey_11HW = image_13HW[:, :1]
    assert torch.equal(check_pictures(grey_11HW), grey_11HW.repeat(1, 3, 1, 1))
    clear = torch.cat([image_13HW, torch.zeros(1, 1, 12, 16)], dim=1)
    assert bool((flatten_alpha(check_pictures(clear)) == 1).all()), "what is transparent is white"


def test_an_eight_thousand_pixel_picture_keeps_its_size(net: SalientSubject) -> None:
    image_13HW, truth_HW = ball(600, 8000, 4000, 300, 250)
    mask_BHW = net.mask(image_13HW, [(3700, 20, 4300, 590)])
    assert mask_BHW.shape == (1, 600, 8000) and iou(mask_BHW[0], truth_HW) > 0.95


@pytest.mark.parametrize(
    ("image", "boxes", "says"),
    [
        (torch.rand(1, 3, 1, 1), None, "1×1 px"),
        (torch.full((1, 3, 20, 20), float("nan")), None, "NaN or infinity"),
        (torch.rand(1, 2, 20, 20), None, "1 of grey"),
        (torch.rand(2, 3, 20, 20), [None], "each of the 2 pictures"),
        (torch.rand(1, 3, 20, 20), [(5, 5, 5, 9)], "marks nothing"),
        (torch.rand(1, 3, 20, 20), [(30, 30, 40, 40)], "marks nothing"),
        (torch.rand(1, 3, 20, 20), [(0, 0, float("nan"), 4)], "four finite numbers"),
    ],
)
def test_bad_input_is_refused_with_reasons(
    net: SalientSubject, image: torch.Tensor, boxes: list[Box | None] | None, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        net.mask(image, boxes)
