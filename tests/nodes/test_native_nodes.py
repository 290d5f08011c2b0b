"""ComfyUI's own nodes before and behind ours, in whole graphs through its executor."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import graphs
import pytest
import torch
from graphs import Comfy, Give, give, node
from test_comfy_vae import flux_vae  # noqa: F401  # a fixture

from echogen_core.features import SemanticFeatures

TODAYS = {
    "PrimitiveInt", "PrimitiveFloat", "PrimitiveString", "PrimitiveStringMultiline", "PrimitiveBoolean",
    "PrimitiveBoundingBox", "CreateBoundingBoxes", "DrawBBoxes", "ComfySwitchNode",
    "InvertMask", "ResizeImageMaskNode", "JoinImageWithAlpha", "SplitImageWithAlpha", "ImageFromBatch",
    "RepeatImageBatch", "RebatchImages", "BatchMasksNode", "SAM3_Detect",
}  # fmt: skip
"""What the tests below plug in. A ComfyUI of 2026 has all of it, an older one a part.

SAM3_Detect only has to be there: it needs a model, and what it gives is made by hand.
"""

SNAPSHOT = json.loads((Path(__file__).parent / "schema_snapshot.json").read_text(encoding="utf-8"))
WIDGETS = [
    (kind, name, field["type"])
    for kind, described in SNAPSHOT.items()
    for name, field in described["inputs"].items()
    if field["type"] in ("COMBO", "INT", "FLOAT", "STRING", "BOOLEAN")
]
DROP_DOWNS = [(kind, name) for kind, name, of_type in WIDGETS if of_type == "COMBO"]
CUT = dict(margin=0.0, background="white", mask_marks="auto")
BOX = {"x": 20, "y": 10, "width": 24, "height": 30}


@pytest.fixture(scope="module")
def native(pack: dict[str, Any]) -> set[str]:
    """Names of ComfyUI's own nodes."""
    known = graphs.register()
    missing = sorted(TODAYS - known) if graphs.is_todays() else []
    assert missing == []
    return known


@pytest.fixture(autouse=True)
def folders(pack: dict[str, Any], tmp_path: Path) -> Iterator[None]:
    """Input and output folders of the test's own."""
    import folder_paths

    before = (folder_paths.get_input_directory(), folder_paths.get_output_directory())
    folder_paths.set_input_directory(str(tmp_path / "input"))
    folder_paths.set_output_directory(str(tmp_path / "output"))
    yield
    folder_paths.set_input_directory(before[0])
    folder_paths.set_output_directory(before[1])


@pytest.fixture(autouse=True)
def photo() -> torch.Tensor:
    """[1, 48, 64, 3]: dark on a bright ramp, at BOX; given as 'photo'."""
    ramp = 0.6 + torch.linspace(0, 0.3, 64)[None, None, :, None].expand(1, 48, 64, 3)
    image = ramp * (1 - inside()[..., None])
    Give.values["photo"] = image
    return image


def inside(box: dict[str, int] = BOX) -> torch.Tensor:
    """[1, 48, 64], 1 in the box."""
    mask = torch.zeros(1, 48, 64)
    mask[:, box["y"] : box["y"] + box["height"], box["x"] : box["x"] + box["width"]] = 1
    return mask


def kept(prompt: dict[str, Any], *links: list[Any]) -> list[Any]:
    """What a prompt gives at these places; each link only once."""
    ends = {f"end{index}": node("Keep", value=link) for index, link in enumerate(links)}
    outcome = Comfy().run({"photo": node("Give", name="photo"), **prompt, **ends})
    assert not outcome.error and not outcome.refused, (outcome.error, outcome.refused)
    return [outcome.kept[end] if len(outcome.kept[end]) > 1 else outcome.kept[end][0] for end in ends]


def cut(**inputs: Any) -> dict[str, Any]:
    return node("EchoGenCutOutSubject", **{"image": ["photo", 0], **CUT, **inputs})


# --- drop-downs


