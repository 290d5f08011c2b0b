"""From picture to mask in one go, and its steps: which hit, which proposal, what when there is none."""

from __future__ import annotations

import logging

import pytest
import torch
from PIL import Image
from torch import nn

from echogen_core.checkpoints.segmentation_models import load_salient
from echogen_core.subject.colours import GuidedFilter, follow_colours
from echogen_core.subject.describe import Describer
from echogen_core.subject.detect import detect
from echogen_core.subject.find import Found, Tools, find_subjects
from echogen_core.subject.overlay import CHOSEN, draw_overlay
from echogen_core.subject.refine import LARGEST_SOFTNESS, fill_holes, pieces, remove_specks, soften
from echogen_core.subject.regions import Box, Detection, Pick, check_box, choose
from echogen_core.subject.salient import SalientSubject
from echogen_core.subject.segment import Proposals, segment

pytestmark = pytest.mark.usefixtures("kept_looks")

BALL: Box = (20.0, 30.0, 60.0, 70.0)


class Spotter(nn.Module):
    """A detector that finds the red ball, and as many more as asked, and keeps the phrases it was given."""

    def __init__(self, more: int = 0) -> None:
        super().__init__()
        self.more = more
        self.phrases: list[str] = []

    def find(self, image_3HW: torch.Tensor, phrase: str, threshold: float) -> list[Detection]:
        self.phrases.append(phrase)
        if float(image_3HW[0].max()) < 0.7:
            return []
        others = [Detection((0, 0, 10 * i, 90), 0.5 - 0.01 * i, "box") for i in range(1, self.more + 1)]
        return [Detection(BALL, 0.9, phrase), *others]


class Cutter(nn.Module):
    """A segmenter with three proposals of which the second is the best: a ring with a hole and a speck."""

    def __init__(self, empty: bool = False) -> None:
        super().__init__()
        self.empty = empty

    def propose(self, image_3HW: torch.Tensor, box_xyxy: Box) -> Proposals:
        masks_PHW = torch.zeros(3, *image_3HW.shape[-2:], dtype=torch.bool)
        if not self.empty:
            left, top, right, bottom = (int(value) for value in box_xyxy)
            masks_PHW[1, top:bottom, left:right] = True
            masks_PHW[1, top + 10 : top + 12, left + 10 : left + 12] = False
            masks_PHW[1, 0, -1] = True
        return Proposals(masks_PHW, torch.tensor([0.2, 0.8, 0.3]))


@pytest.fixture(scope="module")
def salient() -> SalientSubject:
    return load_salient()


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    """[2, 3, 90, 120]: a red ball on grey, and grey alone with a blue one."""
    rows, columns = torch.arange(90)[:, None], torch.arange(120)[None, :]
    ball_HW = (columns - 40) ** 2 + (rows - 50) ** 2 < 400
    images = torch.full((2, 3, 90, 120), 0.5)
    images[0] = torch.where(ball_HW, torch.tensor([0.8, 0.1, 0.1]).view(3, 1, 1), images[0])
    images[1] = torch.where(ball_HW, torch.tensor([0.1, 0.1, 0.6]).view(3, 1, 1), images[1])
    return images


def test_each_picture_of_a_batch_goes_its_own_way(salient: SalientSubject, pictures: torch.Tensor) -> None:
    tools = Tools(salient, detector=Spotter(), segmenter=Cutter())
    hit, miss = find_subjects(pictures, tools, "a ball")
    assert hit.source == "box and SAM" and hit.chosen is not None and not hit.warning
    assert int((hit.mask_HW > 0.5).sum()) == 40 * 40, "the hole is filled, the speck gone"
    assert miss.source == "built-in" and miss.chosen is None and "'ball'" in miss.warning
    assert float(miss.mask_HW[50, 40]) > 0.9 and float(miss.mask_HW[5, 5]) < 0.1


def test_without_models_the_built_in_cut_does_it_all(salient: SalientSubject, pictures: torch.Tensor) -> None:
    (found,) = find_subjects(pictures[:1], Tools(salient))
    assert found.source == "built-in" and found.phrase == "" and found.warning == ""
    black = pictures[:1] * 0
    for tools, phrase, says in (
        (Tools(salient), "", "No subject stands out"),
        (Tools(salient), "ball", "no detector"),
        (Tools(salient, detector=Spotter()), "", "No phrase"),
    ):
        (found,) = find_subjects(black, tools, phrase)
        assert not bool(found.mask_HW.any()) and says in found.warning


