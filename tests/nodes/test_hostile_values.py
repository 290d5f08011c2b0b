"""Values that do not belong, up to the largest: an error in words, soon, before memory is taken."""

from __future__ import annotations

import io
import logging
import sys
import time
from itertools import count
from typing import Any

import graphs
import pytest
import torch
from graphs import Comfy, Give, node

import comfy_pack

SOON = 5.0  # seconds, on a busy machine; most of them take none


def module(name: str) -> Any:
    """A module of the pack's nodes."""
    comfy_pack.load_pack()
    return sys.modules[f"{comfy_pack.PACK}.nodes.{name}"]


@pytest.fixture(scope="module")
def comfy(pack: dict[str, Any]) -> Comfy:
    graphs.register()
    return Comfy()


_numbers = count()


def gives(value: Any) -> dict[str, Any]:
    """A node that gives this, unlike any before it."""
    name = f"any {next(_numbers)}"
    Give.values[name] = value
    return node("Give", name=name)


def given(comfy: Comfy, value: Any, kind: str, field: str, **inputs: Any) -> str:
    """What a node says of a value that comes over a link of any type."""
    prompt = {"any": gives(value), "node": node(kind, **{field: ["any", 0]}, **inputs)}
    if kind != "EchoGenSaveSubject":
        prompt["end"] = node("Keep", value=["node", 0])
    return comfy.run(prompt).error


@pytest.mark.parametrize(
    "text",
    ["1" * 9_999, "1" * 100_000 + "x", "1," * 1_000_000, "0-1" + "0" * 5_000, f"0-8 [{'9' * 5_000}]",
     "0-9999999999 (+0.0000001)", "\ud800", "\0", "-" * 9_000, "1e400", "nan", "٣٤" * 4_000],
)  # fmt: skip
def test_lists_of_numbers(text: str, pack: dict[str, Any]) -> None:
    from echogen_core.utils.number_list import parse_numbers

    start = time.perf_counter()
    with pytest.raises(ValueError) as raised:
        parse_numbers(text, "γ_t", 0.0, 8.0, 12)
    assert time.perf_counter() - start < SOON
    words = str(raised.value)
    assert words.startswith("γ_t: expected") and len(words) < 500 and words.isprintable()


@pytest.mark.parametrize("value", ["a", 3, {"a": 1}, b"\xff", object(), torch.zeros(2, 2), 10**400, True])
@pytest.mark.parametrize(
    ("kind", "field", "inputs", "wanted"),
    [
        ("EchoGenEncodeText", "text_encoder", {"prompt": "a"}, "a text encoder, from Load EchoGen"),
        (
            "EchoGenSaveSubject",
            "semantic",
            {"filename_prefix": "a"},
            "semantic features, from Encode Semantic",
        ),
        ("EchoGenSaveSubject", "content", {"filename_prefix": "a"}, "content features, from Encode Content"),
    ],
)
def test_sockets_say_what_they_take(
    kind: str, field: str, inputs: dict[str, Any], wanted: str, value: Any, comfy: Comfy
) -> None:
    said = given(comfy, value, kind, field, **inputs)
    label = field.replace("_", " ")
    assert f"{label}: expected {wanted}, got " in said and len(said) < 300


def test_tokenizers_do_not_pass_for_encoders(comfy: Comfy, models: Any) -> None:
    said = given(comfy, models.tokenizer, "EchoGenEncodeText", "text_encoder", prompt="a")
    assert "text encoder: expected a text encoder" in said


@pytest.mark.parametrize("shape", [(64, 16384, 16384, 3), (1, 8, 10**10, 3), (10**7, 512, 512, 4)])
def test_pictures_that_memory_does_not_hold(shape: tuple[int, ...], comfy: Comfy) -> None:
    cut = dict(margin=0.08, background="white", mask_marks="auto")
    said = given(comfy, torch.tensor(0.5).expand(shape), "EchoGenCutOutSubject", "image", **cut)
    assert "main memory" in said and "fewer" in said


