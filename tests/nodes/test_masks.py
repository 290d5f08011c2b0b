"""Masks, boxes and references of all kinds, through ComfyUI's own Load Image and executor; what is said."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import torch
from graphs import Comfy, Outcome, give, node
from PIL import Image

import comfy_pack
from echogen_core.subject import samples
from echogen_core.subject.cutout import cut_out
from echogen_core.subject.reference_checks import reference_note
from echogen_core.subject.refine import soften

CUT = dict(margin=0.08, background="white", mask_marks="auto", only_largest=False)
WHOLE = dict(
    phrase="", margin=0.08, background="white", threshold=0.35, pick="best score",
    when_not_found="built-in cut", soften=0.0, describer="none", detector="none", segmenter="none",
    mask_marks="auto",
)  # fmt: skip
NODES = {"EchoGenCutOutSubject": CUT, "EchoGenSubjectSegmentation": WHOLE}
EMPTY, BARELY = "The mask is empty, so it isn't used.", "Hardly any of the subject"
INVERTED = "set “white in mask means” to subject"
NOT_INVERTED = "set “white in mask means” to background"
FAINT = "faintly marked"
BOX = {"x": 30, "y": 16, "width": 40, "height": 40}
NAN = float("nan")


@pytest.fixture(autouse=True)
def folder(pack: dict[str, Any], tmp_path: Path) -> Iterator[Path]:
    """ComfyUI's input folder: the test's own."""
    import folder_paths

    graphs.register()
    before = folder_paths.get_input_directory()
    folder_paths.set_input_directory(str(tmp_path))
    yield tmp_path
    folder_paths.set_input_directory(before)


def picture(height: int = 72, width: int = 96, shift: int = 0) -> Image.Image:
    """A dark box on a plain, light ground."""
    pixels = np.full((height, width, 3), 235, np.uint8)
    pixels[height // 4 : 3 * height // 4, width // 4 + shift : 3 * width // 4 + shift] = (150, 40, 30)
    return Image.fromarray(pixels)


def write(folder: Path, name: str) -> None:
    one = picture()
    if name == "opaque_rgba.png":
        one.convert("RGBA").save(folder / name)
    elif name == "opaque_grey_alpha.png":
        one.convert("LA").save(folder / name)
    elif name == "square_64.jpg":
        picture(64, 64).save(folder / name)
    elif name.startswith("animated"):
        frames = [picture(shift=shift) for shift in range(2)]
        frames[0].save(folder / name, save_all=True, append_images=frames[1:], lossless=True)
    else:
        one.save(folder / name)


def both_wires(kind: str, turned: bool = False, **inputs: Any) -> dict[str, Any]:
    """Load Image, both wires into a node of ours; turned: with Invert Mask in between."""
    mask = ["turn", 0] if turned else ["load", 1]
    return {
        "load": node("LoadImage", image=inputs.pop("file")),
        "turn": node("InvertMask", mask=["load", 1]),
        "ours": node(kind, image=["load", 0], mask=mask, **{**NODES[kind], **inputs}),
        "image": node("Keep", value=["ours", 0]),
        "mask": node("Keep", value=["ours", 1]),
    }


def run(prompt: dict[str, Any]) -> Outcome:
    outcome = Comfy().run(prompt)
    assert not outcome.error and not outcome.refused, (outcome.error, outcome.refused)
    return outcome


def said(outcome: Outcome) -> str:
    return "\n".join(outcome.shown["ours"]["text"])


def given(kind: str, image: torch.Tensor, **inputs: Any) -> Outcome:
    """One of the nodes on these tensors."""
    tensors = {name: value for name, value in inputs.items() if name in ("mask", "bounding_box")}
    prompt = give(image=image, **tensors)
    links = {name: [name, 0] for name in prompt}
    settings = {name: value for name, value in inputs.items() if name not in tensors}
    prompt["ours"] = node(kind, **{**NODES[kind], **links, **settings})
    return Comfy().run(
        {**prompt, "image_end": node("Keep", value=["ours", 0]), "mask_end": node("Keep", value=["ours", 1])}
    )


def scene(count: int = 1, noisy: bool = False) -> torch.Tensor:
    """[count, 72, 96, 3]: a subject on a plain ground, or noise."""
    torch.manual_seed(0)
    one = torch.from_numpy(np.asarray(picture(), np.float32) / 255)[None]
    return (torch.rand(1, 72, 96, 3) if noisy else one).expand(count, -1, -1, -1)


def box_mask(top: int, left: int, bottom: int, right: int, value: float = 1.0) -> torch.Tensor:
    mask = torch.zeros(1, 72, 96)
    mask[:, top:bottom, left:right] = value
    return mask


FILES = [
    "opaque_rgba.png",
    "opaque_grey_alpha.png",
    "square_64.jpg",
    "plain.png",
    "animated.webp",
    "animated.gif",
]


def transparent(folder: Path, hidden: np.ndarray, colour: tuple[int, int, int] | None) -> str:
    """A PNG that is transparent where `hidden` says so, with this colour beneath, or the picture's own."""
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (72, 96, 4), dtype=torch.uint8).numpy()
    pixels[..., 3] = np.where(hidden, 0, 255)
    if colour is not None:
        pixels[hidden, :3] = colour
    Image.fromarray(pixels).save(folder / "transparent.png")
    return "transparent.png"


