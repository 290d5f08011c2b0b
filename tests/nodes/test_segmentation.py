"""The nodes that find the subject: what goes before what, what each way says, and bad input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_subject_models
import torch
from PIL import Image

import comfy_pack
from echogen_core.checkpoints.catalog.subject_models import DETECTOR
from echogen_core.pictures import from_pil, open_picture
from echogen_core.subject.drawn_box import read_box

ALL = dict(
    phrase="", margin=0.08, background="white", threshold=0.35, pick="best score",
    when_not_found="built-in cut", soften=0.0, describer="auto", detector="auto", segmenter="auto",
    mask_marks="auto",
)  # fmt: skip
DETECT = dict(
    phrase="red ball", threshold=0.0, pick="best score", when_not_found="built-in cut", detector="auto",
    backend="transformers",
)  # fmt: skip
SEGMENT = dict(soften=0.0, segmenter="auto", backend="transformers")
CUT = dict(margin=0.08, background="white", mask_marks="auto")
BOX = {"x": 60, "y": 20, "width": 60, "height": 60}


@pytest.fixture(autouse=True)
def models_dir(pack: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """ComfyUI's models folder: the test's own, empty. Nothing that a test loaded is left behind."""
    import comfy.model_management as mm
    import folder_paths

    folder = tmp_path / "models"
    monkeypatch.setattr(folder_paths, "models_dir", str(folder))
    for kind in ("text_encoders", "echogen"):
        monkeypatch.setitem(folder_paths.folder_names_and_paths, kind, ([str(folder / kind)], set()))
    yield folder
    mm.unload_all_models()


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector and a segmenter, in folders as ComfyUI's models folder has them."""
    folder = tmp_path_factory.mktemp("models")
    small_subject_models.write_detector(folder / "grounding-dino" / "grounding-dino-tiny")
    small_subject_models.write_segmenter(folder / "sams" / "sam-vit-base")
    small_subject_models.write_describer(folder / "LLM" / "Qwen" / "Qwen2.5-VL-3B-Instruct")
    return folder


@pytest.fixture
def detector(written: Path, monkeypatch: pytest.MonkeyPatch, models_dir: Path) -> None:
    """GroundingDINO, and no SAM, where other packs put it."""
    import folder_paths

    place = ([str(written / "grounding-dino")], set())
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "grounding-dino", place)


@pytest.fixture
def segmenter(written: Path, monkeypatch: pytest.MonkeyPatch, models_dir: Path) -> None:
    """SAM."""
    import folder_paths

    monkeypatch.setitem(folder_paths.folder_names_and_paths, "sams", ([str(written / "sams")], set()))


@pytest.fixture
def describer(written: Path, monkeypatch: pytest.MonkeyPatch, models_dir: Path) -> None:
    """Qwen2.5-VL, a folder deeper, as other packs have it."""
    import folder_paths

    monkeypatch.setitem(folder_paths.folder_names_and_paths, "LLM", ([str(written / "LLM")], set()))


@pytest.fixture(scope="module")
def photo() -> torch.Tensor:
    """A subject on a ground that is not plain: a dark disc at (90, 50), radius 30, on a bright ramp."""
    down, across = torch.meshgrid(torch.arange(100.0), torch.arange(160.0), indexing="ij")
    ramp_HW3 = torch.stack([0.6 + across / 800, 0.7 + down / 500, 0.8 - across / 800], dim=-1)
    inside_HW1 = disc()[0, ..., None]
    return (ramp_HW3 * (1 - inside_HW1) + torch.tensor([0.7, 0.1, 0.1]) * inside_HW1)[None]


def disc(height: int = 100, width: int = 160) -> torch.Tensor:
    """[1, height, width], 1 on the photo's subject."""
    down, across = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    scale = height / 100
    return (((across - 90 * scale) ** 2 + (down - 50 * scale) ** 2).sqrt() < 30 * scale).float()[None]