def with_all_inputs(pack: dict[str, Any], kind: str, models: Any, vae: Any) -> dict[str, Any]:
    """A prompt with one node of ours, number 'ours', that has all that it needs."""
    sockets = {
        "IMAGE": Give.values["photo"],
        "VAE": vae,
        "ECHOGEN_MODEL": models.model,
        "ECHOGEN_TOKENIZER": models.tokenizer,
        "ECHOGEN_TEXT_ENCODER": models.text_encoder,
        "ECHOGEN_SEMANTIC_ENCODER": models.semantic_encoder,
        "ECHOGEN_CONTENT_ENCODER": models.content_encoder,
    }
    inputs: dict[str, Any] = {}
    prompt: dict[str, Any] = {}
    for field in pack[kind].GET_SCHEMA().inputs:
        if field.get_io_type() in sockets:
            prompt |= give(**{field.id: sockets[field.get_io_type()]})
            inputs[field.id] = [field.id, 0]
        elif field.get_io_type() == "ECHOGEN_SEMANTIC" and not field.optional:
            prompt |= give(semantic=SemanticFeatures(torch.ones(1, 192), torch.zeros(1, 64, 192)))
            inputs[field.id] = ["semantic", 0]
        elif hasattr(field, "default") and (field.default is not None or not field.optional):
            inputs[field.id] = field.options[0] if field.default is None else field.default
    chosen = {
        "EchoGenGammaSweep": {"gamma_t": "2", "gamma_i": "2"},
        "EchoGenEncodeText": {"prompt": "a toy car"},
        "EchoGenCutOutSubject": {"only_largest": False},
        "EchoGenEditPicture": {"way": "redraw"},
    }
    ours = node(kind, **{**inputs, **chosen.get(kind, {})})
    if kind == "EchoGenSaveSubject":  # its own end
        return {**prompt, "ours": ours}
    return {**prompt, "ours": ours, "end": node("Keep", value=["ours", 0])}


def saved_subject(pack: dict[str, Any], models: Any, tmp_path: Path) -> None:
    """One subject in the input folder."""
    from echogen_core.checkpoints.subject_file import save_subject
    from echogen_core.features import Subject

    (tmp_path / "input").mkdir()
    encode = pack["EchoGenEncodeSemantic"].PREPARE_CLASS_CLONE({}).EXECUTE_NORMALIZED
    (semantic,) = encode(
        semantic_encoder=models.semantic_encoder, image=Give.values["photo"], strength=1.0
    ).result
    save_subject(tmp_path / "input" / "subject.safetensors", Subject(semantic, None))


@pytest.fixture
def prompt(
    pack: dict[str, Any],
    native: set[str],
    models: Any,
    flux_vae: Any,  # noqa: F811
    tmp_path: Path,
    kind: str,
) -> dict[str, Any]:
    """A prompt with one node of that kind, for tests of each; there is a subject to be loaded."""
    saved_subject(pack, models, tmp_path)
    return with_all_inputs(pack, kind, models, flux_vae[0])


@pytest.mark.parametrize(("kind", "name"), DROP_DOWNS)
def test_a_switch_into_every_drop_down(
    prompt: dict[str, Any], native: set[str], kind: str, name: str
) -> None:
    typed = prompt["ours"]["inputs"][name]
    switches = {"Give": give(choice=typed)["choice"]}
    if "ComfySwitchNode" in native:
        switches |= {
            "switch": node("ComfySwitchNode", switch=True, on_false="other", on_true=typed),
        }
    for switch in switches.values():
        prompt["choice"], prompt["ours"]["inputs"][name] = switch, ["choice", 0]
        comfy = Comfy()
        first = comfy.run(prompt)
        assert not first.error and not first.refused, (first.error, first.refused)
        assert len(first.kept["end"]) == 1
        assert comfy.run(prompt).ran == [], "what has not changed is not run again"
        prompt["choice"] = give(other="no such entry")["other"]
        assert refused_by(comfy.run(prompt), kind, name, "'no such entry'")


def label_of(kind: str, name: str) -> str:
    """What an input is called on its node, and in messages."""
    import nodes as comfy_nodes

    fields = comfy_nodes.NODE_CLASS_MAPPINGS[kind].GET_SCHEMA().inputs
    return next(str(field.display_name or name) for field in fields if field.id == name)