def area(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    hidden = np.zeros((72, 96), bool)
    for top, left, bottom, right in boxes:
        hidden[top:bottom, left:right] = True
    return hidden


TOP_THIRD = area((0, 0, 24, 96))
CORNERS = area((0, 0, 9, 9), (0, 87, 9, 96), (63, 0, 72, 9), (63, 87, 72, 96))
A_SIDE = area((0, 0, 72, 30))
INSIDE = area((20, 30, 50, 60))


@pytest.mark.parametrize("kind", NODES)
@pytest.mark.parametrize(
    ("hidden", "colour"),
    [
        (TOP_THIRD, None),
        (TOP_THIRD, (0, 0, 0)),
        (CORNERS, None),
        (A_SIDE, (255, 255, 255)),
        (INSIDE, (0, 0, 0)),
        (INSIDE, (255, 255, 255)),
    ],
)
def test_transparency_that_may_be_the_background_is_said_to_be_taken_as_the_subject(
    kind: str, hidden: np.ndarray, colour: tuple[int, int, int] | None, folder: Path
) -> None:
    file = transparent(folder, hidden, colour)
    assert NOT_INVERTED in said(run(both_wires(kind, file=file)))
    for marks in ("subject", "background"):
        assert "white in mask" not in said(run(both_wires(kind, file=file, mask_marks=marks)))


@pytest.mark.parametrize("kind", NODES)
def test_a_subject_that_was_painted_inside_the_picture_is_no_guess(kind: str, folder: Path) -> None:
    """The mask editor keeps the picture's colours beneath what it makes transparent."""
    outcome = run(both_wires(kind, file=transparent(folder, INSIDE, None)))
    assert "white in mask" not in said(outcome)


@pytest.mark.parametrize(
    ("kind", "file"),
    [("EchoGenCutOutSubject", file) for file in FILES]
    + [("EchoGenSubjectSegmentation", file) for file in ("opaque_rgba.png", "animated.gif")],
)
def test_a_picture_without_transparency_brings_no_mask(kind: str, file: str, folder: Path) -> None:
    write(folder, file)
    prompt = both_wires(kind, file=file)
    outcome = run(prompt)
    del prompt["ours"]["inputs"]["mask"]
    without = run(prompt)
    assert torch.equal(outcome.kept["image"][0], without.kept["image"][0])
    assert torch.equal(outcome.kept["mask"][0], without.kept["mask"][0])
    from nodes import LoadImage

    placeholder = LoadImage().load_image(file)[1].shape[-2:] == (64, 64)
    assert (EMPTY in said(outcome)) == (not placeholder) and EMPTY not in said(without)


ZEROS = [
    (1, 64, 64),
    (1, 72, 96),
    (1, 10, 500),
    (7, 64, 64),
    (3, 72, 96),
    (0, 72, 96),
    (3, 2, 72, 96),
    (50, 40),
]


@pytest.mark.parametrize(
    ("kind", "empty"),
    [("EchoGenCutOutSubject", shape) for shape in ZEROS] + [("EchoGenSubjectSegmentation", (7, 64, 64))],
)
def test_zeros_of_any_shape_and_number_are_no_mask(kind: str, empty: tuple[int, ...]) -> None:
    without = given(kind, scene(3))
    for marks in ("auto", "background") if kind == "EchoGenCutOutSubject" else ("subject",):
        outcome = given(kind, scene(3), mask=torch.zeros(empty), mask_marks=marks)
        assert not outcome.error and (EMPTY in said(outcome)) == (empty[-2:] != (64, 64))
        assert torch.equal(outcome.kept["image_end"][0], without.kept["image_end"][0])


@pytest.mark.parametrize("kind", NODES)
def test_the_inverse_of_no_mask_is_the_whole_picture(kind: str, folder: Path) -> None:
    write(folder, "plain.png")
    outcome = run(both_wires(kind, turned=True, file="plain.png"))
    assert "covers the whole picture" in said(outcome) and INVERTED not in said(outcome)
    assert outcome.kept["mask"][0].mean() > 0.7


@pytest.mark.parametrize("kind", NODES)
def test_a_mask_that_leaves_nothing_is_none(kind: str) -> None:
    outcome = given(kind, scene(), mask=torch.ones(1, 64, 64), mask_marks="background")
    assert not outcome.error and "leaves no subject" in said(outcome)


@pytest.mark.parametrize("kind", NODES)
@pytest.mark.parametrize(
    "mask", [box_mask(18, 0, 72, 96), box_mask(0, 0, 72, 70), 1 - box_mask(20, 20, 50, 60)]
)
def test_a_guess_is_said_and_can_be_changed(kind: str, mask: torch.Tensor) -> None:
    guessed = given(kind, scene(noisy=True), mask=mask)
    assert INVERTED in said(guessed)
    told = given(kind, scene(noisy=True), mask=mask, mask_marks="background")
    assert torch.equal(guessed.kept["image_end"][0], told.kept["image_end"][0]) and INVERTED not in said(told)
    other = given(kind, scene(noisy=True), mask=mask, mask_marks="subject")
    assert INVERTED not in said(other)
    assert not torch.equal(guessed.kept["image_end"][0], other.kept["image_end"][0])


@pytest.mark.parametrize("kind", NODES)
@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (box_mask(30, 40, 31, 41), BARELY),
        (box_mask(0, 40, 72, 41), BARELY),
        (box_mask(30, 0, 31, 96), BARELY),
        (box_mask(30, 40, 33, 45), BARELY),
        (box_mask(30, 10, 31, 11) + box_mask(60, 80, 62, 82), BARELY),
        (box_mask(0, 0, 72, 96, 0.05), FAINT),
        (box_mask(20, 20, 50, 60, 0.05), FAINT),
        (box_mask(20, 20, 50, 60, 0.4), FAINT),
        (box_mask(20, 20, 50, 60, 0.05) + box_mask(30, 30, 31, 31, 0.95), FAINT),
        (box_mask(0, 0, 72, 96, 0.02) * torch.rand(1, 72, 96), FAINT),
        (box_mask(0, 0, 72, 96, 0.05) + box_mask(0, 0, 72, 5, 0.95), FAINT),
        (box_mask(0, 0, 72, 96, 0.3) + box_mask(20, 0, 21, 96, 0.7), FAINT),
    ],
)
def test_a_reference_that_hardly_shows_anything_is_said(kind: str, mask: torch.Tensor, words: str) -> None:
    for boxes in ({}, {"bounding_box": BOX}):
        outcome = given(kind, scene(noisy=True), mask=mask, mask_marks="subject", **boxes)
        assert not outcome.error
        assert words in said(outcome) or (boxes and FAINT in said(outcome)), boxes