def run(pack: dict[str, Any], node_id: str, **inputs: Any) -> tuple[Any, dict[str, Any]]:
    """A node's outputs and what it shows, through the entry that ComfyUI calls."""
    output = pack[node_id].PREPARE_CLASS_CLONE({}).EXECUTE_NORMALIZED(**inputs)
    return output.result, output.ui


def whole(pack: dict[str, Any], **inputs: Any) -> tuple[Any, str]:
    """Subject Segmentation: its outputs, and its words."""
    result, ui = run(pack, "EchoGenSubjectSegmentation", **{**ALL, **inputs})
    return result, "\n".join(ui["text"])


def overlap(mask: torch.Tensor, truth: torch.Tensor) -> float:
    """Intersection over union."""
    a, b = mask > 0.5, truth > 0.5
    return float((a & b).sum() / (a | b).sum())


def test_without_any_file_the_built_in_cut_does_it_and_says_so(
    pack: dict[str, Any], photo: torch.Tensor
) -> None:
    (image, mask, phrase, boxes), words = whole(pack, image=photo)
    assert overlap(mask, disc()) > 0.9
    assert image.shape[1] == image.shape[2] and float(image[0, 0, 0].min()) == 1.0, "on white, squared"
    assert phrase == "" and "built-in" in words
    ((box,),) = boxes
    assert abs(box["x"] - 60) < 6 and abs(box["width"] - 60) < 10, "where it is in the picture"


def amber(preview: Image.Image) -> int:
    """Pixels of a warning in the caption of a preview of the photo."""
    caption = np.asarray(preview)[480:]
    return int(((caption[..., 0] > 200) & (caption[..., 2] < 120)).sum())


def test_the_node_shows_the_finding_and_the_cut_out(
    pack: dict[str, Any], photo: torch.Tensor, tmp_path: Path
) -> None:
    _, ui = run(pack, "EchoGenSubjectSegmentation", **{**ALL, "image": photo, "phrase": "red ball"})
    shown = [Image.open(tmp_path / image["filename"]).convert("RGB") for image in ui["images"]]
    finding, cut_out = shown
    assert finding.width == 768 and finding.height > 480, "enlarged, with a caption below"
    assert cut_out.width == cut_out.height
    (notice,) = ui["echogen_notices"]
    assert amber(finding) == 0 and "models/grounding-dino" in notice, "said once, in the node"
    assert notice in ui["text"][0] and str(tmp_path) not in notice
    _, ui = run(pack, "EchoGenDetectSubject", image=photo, **DETECT)
    (shown_alone,) = [Image.open(tmp_path / image["filename"]).convert("RGB") for image in ui["images"]]
    assert amber(shown_alone) > 100 and not ui["echogen_notices"], "said once, in another colour"


@pytest.mark.parametrize("marks", ["subject", "background"])
def test_a_painted_mask_goes_before_everything(
    pack: dict[str, Any], photo: torch.Tensor, marks: str, detector: None
) -> None:
    painted = torch.zeros(1, 100, 160)
    painted[:, 10:40, 5:25] = 1
    given = painted if marks == "subject" else 1 - painted
    (_, mask, phrase, boxes), words = whole(pack, image=photo, mask=given, phrase="red ball")
    assert torch.equal(mask, painted) and phrase == "red ball" and "mask" in words
    assert [boxes[0][0][side] for side in ("x", "y", "width", "height")] == [5, 10, 20, 30]


def test_the_mask_of_a_picture_without_transparency_is_no_mask(
    pack: dict[str, Any], photo: torch.Tensor
) -> None:
    (_, mask, _, _), words = whole(pack, image=photo, mask=torch.zeros(1, 64, 64))
    assert overlap(mask, disc()) > 0.9 and words == "built-in cut"