def refused_by(outcome: graphs.Outcome, kind: str, name: str, got: str) -> bool:
    """Whether the input's own words refused a value: its label or name, or what is missing; and what came."""
    said = outcome.error or json.dumps(outcome.refused, ensure_ascii=False)
    own = (
        f"{label_of(kind, name)}: ", f"{name}: ", "Found no ", "does not exist", "is not an aspect ratio",
    )  # fmt: skip
    return any(words in said for words in own) and got in said and "COMBO" not in said


# aspect ratios are understood in many spellings
@pytest.mark.parametrize(("kind", "name"), [each for each in DROP_DOWNS if each[1] != "aspect_ratio"])
def test_what_is_no_entry_of_a_drop_down(prompt: dict[str, Any], kind: str, name: str) -> None:
    """Over a wire and in a prompt, in every version: never taken for another entry."""
    ours = prompt["ours"]["inputs"]
    typed = ours[name]
    for wrong in ("nan", "NONE", f" {typed}", 3, True, {"a": 1}):
        ours[name] = wrong
        written = Comfy().run(prompt)
        assert written.refused or "expected one of" in written.error, wrong
        ours[name] = ["wrong", 0]
        wired = Comfy().run({**prompt, **give(wrong=wrong)})
        got = "a value of type dict" if isinstance(wrong, dict) else f"'{wrong}'"
        assert refused_by(wired, kind, name, got), wired
        if "Custom validation" in json.dumps(written.refused):  # ours: in the same words
            assert wired.error.strip() in written.refused["ours"]
    if SNAPSHOT[kind]["inputs"][name]["kind"] == "required":
        said = Comfy().run({**prompt, **give(wrong=None)}).error
        assert said.startswith(f"{label_of(kind, name)}: expected one of") and "got nothing" in said


WRONG: dict[str, list[Any]] = {
    "INT": [-1, 10**30, "many", "2.5", float("nan"), float("inf"), [1], None],
    "FLOAT": [-2.0, 1e9, 10**400, "1,5", float("nan"), [1.0], None],
    "STRING": [["a"], {"a": 1}, b"x", None],
    "BOOLEAN": ["false", "no", float("nan"), [True], {}],
}
"""What must not come over a wire of that type."""


@pytest.mark.parametrize(("kind", "name", "of_type"), [each for each in WIDGETS if each[2] in WRONG])
def test_a_wire_into_every_number_text_and_switch(
    pack: dict[str, Any], prompt: dict[str, Any], kind: str, name: str, of_type: str
) -> None:
    typed = prompt["ours"]["inputs"][name]
    prompt["ours"]["inputs"][name] = ["wired", 0]
    comfy = Comfy()
    if kind != "EchoGenSaveSubject":  # it has nothing to save
        first = comfy.run({**prompt, **give(wired=typed)})
        assert not first.error and not first.refused, (first.error, first.refused)
        assert comfy.run({**prompt, **give(wired=typed)}).ran == [], "what has not changed is not run again"
    expected = {"INT": "a whole number", "FLOAT": "a number", "STRING": "a text", "BOOLEAN": "true or false"}
    optional = SNAPSHOT[kind]["inputs"][name]["kind"] == "optional"  # where nothing means unconnected
    for wrong in (each for each in WRONG[of_type] if each is not None or not optional):
        said = Comfy().run({**prompt, **give(wired=wrong)}).error
        assert said.startswith(f"{label_of(kind, name)}: expected {expected[of_type]}"), (wrong, said)
        assert "Change it, or the node connected to it." in said and len(said) < 400


def test_whole_numbers_are_told_to_the_last_digit(native: set[str], models: Any) -> None:
    seeds = (2**53 + 1, 2**64 - 1, "9007199254740993", float(2**60))
    for seed in seeds:
        (bits,) = kept(sampled(models, seed=["seed", 0]) | give(seed=seed), ["ours", 0])
        assert bits.seeds == (int(seed),)
    said = (
        Comfy()
        .run(sampled(models, seed=["seed", 0]) | give(seed=2**64) | {"end": node("Keep", value=["ours", 0])})
        .error
    )
    assert f"from 0 to {2**64 - 1}, got '{2**64}'" in said


