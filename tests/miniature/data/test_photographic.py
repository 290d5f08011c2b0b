"""Textures and light on sprites."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from miniature.data.composites import bounds
from miniature.data.dataset import Compositor, Mix
from miniature.data.photographic import Crops, Light, relit, textured

SIDE = 32
NO_LIGHT = Light(*(torch.tensor([1.0 if name == "gamma_B" else 0.0]) for name in Light._fields))
WHOLE = Crops(*(torch.tensor([value]) for value in (1.0, 0.0, 0.0, 0.0)))


@pytest.fixture(scope="module")
def painted(data: Path) -> Path:
    """The prepared folder with patterns in the place of its scenes' plain colours."""
    rng = np.random.default_rng(1)
    for path in (data / "scenes").glob("*.npy"):
        crops_KHW3 = np.load(path)
        small = rng.integers(60, 255, (len(crops_KHW3), 16, 16, 3), dtype=np.uint8)
        times = crops_KHW3.shape[1] // 16
        np.save(path, small.repeat(times, 1).repeat(times, 2))
    return data


def grey_sprite() -> Tensor:
    """[1, 4, S, S]: the left half in shade (0.2), the right half lit (0.6)."""
    sprite_14SS = torch.ones(1, 4, SIDE, SIDE)
    sprite_14SS[:, :3, :, : SIDE // 2], sprite_14SS[:, :3, :, SIDE // 2 :] = 0.2, 0.6
    return sprite_14SS


def one_colour(*rgb: float) -> Tensor:
    return torch.tensor(rgb).view(1, 3, 1, 1).expand(1, 3, SIDE, SIDE)


def test_a_textured_sprite_has_the_textures_colour_and_its_own_shading() -> None:
    seen_14SS = textured(grey_sprite(), one_colour(0.4, 0.2, 0.0), WHOLE, torch.tensor([1.0]))
    assert seen_14SS[0, :3, 0, 0].tolist() == pytest.approx([0.2, 0.1, 0.0], abs=1e-6)  # 0.2 of a mean of 0.4
    assert seen_14SS[0, :3, 0, -1].tolist() == pytest.approx([0.6, 0.3, 0.0], abs=1e-6)
    assert torch.equal(seen_14SS[:, 3], grey_sprite()[:, 3])


def test_pixels_outside_the_sprite_do_not_count_for_its_shading() -> None:
    sprite_14SS = grey_sprite()
    sprite_14SS[:, 3, :, : SIDE // 2] = 0
    seen_14SS = textured(sprite_14SS, one_colour(0.4, 0.2, 0.1), WHOLE, torch.tensor([1.0]))
    assert seen_14SS[0, :3, 0, -1].tolist() == pytest.approx([0.4, 0.2, 0.1], abs=1e-6)


def test_the_share_mixes_both_colours() -> None:
    seen_14SS = textured(grey_sprite(), one_colour(0.4, 0.2, 0.0), WHOLE, torch.tensor([0.5]))
    assert seen_14SS[0, :3, 0, 0].tolist() == pytest.approx([0.2, 0.15, 0.1], abs=1e-6)


@pytest.mark.parametrize(
    ("crops", "expected"),
    [
        (WHOLE, [0.125, 0.375, 0.625, 0.875]),
        (WHOLE._replace(angle_B=torch.tensor([math.pi])), [0.875, 0.625, 0.375, 0.125]),
        (WHOLE._replace(scale_B=torch.tensor([2.0])), [0.25, 0.25, 0.75, 0.75]),  # mirrored at both edges
        (WHOLE._replace(x_B=torch.tensor([0.5])), [0.375, 0.625, 0.875, 0.875]),
    ],
    ids=["the whole", "turned", "two copies", "moved"],
)
def test_the_part_of_the_texture_is_the_one_asked_for(crops: Crops, expected: list[float]) -> None:
    ramp_1344 = torch.tensor([0.125, 0.375, 0.625, 0.875]).expand(1, 3, 4, 4)
    seen_1444 = textured(torch.full((1, 4, 4, 4), 1.0), ramp_1344, crops, torch.tensor([1.0]))
    assert seen_1444[0, 0, 1].tolist() == pytest.approx(expected, abs=1e-5)


def test_light_that_changes_nothing_leaves_the_sprite_as_it_was() -> None:
    assert torch.allclose(relit(grey_sprite(), NO_LIGHT), grey_sprite(), atol=1e-6)


@pytest.mark.parametrize(
    ("changed", "brighter", "darker"),
    [
        ({"slope_B": 0.5}, (0, -1), (0, 0)),
        ({"slope_B": 0.5, "slope_angle_B": math.pi / 2}, (-1, 0), (0, 0)),
        ({"shadow_B": 0.5}, (0, 0), (0, -1)),
        ({"highlight_B": 0.3}, (SIDE // 2, SIDE // 2), (0, 0)),
    ],
    ids=["slope", "slope down", "shadow", "highlight"],
)
def test_light_falls_where_it_should(
    changed: dict[str, float], brighter: tuple[int, int], darker: tuple[int, int]
) -> None:
    sprite_14SS = torch.full((1, 4, SIDE, SIDE), 0.5)
    light = NO_LIGHT._replace(**{name: torch.tensor([value]) for name, value in changed.items()})
    seen_14SS = relit(sprite_14SS, light)
    assert float(seen_14SS[0, 1][brighter]) > float(seen_14SS[0, 1][darker]) + 0.1
    assert torch.equal(seen_14SS[:, 3], sprite_14SS[:, 3])


def test_warmth_and_gamma_change_colours() -> None:
    sprite_14SS = torch.full((1, 4, SIDE, SIDE), 0.5)
    warm_14SS = relit(sprite_14SS, NO_LIGHT._replace(warmth_B=torch.tensor([0.2])))
    assert warm_14SS[0, :3, 0, 0].tolist() == pytest.approx([0.5 * math.exp(0.2), 0.5, 0.5 * math.exp(-0.2)])
    dark_14SS = relit(sprite_14SS, NO_LIGHT._replace(gamma_B=torch.tensor([2.0])))
    assert float(dark_14SS[0, 0, 0, 0]) == pytest.approx(0.25)


def test_drawn_values_are_in_their_ranges() -> None:
    """Random numbers at both ends of their range."""
    ends_K2 = torch.tensor([[0.0, 1.0]]).expand(10, 2)
    crops, light = Crops.drawn(ends_K2[:4]), Light.drawn(ends_K2)
    assert crops.scale_B.tolist() == pytest.approx([0.67, 2.5])
    assert crops.x_B.tolist() == [-1, 1]
    assert light.shadow_B.tolist() == pytest.approx([0, 0.6])
    assert float(light.gamma_B[0]) < 1 < float(light.gamma_B[1])


@pytest.mark.parametrize("share", [{"textured": 1.0}, {"relit": 1.0}], ids=str)
def test_a_subject_looks_alike_in_both_its_pictures_and_unlike_before(
    painted: Path, share: dict[str, float]
) -> None:
    plain = Mix(icons=0.0, turned=0.0, recolour=0.0, plain=1.0)
    before, after = (
        Compositor(painted, seed=2, icons=False).batch(6, mix, targets=2)
        for mix in (plain, replace(plain, **share))
    )
    seen_N = [
        cut_out(picture_3HW, mask_HW > 0.5)
        for picture_3HW, mask_HW in zip(after.targets_B3HW, after.subject_masks_B1HW[:, 0], strict=True)
    ]
    given_B = [cut_out(picture_3HW, picture_3HW.amin(0) < 0.97) for picture_3HW in after.references_B3HW]
    for row, seen_3CC in enumerate(seen_N):
        differences_B = [float((seen_3CC - given_3CC).abs().mean()) for given_3CC in given_B]
        assert min(differences_B) == differences_B[row // 2] < 0.05
    assert not torch.allclose(inside(before.references_B3HW), inside(after.references_B3HW), atol=0.1)


def test_shares_of_zero_draw_nothing_and_others_are_kept(painted: Path) -> None:
    compositor = Compositor(painted, seed=2, icons=False)
    plain = Mix(icons=0.0, turned=0.0, recolour=0.0)
    compositor.batch(4, plain)
    state = compositor.generator.get_state()
    compositor.generator.manual_seed(2)
    compositor.batch(4, replace(plain, textured=0.0, relit=0.0))
    assert torch.equal(compositor.generator.get_state(), state)
    for share in ("textured", "relit"):
        pictures = compositor.batch(100, replace(plain, **{share: 0.3})).references_B3HW
        varied_B = inside(pictures).flatten(2).std(2).amax(1) > 0.01
        assert 0.2 < float(varied_B.float().mean()) < 0.4, share


def cut_out(picture_3HW: Tensor, mask_HW: Tensor) -> Tensor:
    """The subject's box at 8x8 px."""
    left, top, right, bottom = bounds(mask_HW)
    box_13hw = picture_3HW[None, :, top:bottom, left:right]
    return torch.nn.functional.interpolate(box_13hw, (8, 8), mode="area")[0]


def inside(references_B3HW: Tensor) -> Tensor:
    """The middle of prepared subjects, whichever size they are drawn at."""
    return references_B3HW[:, :, 34:94, 44:84]