def test_cut_out_with_nothing_to_go_by_says_so_and_offers_the_built_in_cut(
    pack: dict[str, Any], photo: torch.Tensor
) -> None:
    (whole_picture, _), ui = run(pack, "EchoGenCutOutSubject", image=photo, **CUT)
    assert whole_picture.shape[1:3] == (160, 160), "as saved workflows have it"
    assert "set “without a mask” to use the built-in cut" in ui["text"][0]
    chosen = {**CUT, "without_mask": "built-in cut"}
    (cut, _), ui = run(pack, "EchoGenCutOutSubject", image=photo, **chosen)
    assert cut.shape[1] < 100 and ui["text"] == () and float(cut[0, 0, 0].min()) == 1.0
    by_mask, _ = run(pack, "EchoGenCutOutSubject", image=photo, mask=disc(), **chosen)
    assert torch.equal(by_mask[0], run(pack, "EchoGenCutOutSubject", image=photo, mask=disc(), **CUT)[0][0])


DRAWN = "60, 20, 60, 60"
LOOK = "9bcabbbaacba9cca87b22cca9dca87b22cda9dcadbbc9cda"


@pytest.mark.parametrize(
    ("box", "others", "used", "says"),
    [
        (DRAWN, {}, True, ""),
        (f"{DRAWN} of 160x100", {"phrase": "red ball"}, True, ""),
        (DRAWN, {"bounding_box": {"x": 0, "y": 0, "width": 9, "height": 9}}, True, ""),
        (f"{DRAWN} of 160x100 #{LOOK}", {}, True, ""),
        (f"{DRAWN} of 160x100 #{LOOK[::-1]}", {}, False, "drawn on another picture"),
        (f"{DRAWN} of 640x480", {}, False, "drawn on another picture"),
        (" ", {}, False, ""),
    ],
)
def test_a_box_drawn_on_the_node(
    pack: dict[str, Any], photo: torch.Tensor, box: str, others: dict[str, Any], used: bool, says: str
) -> None:
    """It comes before a connected box and a phrase, for the picture that it was drawn on."""
    import folder_paths

    result, ui = run(pack, "EchoGenSubjectSegmentation", **{**ALL, "image": photo, "box": box, **others})
    words = "\n".join(ui["text"])
    assert overlap(result[1], disc()) > 0.9 and ("box and built-in" in words) == used and says in words
    assert ui["echogen_picture_size"] == (160, 100) and "1.00" not in words
    assert [says in notice for notice in ui["echogen_notices"]] == [True] * bool(says), (
        "its previews are small"
    )
    name, subfolder, kind = ui["echogen_picture"]
    shown = open_picture(Path(folder_paths.get_temp_directory()) / subfolder / name)
    drawn = read_box(f"{DRAWN} of 160x100 #{LOOK}")
    assert kind == "temp" and drawn.belongs_to(from_pil(shown), 160, 100), "plain, to draw on"


@pytest.mark.parametrize("box", ["1, 2, 3", "a box", "1, 2, 0, 4", "500, 1, 9, 9"])
def test_a_box_that_is_none_is_explained(pack: dict[str, Any], photo: torch.Tensor, box: str) -> None:
    with pytest.raises(ValueError, match=r"got '.*Draw it again|outside the 160×100 px picture"):
        whole(pack, image=photo, box=box)


def test_an_all_black_mask_is_not_used_and_said(pack: dict[str, Any], photo: torch.Tensor) -> None:
    pair = photo.expand(2, -1, -1, -1)
    masks = torch.cat([torch.zeros(1, 100, 160), disc()])
    (images, mask, _, _), words = whole(pack, image=pair, mask=masks)
    assert len(images) == 2 and overlap(mask[:1], disc()) > 0.9 and torch.equal(mask[1], disc()[0])
    assert words.count("The mask is empty, so it isn't used.") == 1


def test_transparency_is_a_mask(pack: dict[str, Any], photo: torch.Tensor) -> None:
    seen = torch.cat([photo, disc()[..., None]], dim=-1)
    (_, mask, _, _), words = whole(pack, image=seen)
    assert torch.equal(mask, disc()) and "transparency" in words
    opaque = torch.cat([photo, torch.ones(1, 100, 160, 1)], dim=-1)
    assert "built-in" in whole(pack, image=opaque)[1]