def test_a_file_that_changes_behind_a_switch_is_read_again(
    pack: dict[str, Any], native: set[str], models: Any, tmp_path: Path
) -> None:
    saved_subject(pack, models, tmp_path)
    prompt = give(file="subject.safetensors") | {
        "ours": node("EchoGenLoadSubject", file=["file", 0]),
        "end": node("Keep", value=["ours", 0]),
    }
    comfy = Comfy()
    comfy.run(prompt)
    assert comfy.run(prompt).ran == []
    file = tmp_path / "input" / "subject.safetensors"
    file.with_name("other.safetensors").write_bytes(file.read_bytes())
    assert comfy.run(prompt).ran == [], "another file is none of its business"
    os.utime(file, ns=(1_700_000_000 * 10**9, 1_700_000_000 * 10**9))
    assert "ours" in comfy.run(prompt).ran


def test_a_model_that_changes_behind_a_switch_is_noticed(
    native: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import folder_paths

    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    folder = tmp_path / "LLM" / "qwen"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"weights")
    ours = node("EchoGenDescribeSubject", image=["photo", 0], phrase="cat", describer=["describer", 0])
    prompt = {**give(describer="auto"), "photo": node("Give", name="photo"), "ours": ours}
    comfy = Comfy()
    first = comfy.run(prompt)
    assert not first.error and "ours" in first.ran and comfy.run(prompt).ran == []
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert "ours" in comfy.run(prompt).ran


# --- numbers, texts and yes or no


def sampled(models: Any, **inputs: Any) -> dict[str, Any]:
    values = dict(
        gamma_t=2.0,
        gamma_i=3.0,
        seed=7,
        batch=1,
        aspect_ratio="1:1",
        size="auto",
        tau=1.0,
        top_p=0.9,
        top_k=0,
    )
    return give(model=models.model) | {
        "ours": node("EchoGenSampler", **{**values, "model": ["model", 0], **inputs})
    }


PRIMITIVES = {
    "seed": ("PrimitiveInt", 11),
    "batch": ("PrimitiveInt", 2),
    "gamma_t": ("PrimitiveFloat", 1.5),
    "tau": ("PrimitiveFloat", 0.5),
}


@pytest.mark.parametrize("name", PRIMITIVES)
def test_primitive_numbers(native: set[str], models: Any, name: str) -> None:
    kind, value = PRIMITIVES[name]
    (typed,) = kept(sampled(models, **{name: value}), ["ours", 0])
    (linked,) = kept(sampled(models, **{name: ["p", 0]}) | {"p": node(kind, value=value)}, ["ours", 0])
    assert all(torch.equal(a, b) for a, b in zip(typed.scales, linked.scales, strict=True))


@pytest.mark.parametrize(
    ("name", "kind", "value", "says"),
    [
        ("gamma_i", "PrimitiveFloat", 9.0, "γ_I (subject): expected a number from 0 to 8, got '9.0'"),
        ("seed", "PrimitiveInt", -1, "seed: expected a whole number from 0 to"),
        ("batch", "PrimitiveInt", 65, "batch size: expected a whole number from 1 to 64, got '65'"),
        ("tau", "Give", float("nan"), "tau: expected a number from 0 to 10, got 'nan'"),
        ("tau", "Give", "warm", "tau: expected a number from 0 to 10, got 'warm'"),
    ],
)
def test_linked_numbers_out_of_range(
    native: set[str], models: Any, name: str, kind: str, value: Any, says: str
) -> None:
    source = give(p=value)["p"] if kind == "Give" else node(kind, value=value)
    prompt = sampled(models, **{name: ["p", 0]}) | {"p": source, "end": node("Keep", value=["ours", 0])}
    assert says in Comfy().run(prompt).error


def test_primitive_texts_and_yes_or_no(native: set[str], models: Any) -> None:
    text = {"grey": node("PrimitiveString", value="#808080")}
    (image,) = kept(
        {**text, "cut": cut(background=["grey", 0], bounding_box=["box", 0])} | give(box=BOX), ["cut", 0]
    )
    assert float(image[0, 0, 0, 0]) == pytest.approx(128 / 255, abs=1e-3)
    two = give(mask=inside() + inside({"x": 2, "y": 40, "width": 4, "height": 4}))
    for value, side in ((True, 30), (False, 42)):
        flag = {"flag": node("PrimitiveBoolean", value=value)}
        (image,) = kept({**two, **flag, "cut": cut(mask=["mask", 0], only_largest=["flag", 0])}, ["cut", 0])
        assert image.shape[1] == pytest.approx(side, abs=4)
    prompt = {"words": node("PrimitiveStringMultiline", value="a toy car")} | give(
        encoder=models.text_encoder
    )
    ours = node("EchoGenEncodeText", text_encoder=["encoder", 0], prompt=["words", 0])
    (features,) = kept({**prompt, "ours": ours}, ["ours", 0])
    assert features.tokens_LC.ndim == 2