@pytest.mark.parametrize("box", [{**BOX, "width": 1, "height": 1}, {**BOX, "height": 1}])
def test_words_about_a_small_box_suit_a_box(box: dict[str, int]) -> None:
    outcome = given("EchoGenCutOutSubject", scene(noisy=True), bounding_box=box)
    assert "a larger box" in said(outcome)
    assert "disconnect" not in said(outcome) and "white in mask" not in said(outcome)


def test_a_mask_painted_over_a_picture_marks_the_subject(folder: Path) -> None:
    torch.manual_seed(0)
    pixels = torch.cat([255 * torch.rand(72, 96, 3), torch.full((72, 96, 1), 255.0)], dim=-1)
    pixels[20:50, 30:70, 3] = 0
    Image.fromarray(pixels.byte().numpy()).save(folder / "painted.png")
    assert said(run(both_wires("EchoGenCutOutSubject", file="painted.png"))).strip() == ""


def test_one_transparent_pixel_in_a_file(folder: Path) -> None:
    pixels = picture().convert("RGBA")
    pixels.paste((0, 0, 0, 0), (40, 40, 41, 41))
    pixels.save(folder / "pixel.png")
    assert BARELY in said(run(both_wires("EchoGenCutOutSubject", file="pixel.png")))


@pytest.mark.parametrize("kind", NODES)
@pytest.mark.parametrize("margin", [0.0, 0.08, 0.45])
def test_thin_subjects_are_no_false_alarm(kind: str, margin: float) -> None:
    fork = box_mask(30, 46, 70, 50) + box_mask(24, 43, 30, 53)
    fork[:, 4:24, 43:53:3] = 1
    frame = box_mask(10, 10, 60, 90) - box_mask(12, 12, 58, 88)
    chair = box_mask(10, 30, 70, 32) + box_mask(10, 60, 70, 62) + box_mask(36, 32, 40, 60)
    for mask in (fork, frame, chair):
        outcome = given(kind, scene(noisy=True), mask=mask.clamp(0, 1), mask_marks="subject", margin=margin)
        assert not outcome.error and BARELY not in said(outcome) and FAINT not in said(outcome)