@pytest.mark.parametrize(
    "boxes", [BOX, [BOX], [[BOX]], [{**BOX, "score": 0.5, "label": "ball"}], [[{**BOX, "x": 60.4}]]]
)
def test_every_form_of_bounding_box(pack: dict[str, Any], photo: torch.Tensor, boxes: Any) -> None:
    (image, mask), ui = run(pack, "EchoGenCutOutSubject", image=photo, bounding_box=boxes, **CUT)
    assert mask.mean() > 0.6, "all that is in the box"
    assert len(ui["images"]) == 1 and not any(ui["text"])
    assert image.shape[1] == pytest.approx(60 / 0.84, abs=2)


def test_a_mask_with_a_box_counts_within_the_box(pack: dict[str, Any], photo: torch.Tensor) -> None:
    both = disc()
    both[:, :15, :15] = 1
    (_, mask, _, _), _ = whole(pack, image=photo, mask=both, bounding_box=[[BOX]])
    assert torch.equal(mask, disc())
    (_, cut_mask), _ = run(pack, "EchoGenCutOutSubject", image=photo, mask=both, bounding_box=BOX, **CUT)
    assert cut_mask.sum() == pytest.approx(float(disc().sum()), rel=0.02)


@pytest.mark.parametrize(
    ("boxes", "says"),
    [
        ("60, 20, 60, 60", "Expected bounding boxes"),
        ([1, 2, 3, 4], "Expected bounding boxes"),
        ([[{"x": 1, "y": 2}]], "Expected bounding boxes"),
        ([[BOX], [BOX], [BOX]], "for all or for each"),
        ({**BOX, "x": float("nan")}, "not numbers"),
        ({**BOX, "x": 500}, "lies outside"),
        ({**BOX, "width": 0}, "no area"),
    ],
)
def test_boxes_that_are_none(pack: dict[str, Any], photo: torch.Tensor, boxes: Any, says: str) -> None:
    for node, settings in (("Segment", SEGMENT), ("CutOut", CUT)):
        with pytest.raises(ValueError, match=says):
            run(pack, f"EchoGen{node}Subject", image=photo, bounding_box=boxes, **settings)


def test_a_picture_without_a_box_does_not_stop_the_others(pack: dict[str, Any], photo: torch.Tensor) -> None:
    pair, boxes = photo.expand(2, -1, -1, -1), [[BOX], []]
    (mask, preview), ui = run(pack, "EchoGenSegmentSubject", image=pair, bounding_box=boxes, **SEGMENT)
    assert mask.shape == (2, 100, 160) and preview.shape[0] == 2
    assert overlap(mask[:1], disc()) > 0.9 and overlap(mask[1:], disc()) > 0.9
    (_, cut_mask), ui = run(pack, "EchoGenCutOutSubject", image=pair, bounding_box=boxes, **CUT)
    assert len(cut_mask) == 2 and "Picture 2: There is no box for this picture" in ui["text"][0]


def test_ten_hits_and_which_is_taken(pack: dict[str, Any], photo: torch.Tensor, detector: None) -> None:
    (best, every, score, preview), ui = run(pack, "EchoGenDetectSubject", image=photo, **DETECT)
    assert len(every[0]) >= 10 and score == best[0][0]["score"] == max(hit["score"] for hit in every[0])
    assert preview.shape[0] == 1 and f"{score:.2f}" in ui["text"][0]
    assert all(isinstance(best[0][0][side], int) for side in ("x", "y", "width", "height"))
    (largest, _, _, _), _ = run(pack, "EchoGenDetectSubject", image=photo, **{**DETECT, "pick": "largest"})
    areas = [hit["width"] * hit["height"] for hit in every[0]]
    assert largest[0][0]["width"] * largest[0][0]["height"] >= 0.8 * max(areas)