def test_a_text_that_is_none(native: set[str]) -> None:
    prompt = give(words=["a", "b"]) | {
        "photo": node("Give", name="photo"), "cut": cut(background=["words", 0]),
    }  # fmt: skip
    assert "background: expected a text" in Comfy().run(prompt).error


# --- boxes


def own_box(native: set[str]) -> list[dict[str, Any]]:
    """Nodes that give BOX, ComfyUI's own where it has them."""
    sources = [give(box=BOX)["box"], give(boxes=[[BOX]])["boxes"]]
    if "PrimitiveBoundingBox" in native:
        sources.append(node("PrimitiveBoundingBox", **BOX))
    return sources


def test_boxes_in(native: set[str]) -> None:
    for source in own_box(native):
        (_, mask) = kept({"box": source, "cut": cut(bounding_box=["box", 0])}, ["cut", 0], ["cut", 1])
        assert mask.shape == (1, 30, 30) and float(mask.mean()) == pytest.approx(24 / 30)
        segment = node(
            "EchoGenSegmentSubject", image=["photo", 0], bounding_box=["box", 0], soften=0.0,
            segmenter="none", backend="transformers",
        )  # fmt: skip
        (mask,) = kept({"box": source, "ours": segment}, ["ours", 0])
        assert float((mask * inside()).sum()) > 0.8 * float(mask.sum()) > 100


def canvas(boxes: list[Any]) -> dict[str, Any]:
    """What an artist has drawn."""
    return {"width": 64, "height": 64, "editor_state": {"__value__": boxes}}


def test_drawn_boxes_in_and_found_ones_out(native: set[str]) -> None:
    whole = dict(
        phrase="", margin=0.0, background="white", threshold=0.3, pick="best score", soften=0.0,
        when_not_found="built-in cut", describer="none", detector="none", segmenter="none", mask_marks="auto",
    )  # fmt: skip
    ours = {"ours": node("EchoGenSubjectSegmentation", image=["photo", 0], **whole)}
    (boxes,) = kept(ours, ["ours", 3])
    assert abs(boxes[0][0]["x"] - BOX["x"]) < 4
    if "CreateBoundingBoxes" not in native:
        return
    drawn = node("CreateBoundingBoxes", **canvas([BOX]))
    _, mask = kept({"draw": drawn, "cut": cut(bounding_box=["draw", 1])}, ["cut", 0], ["cut", 1])
    assert mask.shape == (1, 30, 30)
    nothing = node("CreateBoundingBoxes", **canvas([]))
    (image,) = kept({"draw": nothing, "cut": cut(bounding_box=["draw", 1])}, ["cut", 0])
    assert image.shape[0] == 1
    out = ours | {
        "marked": node("DrawBBoxes", image=["photo", 0], bboxes=["ours", 3]),
        "draw": node("CreateBoundingBoxes", bboxes=["ours", 3], **canvas([])),
    }
    marked, again = kept(out, ["marked", 0], ["draw", 1])
    assert marked.shape == (1, 48, 64, 3) and abs(again[0][0]["width"] - boxes[0][0]["width"]) <= 1


# --- masks