def test_boxes_by_the_thousand(comfy: Comfy) -> None:
    boxes = [{"x": 1, "y": 1, "width": 9, "height": 9}] * 5000
    widgets = {"soften": 0.0, "segmenter": "auto", "backend": "transformers"}
    segment = node("EchoGenSegmentSubject", image=["photo", 0], bounding_box=["any", 0], **widgets)
    prompt = {"photo": gives(torch.rand(1, 64, 64, 3)), "any": gives(boxes), "node": segment}
    assert "at most 300 bounding boxes" in comfy.run(prompt).error


def test_links_that_lead_nowhere_are_taken_out_or_unwrapped(pack: dict[str, Any]) -> None:
    clean = module("prompt_cleaning").cleaned
    link, wrapped = ["gone", 0], {"__value__": ["gone", 0]}
    inputs = {"image": wrapped, "bogus": link, "odd": wrapped, "kept": "text", "list": {"__value__": [1, 2]}}
    prompt = {
        "ours": {"class_type": "Ours", "inputs": dict(inputs)},
        "other": {"class_type": "Other", "inputs": dict(inputs)},
        "broken": {"class_type": ["Ours"], "inputs": 3},
        "none": None,
    }
    after = clean({"prompt": prompt}, {"Ours": {"image"}})["prompt"]
    assert after["ours"]["inputs"] == {"image": link, "kept": "text", "list": {"__value__": [1, 2]}}
    assert after["other"]["inputs"] == inputs
    for odd in ([], "a", None, {"a": []}):
        assert clean({"prompt": odd}, {"Ours": {"image"}}) == {"prompt": odd}


@pytest.mark.parametrize("odd", [[], ["image"], "image", None, 5, ...], ids=str)
def test_inputs_that_are_no_mapping_are_none(odd: Any, pack: dict[str, Any]) -> None:
    clean = module("prompt_cleaning").cleaned
    given = {} if odd is ... else {"inputs": odd}
    request = {"prompt": {"a": {"class_type": "Ours", **given}, "b": {"class_type": "Other", **given}}}
    after = clean(request, {"Ours": {"image"}})["prompt"]
    assert after == {"a": {"class_type": "Ours", "inputs": {}}, "b": {"class_type": "Other", **given}}


def test_a_workflow_for_pictures_that_is_none_is_left_out(pack: dict[str, Any]) -> None:
    clean = module("prompt_cleaning").cleaned
    ours, other = ({"a": {"class_type": kind, "inputs": {}}} for kind in ("Ours", "Other"))
    for odd in (5, "x", [1], None):
        extra = {"extra_pnginfo": odd, "client_id": "c"}
        after = clean({"prompt": ours, "extra_data": dict(extra)}, {"Ours": set()})
        assert after["extra_data"] == {"client_id": "c"}
        assert clean({"prompt": other, "extra_data": dict(extra)}, {"Ours": set()})["extra_data"] == extra
    whole = {"prompt": ours, "extra_data": {"extra_pnginfo": {"workflow": {}}}}
    assert clean(whole, {"Ours": set()})["extra_data"] == {"extra_pnginfo": {"workflow": {}}}


@pytest.mark.parametrize(("encoding", "text"), [("cp1252", "γ_t"), ("ascii", "×"), ("utf-8", "\ud800")])
def test_a_message_that_the_log_cannot_write_ends_nothing(
    encoding: str, text: str, pack: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding, line_buffering=True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    module("log_encoding").escape_unencodable_text()
    log = logging.getLogger("hostile")
    log.propagate = False
    log.handlers = [logging.StreamHandler(stream)]
    try:
        raise ValueError(text)
    except ValueError as error:
        log.error("failed: %s", error, exc_info=True)  # as ComfyUI does where a node has failed
    assert b"failed: " in written.getvalue() and b"Logging error" not in written.getvalue()