def test_no_hit_has_three_outcomes(pack: dict[str, Any], photo: torch.Tensor, detector: None) -> None:
    def found(otherwise: str) -> tuple[Any, dict[str, Any]]:
        settings = {**DETECT, "threshold": 1.0, "when_not_found": otherwise}
        return run(pack, "EchoGenDetectSubject", image=photo, **settings)

    (box, every, score, _), ui = found("built-in cut")
    assert every == [[]] and score == 0.0 and 50 < box[0][0]["width"] < 70
    assert "Nothing like “red ball” was found above 1" in ui["text"][0]
    (box, _, _, _), ui = found("whole picture")
    assert (box[0][0]["width"], box[0][0]["height"]) == (160, 100)
    assert "The whole picture is used" in ui["text"][0]
    with pytest.raises(ValueError, match="Picture 1: Nothing like"):
        found("error")


def test_a_miss_in_a_batch_is_that_pictures_own(
    pack: dict[str, Any], photo: torch.Tensor, detector: None, segmenter: None
) -> None:
    pair = torch.cat([photo, torch.zeros_like(photo)])
    (images, mask, phrases, boxes), words = whole(
        pack, image=pair, phrase="red ball\nbear", threshold=1.0, when_not_found="built-in cut"
    )
    assert len(images) == len(mask) == len(boxes) == 2 and phrases == "red ball\nbear"
    assert overlap(mask[:1], disc()) > 0.9
    assert float(mask[1].min()) == 1.0 and "“bear”" in words and "The whole picture is used" in words


def test_the_whole_way_with_models(
    pack: dict[str, Any], photo: torch.Tensor, detector: None, segmenter: None
) -> None:
    (_, mask, phrase, boxes), words = whole(pack, image=photo, phrase="red ball", threshold=0.0)
    assert phrase == "red ball" and words.startswith("red ball · 0.") and "box and" in words
    assert mask.any() and boxes[0][0]["score"] > 0
    (outlined, _), ui = run(pack, "EchoGenSegmentSubject", image=photo, bounding_box=BOX, **SEGMENT)
    assert "SAM" in ui["text"][0] and outlined.shape == (1, 100, 160)


@pytest.mark.parametrize(
    ("phrase", "becomes"),
    [("", ""), (" \n ", ""), ("红球", "红球"), ("The red ball.", "red ball"), ("ball " * 4000, None)],
)
def test_phrases(
    pack: dict[str, Any], photo: torch.Tensor, detector: None, phrase: str, becomes: str | None
) -> None:
    (_, mask, said, _), words = whole(pack, image=photo, phrase=phrase, threshold=1.0)
    assert overlap(mask, disc()) > 0.9, "the built-in cut in place of what was not found"
    assert said == becomes if becomes is not None else 100 < len(said) <= 250
    assert ("The phrase was cut" in words) == (becomes is None)
    assert "reads English" in words if phrase == "红球" else "reads English" not in words


@pytest.mark.parametrize(
    "node", ["DescribeSubject", "DetectSubject", "SegmentSubject", "SubjectSegmentation"]
)
@pytest.mark.parametrize(
    ("image", "says"),
    [
        (torch.rand(1, 1, 1, 3), "1×1 px"),
        (torch.full((1, 32, 32, 3), float("nan")), "NaN"),
        (torch.zeros(0, 32, 32, 3), "no picture"),
        (torch.rand(1, 32, 32, 5), "wrong number of channels"),
    ],
)
def test_unusable_pictures(pack: dict[str, Any], node: str, image: torch.Tensor, says: str) -> None:
    settings: dict[str, Any] = {
        "DescribeSubject": dict(phrase="", describer="auto"),
        "DetectSubject": DETECT,
        "SegmentSubject": SEGMENT,
        "SubjectSegmentation": ALL,
    }[node]
    with pytest.raises(ValueError, match=says):
        run(pack, f"EchoGen{node}", image=image, **settings)


def test_masks_that_are_not_numbers(pack: dict[str, Any], photo: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="NaN"):
        whole(pack, image=photo, mask=torch.full((1, 100, 160), float("nan")))
    with pytest.raises(ValueError, match="does not fit"):
        whole(pack, image=photo, mask=torch.rand(1, 160, 100))