def test_a_mask_turned_round_and_resized(native: set[str]) -> None:
    straight = kept(give(mask=inside()) | {"cut": cut(mask=["mask", 0])}, ["cut", 0])[0]
    turned = {
        "turn": node("InvertMask", mask=["mask", 0]),
        "cut": cut(mask=["turn", 0], mask_marks="background"),
    }
    assert torch.allclose(kept(give(mask=inside()) | turned, ["cut", 0])[0], straight)
    assert torch.allclose(
        kept(give(mask=inside()) | {**turned, "cut": cut(mask=["turn", 0])}, ["cut", 0])[0], straight
    ), "seen by itself: a mask that covers the picture's edge is the ground's"
    if "ResizeImageMaskNode" in native:
        how = {
            "resize_type": "scale by multiplier",
            "resize_type.multiplier": 2.0,
            "scale_method": "nearest-exact",
        }
        grown = {"grow": node("ResizeImageMaskNode", input=["mask", 0], **how), "cut": cut(mask=["grow", 0])}
        (soft,) = kept(give(mask=inside()) | grown, ["cut", 1])
        assert float(soft.sum()) == pytest.approx(24 * 30, rel=0.02), "at the picture's size again"
        behind = {"cut": cut(), "grow": node("ResizeImageMaskNode", input=["cut", 1], **how)}
        mask, image = kept(behind, ["grow", 0], ["cut", 0])
        assert mask.shape[1] == 2 * image.shape[1]


def test_transparency_joined_and_split(native: set[str]) -> None:
    straight = kept(give(mask=inside()) | {"cut": cut(mask=["mask", 0])}, ["cut", 0])[0]
    joined = give(mask=inside()) | {
        "turn": node("InvertMask", mask=["mask", 0]),  # white is transparent there
        "join": node("JoinImageWithAlpha", image=["photo", 0], alpha=["turn", 0]),
        "split": node("SplitImageWithAlpha", image=["join", 0]),
    }
    assert torch.allclose(kept({**joined, "cut": cut(image=["join", 0])}, ["cut", 0])[0], straight)
    parted = cut(image=["split", 0], mask=["split", 1])
    assert torch.allclose(kept({**joined, "cut": parted}, ["cut", 0])[0], straight)
    opaque = {"split": node("SplitImageWithAlpha", image=["photo", 0])} | {"cut": parted}
    image, shown = (
        kept(opaque, ["cut", 0])[0],
        Comfy().run({"photo": node("Give", name="photo"), **opaque}).shown,
    )
    assert image.shape[0] == 1 and "isn't used" in str(shown["cut"]["text"]), (
        "without transparency there is no mask"
    )


def test_several_masks_of_a_picture_are_joined(native: set[str]) -> None:
    """As SAM3 gives them, one for each object, the first picture's first."""
    left, right = {"x": 4, "y": 8, "width": 8, "height": 30}, {"x": 40, "y": 8, "width": 8, "height": 30}
    both = inside(left) + inside(right)
    three = give(masks=torch.cat([inside(left), inside(right), torch.zeros(1, 48, 64)]))
    expected = kept(give(mask=both) | {"cut": cut(mask=["mask", 0])}, ["cut", 0])[0]
    assert torch.equal(kept({**three, "cut": cut(mask=["masks", 0])}, ["cut", 0])[0], expected)
    if "BatchMasksNode" in native:
        batch = node("BatchMasksNode", **{"masks.mask0": ["left", 0], "masks.mask1": ["right", 0]})
        sources = give(left=inside(left), right=inside(right)) | {"batch": batch}
        assert torch.equal(kept({**sources, "cut": cut(mask=["batch", 0])}, ["cut", 0])[0], expected)
    pair = {"pair": node("RepeatImageBatch", image=["photo", 0], amount=2)} | give(
        masks=torch.cat([inside(left), inside(right), inside(left), inside(left)])
    )
    prompt = {**pair, "cut": cut(image=["pair", 0], mask=["masks", 0])}
    images, masks = kept(prompt, ["cut", 0], ["cut", 1])
    assert torch.equal(images[:1], expected) and not torch.equal(masks[0], masks[1])
    shown = Comfy().run({"photo": node("Give", name="photo"), **prompt}).shown["cut"]["text"]
    assert "2 masks per picture" in str(shown), "of several pictures each may have meant another number"
    nothing = give(masks=torch.zeros(0, 48, 64)) | {"cut": cut(mask=["masks", 0])}
    assert kept(nothing, ["cut", 0])[0].shape[0] == 1


def test_several_masks_turned_round_are_joined(native: set[str]) -> None:
    left, right = {"x": 4, "y": 8, "width": 8, "height": 30}, {"x": 40, "y": 8, "width": 8, "height": 30}
    both = give(masks=torch.cat([inside(left), inside(right)]))
    turned = both | {"turned": node("InvertMask", mask=["masks", 0])}
    (expected,) = kept(both | {"cut": cut(mask=["masks", 0])}, ["cut", 1])
    for marks in ("auto", "background"):
        (masks,) = kept(turned | {"cut": cut(mask=["turned", 0], mask_marks=marks)}, ["cut", 1])
        assert torch.equal(masks, expected), marks


