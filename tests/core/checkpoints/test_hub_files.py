"""Files and folders as the hub has them: odd but whole ones load, and what only seems small is refused."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from file_samples import Peak
from safetensors.torch import load_file, save_file
from small_subject_models import write_segmenter

from echogen_core.checkpoints import identify, read_weights
from echogen_core.checkpoints.hub_folder import check_built
from echogen_core.checkpoints.segmentation_models import load_segmenter
from echogen_core.checkpoints.subject_file import load_subject, save_subject
from echogen_core.encoders import build_tokenizer, read_tokenizer
from echogen_core.encoders.text import tokenizer_text
from echogen_core.encoders.tokenizer_file import TOKENIZER_MEMORY_FACTOR, check_tokenizer
from echogen_core.features import ContentFeatures, Subject
from echogen_core.utils.json_text import parse_json

# --- prompt tokenizers


def step(kind: str, **values: Any) -> dict[str, Any]:
    return {"type": kind, **values}


def replace(pattern: str, content: str, kind: str = "String") -> dict[str, Any]:
    return step("Replace", pattern={kind: pattern}, content=content)


def letters_map(longest: int) -> str:
    return base64.b64encode(bytes(4) + b"a\0" + b"b" * longest + b"\0").decode()


BYTES = step("ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=False)
UNIGRAM = step("Unigram", unk_id=0, vocab=[["<unk>", 0.0], ["a" * 1_000_000, -1.0]])
TEXT = {"Sequence": {"id": "A", "type_id": 0}}
AROUND = step("TemplateProcessing", single=[TEXT, *[{"SpecialToken": {"id": "x", "type_id": 0}}] * 3000],
              pair=[],
              special_tokens={"x": {"id": "x", "ids": [0] * 3000, "tokens": ["x"] * 3000}})  # fmt: skip
TWICE = step("TemplateProcessing", single=[TEXT, TEXT], pair=[], special_tokens={})
BOMBS: dict[str, tuple[dict[str, Any], str]] = {
    "doubled 34 times": (
        {"normalizer": step("Sequence", normalizers=[replace("a", "aa")] * 34)}, "characters"),
    "a thousandfold four times": (
        {"normalizer": step("Sequence", normalizers=[replace("a", "a" * 1000)] * 4)}, "characters of one"),
    "sequences of sequences": (
        {"normalizer": step("Sequence", normalizers=[
            step("Sequence", normalizers=[replace("a", "aaa")] * 4)] * 8)}, "characters of one"),
    "an empty pattern": ({"normalizer": replace("", "a" * 5000)}, "characters of one"),
    "a pattern of nothing": ({"normalizer": replace("a*", "a" * 5000, "Regex")}, "characters of one"),
    "a long beginning": ({"normalizer": step("Prepend", prepend="x" * 50_000)}, "characters of one"),
    "a map to a long text": (
        {"normalizer": step("Precompiled", precompiled_charsmap=letters_map(9000))}, "characters of one"),
    "bytes of bytes": (
        {"pre_tokenizer": step("Sequence", pretokenizers=[BYTES] * 20)}, "characters of one"),
    "bytes of bytes before": (
        {"normalizer": step("Sequence", normalizers=[step("ByteLevel")] * 20)}, "characters of one"),
    "steps without end": (
        {"normalizer": step("Sequence", normalizers=[step("Strip")] * 5000)}, "more than 200 steps"),
    "a decoder": ({"decoder": step("Sequence", decoders=[replace("a", "aa")] * 34)}, "characters of one"),
    "tokens around": ({"post_processor": AROUND}, "tokens around each prompt"),
    "the tokens over and over": (
        {"post_processor": step("Sequence", processors=[TWICE] * 34)}, "characters of one"),
    "a deep tree": ({"model": UNIGRAM}, "a piece of 1,000,000 characters"),
    "a long added token": (
        {"added_tokens": [{"id": 0, "content": "a" * 99_999, "special": True}]}, "a piece of 99,999"),
    "a long prefix": (
        {"model": step("WordPiece", vocab={"a": 0}, unk_token="a", continuing_subword_prefix="x" * 99_999)},
        "a piece of 99,999"),
    "long words": (
        {"model": step("WordPiece", vocab={"a": 0}, unk_token="a", max_input_chars_per_word=2**40)},
        "words of up to"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BOMBS))
def test_tokenizers_that_grow_are_refused_before_they_run(name: str, tmp_path: Path) -> None:
    """Each of these ends the process, or takes all of its memory, once the library has it."""
    changes, words = BOMBS[name]
    content = json.loads(build_tokenizer(["a cat"], vocabulary=300).to_str()) | changes
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=f"Can't read the tokenizer .*{words}") as caught:
        read_tokenizer(path)
    assert str(path) in str(caught.value)


KNOWN: dict[str, dict[str, Any]] = {
    "T5": {
        "normalizer": step("Sequence", normalizers=[
            step("Precompiled", precompiled_charsmap=letters_map(18)), step("Strip"),
            replace(" {2,}", "▁", "Regex")]),
        "pre_tokenizer": step("Sequence", pretokenizers=[
            step("WhitespaceSplit"), step("Metaspace", replacement="▁")]),
        "decoder": step("Metaspace", replacement="▁"),
    },
    "ALBERT": {
        "normalizer": step("Sequence", normalizers=[
            replace("``", '"'), replace("''", '"'), step("NFKD"), step("StripAccents"), step("Lowercase"),
            step("Precompiled", precompiled_charsmap=letters_map(18))]),
        "pre_tokenizer": step("Metaspace", replacement="▁"),
    },
    "BERT": {"normalizer": step("BertNormalizer"), "pre_tokenizer": step("BertPreTokenizer")},
    "Qwen": {
        "normalizer": step("NFC"),
        "pre_tokenizer": step("Sequence", pretokenizers=[step("Split", pattern={"Regex": "a"}), BYTES]),
    },
    "Llama": {
        "normalizer": step("Sequence", normalizers=[step("Prepend", prepend="▁"), replace(" ", "▁")]),
        "decoder": step("Sequence", decoders=[replace("▁", " "), step("ByteFallback"), step("Fuse")]),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", list(KNOWN))
def test_the_steps_of_well_known_tokenizers_are_taken(name: str) -> None:
    check_tokenizer({"model": step("BPE", vocab={"a": 0}), **KNOWN[name]})


# --- headers and other JSON


def header(path: Path, text: bytes, body: bytes = b"") -> Path:
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


ONE = b'"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":[' + b'{"a":{"a":{}}},' * 600_000 + b"{}]}",
        b'{"a":[' + b"[]," * 3_000_000 + b"[]]}",
        b"{" + b",".join(b'"%x":0' % number for number in range(1_000_000)) + b"}",
        b'{"__metadata__":{"a":"' + b"a" * 40_000_000 + "😀".encode() + b'"}}',
    ],
    ids=["objects", "lists", "names", "a wide letter"],
)
def test_headers_that_would_take_memory_are_refused_at_once(text: bytes, tmp_path: Path) -> None:
    path = header(tmp_path / "x.safetensors", text)
    start = time.process_time()
    with Peak() as peak, pytest.raises(ValueError, match=r"truncated safetensors file \(it would take"):
        identify(path)
    assert time.process_time() - start < 2
    assert peak.grown < 2 * len(text) + (64 << 20)


@pytest.mark.parametrize(
    "text",
    [
        b'{"__metadata__":null,' + ONE + b"}",
        b'{"w":{"dtype":"F32","shape":[1],"extra":{"a":[1]},"data_offsets":[0,4]}}',
        b'{"__metadata__":{"words":"' + b'[\\"a\\",{}],' * 1_000_000 + b'"},' + ONE + b"}",
        b'{"__metadata__":{"words":"' + b"\\\\" * 1_000_000 + b'"},' + ONE + b"}  ",
    ],
    ids=["no metadata", "more than asked", "signs in a text", "backslashes"],
)
def test_unusual_but_whole_headers_are_read(text: bytes, tmp_path: Path) -> None:
    path = header(tmp_path / "x.safetensors", text, np.float32(3).tobytes())
    assert read_weights(path).tensors["w"].tolist() == [3]
    assert read_weights(path, shapes_only=True).tensors["w"].shape == (1,)


def test_types_that_nothing_computes_with_stand_beside_weights(tmp_path: Path) -> None:
    for kind, shape in (("F4", [8]), ("F8_E8M0", [4]), ("F8_E4M3FNUZ", [4])):
        entries = {
            "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
            "x": {"dtype": kind, "shape": shape, "data_offsets": [4, 8]},
        }
        path = header(tmp_path / "x.safetensors", json.dumps(entries).encode(), b"\0\0\x40\x40\1\2\3\4")
        assert read_weights(path).tensors["w"].tolist() == [3]
        assert read_weights(path).tensors["x"].tolist() == [1, 2, 3, 4]


def test_numbers_without_end_are_told_apart() -> None:
    assert parse_json('{"a": Infinity}', finite=False) == {"a": float("inf")}
    with pytest.raises(ValueError, match="Infinity is not a number"):
        parse_json('{"a": Infinity}')


def test_a_tokenizer_of_gemmas_size_is_read(tmp_path: Path) -> None:
    """Over 33 MB, a quarter of a million pieces of many scripts, half a million merges as lists of two."""
    letters = "abcdefghijklmnopqrstuvwxyzあいうкирил\U0001f600é"
    made = (letters[n % 36] * (1 + n % 7) + str(n) for n in range(260_000))
    vocabulary = {
        piece: number for number, piece in enumerate(dict.fromkeys([*letters, "<pad>", "</s>", *made]))
    }
    pairs = list(vocabulary)
    merges = [[first, second] for _ in range(2) for first, second in zip(pairs, reversed(pairs), strict=True)]
    model = {"type": "BPE", "vocab": vocabulary, "merges": merges}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"added_tokens": [], "model": model}, ensure_ascii=False, indent=2), "utf-8")
    assert path.stat().st_size > 33_000_000
    check_tokenizer(
        parse_json(tokenizer_text(path), reject_duplicate_keys=False, memory_factor=TOKENIZER_MEMORY_FACTOR)
    )
    with pytest.raises(ValueError, match="MB of memory"):
        parse_json(path.read_bytes())


# --- folders


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_segmenter(tmp_path_factory.mktemp("hub") / "sam")


def settings(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


def in_two_files(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(state)
    parts = {"model-1.safetensors": names[:9], "model-2.safetensors": names[8:]}
    for file, members in parts.items():
        save_file({name: state[name] for name in members}, folder / file, {"format": "pt"})
    weight_map = {name: file for file, members in parts.items() for name in members}
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map})
    )


ODD: dict[str, Callable[[Path], Any]] = {
    "large numbers of no meaning": settings(some_seed=2**31 - 1, dataset_size=3_754_622_976, big=10**30),
    "no numbers, of no meaning": settings(router_temp=float("inf"), other=float("nan")),
    "code that is not needed": settings(auto_map={"AutoModel": "someone--else.Model"}),
    "another attention": settings(_attn_implementation="flash_attention_2"),
    "a kernel from elsewhere": settings(attn_implementation="someone/kernel"),
    "numbers of generation": lambda folder: (folder / "generation_config.json").write_text('{"x": NaN}'),
    "an adapter beside": lambda folder: (folder / "adapter_config.json").write_text("{}"),
    "one tensor twice": in_two_files,
}


@pytest.mark.parametrize("name", list(ODD))
def test_settings_that_nothing_uses_are_no_reason_to_refuse(
    name: str, segmenter: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sam"
    shutil.copytree(segmenter, folder)
    ODD[name](folder)
    changed, whole = load_segmenter(folder).state_dict(), load_segmenter(segmenter).state_dict()
    assert changed.keys() == whole.keys()
    assert all(torch.equal(changed[key], tensor) for key, tensor in whole.items())


class Small(torch.nn.Module):
    def __init__(self, _: object) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4096, 4096)


@pytest.mark.parametrize(("dtype", "numbers"), [(torch.uint8, 2), (torch.int32, 8)])
def test_folders_of_four_bits_hold_more_than_they_seem_to(dtype: torch.dtype, numbers: int) -> None:
    def held(count: int) -> dict[str, torch.Tensor]:
        return {"w": torch.empty(count, dtype=dtype, device="meta")}

    check_built(Small, None, held(4096 * 4096 // numbers))
    with pytest.raises(ValueError, match="the files have"):
        check_built(Small, None, held(4096 * 4096 // numbers // 2))


# --- subjects


def test_subjects_that_a_node_can_make(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    save_subject(path, Subject(None, ContentFeatures(torch.zeros(1, 4, 300, 300), np.float64(1.5))))
    content = load_subject(path).content
    assert content is not None and content.strength == 1.5 and content.latents_VCHW.shape[-1] == 300
    save_file({"content.latents": torch.zeros(1, 4, 3, 3)}, path, {
        "format": "echogen", "version": "1", "kind": "subject", "content.strength": "3.0"})  # fmt: skip
    with pytest.raises(ValueError, match=r"content\.strength: expected 0 to 2, got 3\.0") as caught:
        load_subject(path)
    assert "damaged" not in str(caught.value)