def test_grey_pictures_and_one_colour(pack: dict[str, Any], photo: torch.Tensor) -> None:
    (image, mask, _, _), _ = whole(pack, image=photo.mean(dim=-1, keepdim=True))
    assert image.shape[-1] == 3 and overlap(mask, disc()) > 0.9
    (_, mask, _, _), words = whole(pack, image=torch.zeros(1, 40, 40, 3))
    assert float(mask.min()) == 1.0 and "The whole picture is used" in words


def test_a_16_bit_file(
    pack: dict[str, Any], photo: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import folder_paths

    import nodes as comfy_nodes

    grey = (photo[0].mean(dim=-1).numpy() * 65535).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path))
    image, mask = comfy_nodes.LoadImage().load_image("deep.png")
    (_, found, _, _), _ = whole(pack, image=image, mask=mask)
    assert found.shape == (1, 100, 160) and bool(torch.isfinite(found).all())


def test_an_8000_pixel_picture(pack: dict[str, Any]) -> None:
    down, across = torch.linspace(0, 1, 400)[:, None], torch.linspace(0, 1, 8000)[None]
    image = torch.stack(
        [0.5 + 0.3 * across + 0 * down, 0.8 - 0.2 * down + 0 * across, 0.7 + 0 * down + 0 * across]
    )
    image[:, 100:300, 5000:5400] = torch.tensor([0.6, 0.05, 0.05]).view(3, 1, 1)
    box = {"x": 4900, "y": 50, "width": 600, "height": 300}
    (cut, mask, _, boxes), _ = whole(pack, image=image.movedim(0, -1)[None], bounding_box=box)
    assert mask.shape == (1, 400, 8000) and max(cut.shape) <= 2048
    assert boxes[0][0]["x"] == pytest.approx(4900, abs=4) and boxes[0][0]["width"] == pytest.approx(
        600, abs=8
    )
    assert float(mask[:, :, :4800].max()) == 0.0


def test_a_long_strip_is_shown_too(pack: dict[str, Any]) -> None:
    (mask, preview), ui = run(pack, "EchoGenSegmentSubject", image=torch.rand(1, 40, 8000, 3), **SEGMENT)
    assert mask.shape == (1, 40, 8000) and preview.shape[2] == 768 and len(ui["images"]) == 1


def test_boxes_come_back_as_they_were(pack: dict[str, Any]) -> None:
    """In pixels of the picture, though it is worked on at another size."""
    box = {"x": 4101, "y": 3, "width": 3899, "height": 37}
    (_, _, _, boxes), _ = whole(pack, image=torch.rand(1, 40, 8000, 3), bounding_box=box)
    assert {side: boxes[0][0][side] for side in box} == box


def test_files_are_told_by_content(pack: dict[str, Any], models_dir: Path, written: Path) -> None:
    from safetensors.torch import save_file

    sams = models_dir / "sams"
    sams.mkdir(parents=True)
    (sams / "notes.pth").write_text("not weights", encoding="utf-8")
    save_file({"vision_model.weight": torch.zeros(1)}, sams / "sam_vit_b.safetensors")
    names = ("image_encoder.blocks.0.attn.qkv.weight", "mask_decoder.iou_token.weight")
    torch.save(dict.fromkeys(names, torch.zeros(1)), sams / "any name.pth")
    torch.save(
        dict.fromkeys((*names, "mask_decoder.hf_token.weight"), torch.zeros(1)), sams / "sam_hq_vit_b.pth"
    )
    (sams / "folder").mkdir()
    for file in (written / "sams" / "sam-vit-base").iterdir():
        (sams / "folder" / file.name).write_bytes(file.read_bytes())
    fields = {field.id: field for field in pack["EchoGenSegmentSubject"].GET_SCHEMA().inputs}
    assert fields["segmenter"].options == ["auto", "none", "any name.pth", "folder"]


def test_a_model_that_is_not_there_is_asked_for(pack: dict[str, Any]) -> None:
    node = pack["EchoGenSubjectSegmentation"]
    answer = node.validate_inputs(describer="auto", detector="groundingdino_swinb.pth", segmenter="none")
    assert "groundingdino_swinb.pth" in answer and "models/grounding-dino" in answer
    assert node.validate_inputs(describer="auto", detector="none", segmenter="auto") is True