def test_soft_edges_are_no_false_alarm(pack: dict[str, Any]) -> None:
    sample = pack["EchoGenSamplePicture"].PREPARE_CLASS_CLONE({}).EXECUTE_NORMALIZED
    for name in samples.sample_names():
        image, mask = sample(picture=name).result
        for side, pixels in ((128, 4), (128, 32), (256, 16), (512, 32)):
            both = torch.cat([image.movedim(-1, 1), mask[:, None]], dim=1)
            sized = torch.nn.functional.interpolate(both, (side, side), mode="bilinear", antialias=True)
            soft_HW = soften(sized[0, 3] > 0.5, float(pixels))
            assert cut_out(sized[:, :3], soft_HW[None]).notes == ("",), (name, side, pixels)


BAD_BOXES = {
    "nan": {**BOX, "x": NAN}, "infinite": {**BOX, "width": float("inf")}, "outside": {**BOX, "x": 5000},
    "no area": {**BOX, "width": 0}, "inverted": {**BOX, "height": -5}, "half": {"x": 1, "y": 2}, "none": None,
    "words": "10, 10, 20, 20", "texts": {**BOX, "x": "left"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "bad"),
    [("EchoGenCutOutSubject", bad) for bad in BAD_BOXES]
    + [("EchoGenSubjectSegmentation", bad) for bad in ("nan", "none")],
)
def test_a_bad_box_is_its_own_pictures_only(kind: str, bad: str) -> None:
    wrapped = kind == "EchoGenCutOutSubject"  # a box itself in the place of a picture's list is one of it
    box = [BAD_BOXES[bad]] if wrapped else BAD_BOXES[bad]
    count = 4 if kind == "EchoGenCutOutSubject" else 2  # segmentation takes its time
    outcome = given(kind, scene(count), bounding_box=[[BOX], box, [BOX], [BOX]][:count])
    assert not outcome.error, outcome.error
    texts = outcome.shown["ours"]["text"]
    if kind == "EchoGenCutOutSubject":
        assert len(texts) == 1 and texts[0].startswith("Picture 2: ")
    assert sum("left out" in text for text in texts) == 1
    assert outcome.shown["ours"]["echogen_notices"][0].startswith("Picture 2: ")
    assert len(outcome.kept["image_end"][0]) == count
    for words in (
        next(text for text in texts if "left out" in text),
        given(kind, scene(), bounding_box=[[BAD_BOXES[bad]]]).error,
    ):
        assert words and "left, top" not in words and "[" not in words
        assert bad in ("words", "none") or "width" in words, "in the artist's terms"