# --- loops


class Again:
    """A loop, as ComfyUI has them: a node that goes on as the nodes of one round, and itself."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("IMAGE",), "go_round", "test"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"image": ("IMAGE",), "rounds": ("INT", {"default": 3})}}

    def go_round(self, image: Any, rounds: int) -> dict[str, Any]:
        from comfy_execution.graph_utils import GraphBuilder

        graph = GraphBuilder()
        last = graph.node("EchoGenCutOutSubject", image=image, **{**CUT, "margin": 0.05 * rounds})
        if rounds > 1:
            last = graph.node("Again", image=last.out(0), rounds=rounds - 1)
        return {"result": (last.out(0),), "expand": graph.finalize()}


def test_a_loop_goes_round(native: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import nodes as comfy_nodes

    monkeypatch.setitem(comfy_nodes.NODE_CLASS_MAPPINGS, "Again", Again)
    by_hand: dict[str, Any] = {}
    image = ["photo", 0]
    for rounds in (3, 2, 1):
        by_hand[f"cut{rounds}"] = cut(image=image, margin=0.05 * rounds)
        image = [f"cut{rounds}", 0]
    (expected,) = kept(by_hand, image)
    (looped,) = kept({"again": node("Again", image=["photo", 0], rounds=3)}, ["again", 0])
    assert torch.equal(looped, expected)


# --- lists and batches


@pytest.mark.parametrize(
    ("name", "said"),
    [("image", "image: expected pictures, from"), ("margin", "margin: expected a number from 0 to 0.45")],
)
def test_nothing_over_a_wire_is_said(native: set[str], name: str, said: str) -> None:
    outcome = Comfy().run(
        {**give(nothing=None, photo=Give.values["photo"]), "cut": cut(**{name: ["nothing", 0]})}
    )
    assert said in outcome.error and "got nothing" in outcome.error


def test_a_sampler_without_an_edit_is_named_where_one_is_missing(native: set[str]) -> None:
    paste = node("EchoGenPasteBack", image=["photo", 0], edit=["nothing", 0])
    graph = {**give(nothing=None, photo=Give.values["photo"]), "paste": paste}
    outcome = Comfy().run({**graph, "end": node("Keep", value=["paste", 0])})
    assert "edit: expected an edit" in outcome.error and "bypass Paste Back too" in outcome.error


def test_lists_in_and_out(native: set[str], models: Any, photo: torch.Tensor) -> None:
    Give.values["pictures"] = [photo, photo[:, :, :40]]
    listed = {"list": node("GiveAll", name="pictures"), "cut": cut(image=["list", 0])}
    (images,) = kept(listed, ["cut", 0])
    assert len(images) == 2 and {image.shape[1] for image in images} == {64, 48}
    batch = {
        "pair": node("RepeatImageBatch", image=["photo", 0], amount=3),
        "parts": node("RebatchImages", images=["pair", 0], batch_size=1),
        "one": node("ImageFromBatch", image=["pair", 0], batch_index=1, length=1),
        "cut": cut(image=["parts", 0]),
        "single": cut(image=["one", 0]),
        "all": cut(image=["pair", 0]),
    }
    each, single, every = kept(batch, ["cut", 0], ["single", 0], ["all", 0])
    assert len(each) == 3 and torch.equal(torch.cat(each), every) and torch.equal(single, every[:1])
    swept = dict(
        gamma_t="1, 2", gamma_i="2", vary="nothing", values="", seed=1, aspect_ratio="1:1", size="auto",
        tau=0.0, top_p=0.0, top_k=0,
    )  # fmt: skip
    sweep = give(model=models.model, tokenizer=models.tokenizer) | {
        "sweep": node("EchoGenGammaSweep", model=["model", 0], tokenizer=["tokenizer", 0], **swept),
        "decode": node("EchoGenDecodeBits", bits=["sweep", 1], tokenizer=["tokenizer", 0]),
    }
    assert len(kept(sweep, ["decode", 0])[0]) == 2