def test_a_damaged_model_says_which_and_the_next_run_is_whole(
    pack: dict[str, Any], photo: torch.Tensor, models_dir: Path
) -> None:
    sams = models_dir / "sams"
    sams.mkdir(parents=True)
    names = ("image_encoder.blocks.0.attn.qkv.weight", "mask_decoder.iou_token.weight")
    torch.save(dict.fromkeys(names, torch.zeros(1)), sams / "cut_off.pth")
    with pytest.raises(ValueError, match=r"cut_off\.pth"):
        run(pack, "EchoGenSegmentSubject", image=photo, bounding_box=BOX, **SEGMENT)
    (mask, _), _ = run(
        pack, "EchoGenSegmentSubject", image=photo, bounding_box=BOX, **{**SEGMENT, "segmenter": "none"}
    )
    assert overlap(mask, disc()) > 0.9


def test_models_are_kept_until_comfyui_unloads_them(
    pack: dict[str, Any], photo: torch.Tensor, detector: None
) -> None:
    import comfy.model_management as mm

    subject_models = comfy_pack.pack_module("nodes.subject_models")
    run(pack, "EchoGenDetectSubject", image=photo, **DETECT)
    first = subject_models.managed(DETECTOR, "auto")
    run(pack, "EchoGenDetectSubject", image=photo, **{**DETECT, "phrase": "bear"})
    assert subject_models.managed(DETECTOR, "auto") is first and first.patcher.load_device is not None
    with torch.inference_mode(False):  # as when the browser asks for it between two runs
        mm.unload_all_models()
    assert all(weight.is_meta for weight in first.module.parameters()), "nothing of it is left in memory"
    run(pack, "EchoGenDetectSubject", image=photo, **DETECT)
    assert subject_models.managed(DETECTOR, "auto") is not first


def test_a_new_file_runs_the_node_again(pack: dict[str, Any], models_dir: Path, written: Path) -> None:
    node = pack["EchoGenSegmentSubject"]
    before = node.fingerprint_inputs(**SEGMENT)
    small_subject_models.write_segmenter(models_dir / "sams" / "sam")
    after = node.fingerprint_inputs(**SEGMENT)
    assert before != after and str(models_dir) not in str(after)
    assert node.fingerprint_inputs(**{**SEGMENT, "segmenter": "none"}) == before


def test_describing_without_a_model(pack: dict[str, Any], photo: torch.Tensor) -> None:
    pair = photo.expand(2, -1, -1, -1)
    (phrase,), _ = run(pack, "EchoGenDescribeSubject", image=pair, phrase="a red ball", describer="auto")
    assert phrase == "red ball\nred ball"
    (phrase,), ui = run(pack, "EchoGenDescribeSubject", image=pair, phrase="", describer="none")
    assert phrase.strip() == "" and "no phrase" in ui["text"][0] and "models/LLM" in ui["text"][0]
    assert len(ui["images"]) == 2


def test_describing_with_a_model(
    pack: dict[str, Any], photo: torch.Tensor, describer: None, detector: None
) -> None:
    options = {field.id: field for field in pack["EchoGenDescribeSubject"].GET_SCHEMA().inputs}
    assert options["describer"].options[2:] == ["Qwen/Qwen2.5-VL-3B-Instruct"]
    pair = torch.cat([photo, 1 - photo])
    (phrases,), ui = run(pack, "EchoGenDescribeSubject", image=pair, phrase="", describer="auto")
    assert len(phrases.split("\n")) == 2 and len(ui["images"]) == 2
    (own,), _ = run(pack, "EchoGenDescribeSubject", image=pair, phrase="red ball", describer="auto")
    assert own == "red ball\nred ball", "the artist's phrase goes first"
    (_, mask, said, _), _ = whole(pack, image=pair, threshold=1.0)
    assert said == phrases and mask.shape == (2, 100, 160), "the all-in-one node asks the same model"