def test_the_history_has_a_sentence_once_with_the_pictures_numbers() -> None:
    outcome = given("EchoGenCutOutSubject", scene(noisy=True).expand(12, -1, -1, -1))
    assert len(outcome.shown["ours"]["text"]) == 1
    outcome = given("EchoGenCutOutSubject", scene(3), bounding_box=[[BOX], [], []])
    assert outcome.shown["ours"]["text"] == ["Pictures 2–3: There is no box for this picture."]


@pytest.mark.parametrize("kind", NODES)
def test_a_mask_of_nans_is_its_own_pictures_only(kind: str) -> None:
    masks = box_mask(10, 10, 50, 50).repeat(3, 1, 1)
    masks[1, 3, 3] = NAN
    outcome = given(kind, scene(3), mask=masks)
    assert not outcome.error
    assert outcome.shown["ours"]["echogen_notices"] == [
        "Picture 2: The mask holds values that are not numbers, so it isn't used."
    ]
    assert "NaN" in given(kind, scene(3), mask=masks * NAN).error


@pytest.mark.parametrize("kind", NODES)
def test_a_box_beside_the_mask_is_not_used(kind: str) -> None:
    outcome = given(kind, scene(), mask=box_mask(0, 0, 12, 12), bounding_box=BOX)
    assert not outcome.error and "marks nothing inside the box" in said(outcome)


def test_nothing_to_cut_by_is_said() -> None:
    outcome = given("EchoGenCutOutSubject", scene(noisy=True))
    assert "The whole picture is used" in said(outcome)
    assert said(given("EchoGenCutOutSubject", scene())).strip() == "", "a plain ground is cut without a word"


def encoded(models: Any, image: torch.Tensor, **inputs: Any) -> tuple[Any, Any, Outcome]:
    """Both encoders on these pictures: their features, and what happened."""
    prompt = give(
        image=image, semantic_encoder=models.semantic_encoder, content_encoder=models.content_encoder
    )
    for kind in ("Semantic", "Content"):
        encoder = f"{kind.lower()}_encoder"
        links = {encoder: [encoder, 0], "image": ["image", 0]}
        prompt[kind] = node(f"EchoGenEncode{kind}", strength=1.0, **links, **inputs)
        prompt[f"{kind}_end"] = node("Keep", value=[kind, 0])
    outcome = Comfy().run(prompt)
    assert not outcome.error, outcome.error
    return outcome.kept["Semantic_end"][0], outcome.kept["Content_end"][0], outcome


def cut_outs(count: int) -> torch.Tensor:
    """[count, 112, 112, 3], all different, on white."""
    images = torch.ones(count, 112, 112, 3)
    for index in range(count):
        images[index, 20:90, 20:90] = (index + 1) / (2 * count)
    return images