def test_an_empty_answer_of_sam_is_made_good(salient: SalientSubject, pictures: torch.Tensor) -> None:
    tools = Tools(salient, detector=Spotter(), segmenter=Cutter(empty=True))
    (found,) = find_subjects(pictures[:1], tools, "ball")
    assert found.source == "box and built-in" and "SAM found nothing" in found.warning
    assert float(found.mask_HW[50, 40]) > 0.9


def test_ten_hits_come_back_and_one_is_chosen(salient: SalientSubject, pictures: torch.Tensor) -> None:
    tools = Tools(salient, detector=Spotter(more=9), segmenter=Cutter())
    (best,) = find_subjects(pictures[:1], tools, "ball")
    (largest,) = find_subjects(pictures[:1], tools, "ball", pick=Pick.LARGEST)
    assert len(best.hits) == 10
    assert best.chosen is not None and best.chosen.box_xyxy == BALL
    assert largest.chosen is not None and largest.chosen.box_xyxy == (0, 0, 90, 90)
    assert choose([]) is None


def test_phrases_of_all_kinds_reach_the_detector_clean(
    pictures: torch.Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    spotter = Spotter()
    with caplog.at_level(logging.WARNING):
        detect(pictures[:1], "  The Red\tBall. ", spotter)
        detect(pictures[:1], "红色的球", spotter)
        detect(pictures[:1], "ball " * 4000, spotter)
    assert spotter.phrases[:2] == ["Red Ball", "红色的球"] and len(spotter.phrases[2]) <= 250
    assert "trained on English" in caplog.text and "is cut to 250" in caplog.text
    assert detect(pictures, ["", "ball"], spotter) == [[], []] and len(spotter.phrases) == 4


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_threshold_out_of_range_is_refused(pictures: torch.Tensor, threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold must be 0 to 1"):
        detect(pictures, "ball", Spotter(), threshold)


def test_a_wrong_number_of_phrases_is_refused(pictures: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="each of the 2 pictures, got 3"):
        detect(pictures, ["a", "b", "c"], Spotter())


def test_segment_keeps_to_the_picture_whatever_its_size(pictures: torch.Tensor) -> None:
    mask_HW = segment(pictures[0], (-50, 30, 60, 70), Cutter())
    assert mask_HW.shape == (90, 120) and int(mask_HW.sum()) == 60 * 40, "the box is cut to the picture"
    large_HW = segment(torch.rand(1, 40, 8000), (2000, 0, 6000, 40), Cutter())
    assert large_HW.shape == (40, 8000) and float(large_HW[20, 4000]) == 1
    assert not bool(segment(pictures[0], BALL, Cutter(empty=True)).any())
    soft_HW = segment(pictures[0], BALL, Cutter(), soften=4.0)
    assert 0.3 < float(soft_HW[50, 20]) < 0.7 and float(soft_HW[50, 40]) == pytest.approx(1)
    with pytest.raises(ValueError, match="softness"):
        segment(pictures[0], BALL, Cutter(), soften=LARGEST_SOFTNESS + 1)


def test_boxes_are_checked() -> None:
    assert check_box((-5, -5, 500, 20), 90, 120) == (0, 0, 120, 20)
    with pytest.raises(ValueError, match="four finite numbers"):
        check_box((1, 2, 3), 90, 120)
    with pytest.raises(ValueError, match="marks nothing"):
        check_box((50, 20, 40, 60), 90, 120)


def test_holes_are_filled_and_specks_removed_by_size() -> None:
    mask_HW = torch.zeros(60, 60, dtype=torch.bool)
    mask_HW[10:50, 10:50] = True
    mask_HW[20:23, 20:23] = False  # a flaw
    mask_HW[30:45, 30:45] = False  # the inside of a ring
    mask_HW[2:4, 2:4] = True  # a speck
    mask_HW[52:60, 2:12] = True  # a second thing
    whole_HW = remove_specks(fill_holes(mask_HW))
    assert bool(whole_HW[21, 21]) and not bool(whole_HW[35, 35])
    assert not bool(whole_HW[3, 3]) and bool(whole_HW[55, 5])
    labels_HW, areas = pieces(whole_HW)
    assert len(areas) == 3 and int(areas.sum()) == int(whole_HW.sum()) and labels_HW[0, 0] == 0
    empty_HW = torch.zeros(8, 8, dtype=torch.bool)
    assert not bool(remove_specks(fill_holes(empty_HW)).any())
    assert bool(remove_specks(fill_holes(~empty_HW)).all())


def test_pieces_join_around_corners() -> None:
    spiral_HW = torch.zeros(9, 9, dtype=torch.bool)
    spiral_HW[0, :] = spiral_HW[:, 8] = spiral_HW[8, :] = True
    spiral_HW[2:9, 0] = spiral_HW[2, 0:7] = spiral_HW[2:7, 6] = True
    assert len(pieces(spiral_HW)[1]) == 2
    chequers_HW = (torch.arange(8)[:, None] + torch.arange(8)[None, :]) % 2 == 0
    assert len(pieces(chequers_HW)[1]) == 33, "corners do not touch"


def test_softening_spares_the_pictures_edge() -> None:
    mask_HW = torch.zeros(40, 40)
    mask_HW[:, :20] = 1
    soft_HW = soften(mask_HW, 6.0)
    assert torch.allclose(soft_HW[:, 0], torch.ones(40)) and 0.4 < float(soft_HW[0, 19]) < 0.6
    assert torch.equal(soften(mask_HW, 0.0), mask_HW)


def test_a_coarse_guess_follows_colours_and_edges(pictures: torch.Tensor) -> None:
    rows, columns = torch.arange(90)[:, None], torch.arange(120)[None, :]
    truth_HW = (columns - 40) ** 2 + (rows - 50) ** 2 < 400
    guess_HW = torch.zeros(90, 120)
    guess_HW[35:75, 25:65] = 0.8  # a square, off by five pixels
    edges = GuidedFilter(pictures[0])
    better_HW = follow_colours(edges, guess_HW, torch.zeros(90, 120, dtype=torch.bool))
    wrong = [int(((mask_HW > 0.5) != truth_HW).sum()) for mask_HW in (guess_HW, better_HW)]
    assert wrong[1] < wrong[0] / 10
    ground_HW = columns.expand(90, 120) > 40
    assert float(follow_colours(edges, guess_HW, ground_HW)[:, 41:].max()) == 0
    flat_HW = edges(torch.full((90, 120), 0.3))
    assert torch.allclose(flat_HW, torch.full((90, 120), 0.3), atol=1e-4)
    small_3hw = torch.nn.functional.avg_pool2d(pictures[:1], 3)[0]
    sharp_HW = GuidedFilter(small_3hw).enlarge(
        torch.nn.functional.avg_pool2d(truth_HW[None].float(), 3)[0], pictures[0]
    )
    assert int(((sharp_HW > 0.5) != truth_HW).sum()) < 25


def test_the_overlay_shows_mask_boxes_and_phrases(pictures: torch.Tensor) -> None:
    chosen, other = Detection(BALL, 0.9, "ball"), Detection((70, 5, 118, 88), 0.4, "一个很长的词" * 20)
    mask_HW = torch.zeros(90, 120)
    mask_HW[30:70, 20:60] = 1
    shown = draw_overlay(pictures[0], mask_HW, [other, chosen], chosen)
    assert isinstance(shown, Image.Image) and shown.size == (120, 90)
    assert shown.getpixel((20, 50)) == CHOSEN and shown.getpixel((40, 60)) == (204, 26, 26)
    assert shown.getpixel((5, 85)) != (128, 128, 128), "what is left out is tinted"
    large = draw_overlay(torch.rand(4, 30, 4000), hits=[Detection((0, 0, 1, 1), 1.0, "x")])
    assert large.size == (1024, 8)


def test_a_describer_names_what_is_looked_for(salient: SalientSubject, pictures: torch.Tensor) -> None:
    class Namer(Describer):
        def __init__(self) -> None:
            super().__init__(nn.Identity(), None)

        def answer(self, image_3HW: torch.Tensor) -> str:
            return "The main subject is a red ball." if float(image_3HW[0].max()) > 0.7 else "..."

    spotter = Spotter()
    found: list[Found] = find_subjects(pictures, Tools(salient, Namer(), spotter))
    assert spotter.phrases == ["red ball"] and [one.phrase for one in found] == ["red ball", ""]