@pytest.mark.parametrize(("count", "most"), [(60, 8), (9, 8), (60, 1), (60, 2), (10, 7), (3, 2)])
def test_views_are_limited_evenly_chosen_and_said(models: Any, count: int, most: int) -> None:
    images = cut_outs(count)
    semantic, content, outcome = encoded(models, images, max_views=most)
    assert len(semantic.cls_VC) == len(content.latents_VCHW) == most
    for kind in ("Semantic", "Content"):
        assert f"Used {most} of {count} pictures" in outcome.shown[kind]["text"][0]
    alone = models.semantic_encoder.module.encode(images.movedim(-1, 1))
    chosen = [int((alone.cls_VC - cls_C).abs().sum(1).argmin()) for cls_C in semantic.cls_VC]
    assert chosen[0] == 0 and (most == 1 or chosen[-1] == count - 1)
    gaps = {after - before for before, after in pairwise(chosen)}
    assert not gaps or max(gaps) - min(gaps) <= 1
    every = models.content_encoder.module.encode(images[chosen].movedim(-1, 1))
    assert torch.allclose(every.latents_VCHW, content.latents_VCHW, atol=1e-5), "the same ones"


def test_few_views_are_as_before(models: Any) -> None:
    semantic, content, outcome = encoded(models, cut_outs(8))
    assert len(semantic.cls_VC) == len(content.latents_VCHW) == 8
    assert outcome.shown["Semantic"] == outcome.shown["Content"] == {"text": [], "echogen_notices": []}


def test_the_encoders_notice_what_was_not_cut_out(models: Any) -> None:
    def notices(image: torch.Tensor) -> list[str]:
        *_, outcome = encoded(models, image)
        assert outcome.shown["Semantic"] == outcome.shown["Content"]
        return list(outcome.shown["Semantic"]["echogen_notices"])

    assert "may not be cut out" in notices(scene(noisy=True))[0]
    ramp = torch.linspace(0, 1, 96)[None, None, :, None].expand(1, 72, 96, 3)
    assert "may not be cut out" in notices(ramp)[0]
    assert "a single colour" in notices(torch.full((1, 72, 96, 3), 0.5))[0]
    (second,) = notices(torch.cat([cut_outs(1), torch.rand(1, 112, 112, 3), cut_outs(1)]))
    assert second.startswith("Picture 2: ")


@pytest.mark.parametrize("border", [(1, 1), (6, 6), (12, 0), (24, 0), (0, 20)])
@pytest.mark.parametrize("colour", [0.0, 1.0, 0.5])
def test_a_photo_in_a_frame_is_not_a_cut_out(border: tuple[int, int], colour: float) -> None:
    torch.manual_seed(0)
    photo = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 12), (112, 112), mode="bicubic").clamp(0, 1)
    framed_3SS = torch.full((3, 112, 112), colour)
    down, across = (slice(wide, 112 - wide) for wide in border)
    framed_3SS[:, down, across] = photo[0, :, down, across]
    assert "may not be cut out" in reference_note(framed_3SS)


def test_cut_outs_on_any_plain_colour_are_no_false_alarm(pack: dict[str, Any]) -> None:
    read_views = comfy_pack.pack_module("nodes.reference_views").read_views
    sample, cut_node = (
        pack[f"EchoGen{name}"].PREPARE_CLASS_CLONE({}).EXECUTE_NORMALIZED
        for name in ("SamplePicture", "CutOutSubject")
    )
    margins = (0.0, 0.08, 0.45)  # each with each colour, on some of the samples
    for number, name in enumerate(samples.sample_names()):
        image, mask = sample(picture=name).result
        for place, background in enumerate(("white", "black", "#7f7f7f", "red"), number):
            cut = {**CUT, "background": background, "margin": (margin := margins[place % len(margins)])}
            made = cut_node(image=image, mask=mask, **cut).result[0]
            assert read_views(made, 8).notes == [], (name, background, margin)
