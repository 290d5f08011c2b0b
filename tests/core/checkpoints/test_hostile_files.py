"""Files that lie are refused in words, each kind, before anything is built from them; odd ones are not."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from mutations import ZIP_ENTRY
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from echogen_core.checkpoints import identify, load_part, load_tokenizer, read_weights, save_part
from echogen_core.checkpoints.format import KINDS, write_metadata
from echogen_core.checkpoints.segmentation_models import load_segmenter
from echogen_core.checkpoints.subject_file import load_subject, save_subject
from echogen_core.config import TokenizerConfig
from echogen_core.encoders import (
    ContentEncoder,
    ContentEncoderConfig,
    SemanticEncoderConfig,
    build_tokenizer,
    read_tokenizer,
    resample_position_embedding,
)
from echogen_core.features import ContentFeatures, SemanticFeatures, Subject

GOLDEN = Path(__file__).parents[2] / "golden"
LONGEST = 30.0
"""Seconds of a refusal, the first import of a library on a busy machine included."""
TOKENIZER = GOLDEN / "vae_tiny_d16_weights.safetensors"
TRANSFORMER = GOLDEN / "echogen_tiny_weights.safetensors"


def refused(call: Callable[[Path], Any], path: Path, words: str | None = None) -> str:
    """The message of a refusal, which comes quickly and in little memory, and names the file."""
    before, start = psutil.Process().memory_info().rss, time.perf_counter()
    with pytest.raises((ValueError, FileNotFoundError), match=words) as caught:
        call(path)
    assert type(caught.value) in (ValueError, FileNotFoundError), type(caught.value)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 3000
    assert str(caught.value).replace("\n", " ").isprintable()
    assert time.perf_counter() - start < LONGEST
    assert psutil.Process().memory_info().rss - before < 300e6
    return str(caught.value)


# --- the records of a .pth


@pytest.fixture
def records() -> dict[str, bytes]:
    """Of a BSQ tokenizer as published: name -> content."""
    out = io.BytesIO()
    torch.save({"vae": load_file(TOKENIZER)}, out)
    with zipfile.ZipFile(out) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def write_zip(path: Path, records: dict[str, bytes], packed: Callable[[str], bool] = lambda _: False) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in records.items():
            archive.writestr(name, body, zipfile.ZIP_DEFLATED if packed(name) else zipfile.ZIP_STORED)
    return path


def test_records_that_are_written_by_another_program_are_read(
    records: dict[str, bytes], tmp_path: Path
) -> None:
    loaded = load_tokenizer(write_zip(tmp_path / "x.pth", records))
    for name, tensor in load_tokenizer(TOKENIZER).state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_packed_records_are_refused(records: dict[str, bytes], tmp_path: Path) -> None:
    for packed in (lambda name: True, lambda name: name.endswith("/data/3"), lambda name: "data.pkl" in name):
        path = write_zip(tmp_path / "x.pth", records, packed)
        for call in (identify, load_tokenizer):
            refused(call, path, "is packed or encrypted")


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    body = {"x/data.pkl": b"\x80\x02}." + bytes(200 << 20), "x/version": b"3\n"}
    path = write_zip(tmp_path / "x.pth", body, lambda name: "data.pkl" in name)
    del body
    assert path.stat().st_size < 1 << 20
    refused(identify, path, "is packed")


@pytest.mark.parametrize("change", ["half", "empty", "longer", "missing"])
def test_records_of_another_size_are_refused(change: str, records: dict[str, bytes], tmp_path: Path) -> None:
    name = next(name for name, body in records.items() if "/data/" in name and len(body) > 100)
    body = records.pop(name)
    if change != "missing":
        records[name] = {"half": body[: len(body) // 2], "empty": b"", "longer": body + b"1234"}[change]
    refused(
        identify, write_zip(tmp_path / "x.pth", records), f"is (missing|of {len(records.get(name, b''))})"
    )


@pytest.mark.parametrize("field", [name for name in ZIP_ENTRY if name != "crc"])
@pytest.mark.parametrize("value", ["0", "half", "less", "more", "all"])
def test_a_table_of_contents_that_lies_is_refused(
    field: str, value: str, records: dict[str, bytes], tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "x.pth", records)
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\1\2", content.index(b"PK\1\2") + 300)
    place, length = entry + ZIP_ENTRY[field][0], ZIP_ENTRY[field][1]
    old = int.from_bytes(content[place : place + length], "little")
    new = {"0": 0, "half": old // 2, "less": max(0, old - 1), "more": old + 1, "all": 2 ** (8 * length) - 1}[
        value
    ]
    if new == old:
        return
    content[place : place + length] = new.to_bytes(length, "little")
    path.write_bytes(content)
    refused(identify, path, "damaged or truncated")


def test_records_over_each_other_or_twice_are_refused(records: dict[str, bytes], tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.pth", records)
    content = bytearray(path.read_bytes())
    first = content.index(b"PK\1\2")
    second = content.index(b"PK\1\2", first + 4)
    content[second + 42 : second + 46] = content[first + 42 : first + 46]
    path.write_bytes(content)
    refused(identify, path, "damaged or truncated")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as archive:
        for name in ("x/data.pkl", "x/version", "x/version"):
            archive.writestr(name, b"\x80\x02}.")
    refused(identify, path, "two records have one name")


@pytest.mark.parametrize("name", ["data.pkl", "data/1"])
def test_checksums_of_small_records_are_compared(
    name: str, records: dict[str, bytes], tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "x.pth", records)
    top = next(iter(records)).partition("/")[0]
    content = bytearray(path.read_bytes())
    place = content.index(records[f"{top}/{name}"])
    content[place] ^= 1
    path.write_bytes(content)
    refused(load_tokenizer, path, "checksum")


def test_files_without_checksums_are_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"vae": load_file(TOKENIZER)}, tmp_path / "x.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert identify(tmp_path / "x.pth").kind == "tokenizer"
    load_tokenizer(tmp_path / "x.pth")


def test_archives_of_other_things_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    refused(identify, write_zip(path, {"a.txt": b"", "b.txt": b""}), "not of an archive of torch")
    refused(identify, write_zip(path, {"a/constants.pkl": b"", "a/data.pkl": b""}), "TorchScript")


# --- the pickle of a .pth

DEEP = 50_000
PICKLES: dict[str, tuple[bytes, str]] = {
    "a dict in itself": (b"}q\0X\1\0\0\0ah\0s.", "without end"),
    "deep dicts": (b"}X\1\0\0\0a" * 20_000 + b"}" + b"s" * 20_000 + b".", "without end"),
    "a deep key": (b"}" + b")" + b"\x85" * DEEP + b"Ns.", "a key of the type tuple"),
    "a deep set": (b"cbuiltins\nset\n](" + b")" + b"\x85" * DEEP + b"e\x85R.", "not named tensors"),
    "a dict of dicts": (b"}}Ns.", "a key of the type dict"),
    "many dicts": (b"}" * 2_000_000 + b".", "never ends"),
    "a large byte array": (b"cbuiltins\nbytearray\n\x8a\6\0\0\0\0\0\x10\x85R.", "plain settings"),
    "a large storage": (b"ctorch\nFloatStorage\n\x8a\5\0\0\0\0\2\x85R.", "a call of torch.FloatStorage"),
    "a large tensor": (b"ctorch\nTensor\nJ\xff\xff\xff\x7f\x85R.", "a call of torch.Tensor"),
    "a tensor class": (b"ctorch\nFloatTensor\nJ\xff\xff\xff\x7f\x85R.", "a call of torch.FloatTensor"),
    "a sparse tensor": (b"ctorch._utils\n_rebuild_sparse_tensor\n)R.", "not named tensors"),
    "a quantised tensor": (b"ctorch._utils\n_rebuild_qtensor\n)R.", "not named tensors"),
    "code": (b"cos\nsystem\nX\4\0\0\0true\x85R.", "wants to run code"),
    "code by its name alone": (b"}X\1\0\0\0acos\nsystem\ns.", "wants to run code"),
    "code by another instruction": (b"(ios\nsystem\n.", "nothing that torch writes"),
    "a far place in the memo": (b"}r\xff\xff\xff\x7f.", ""),
    "nothing in the memo": (b"h\7.", "lacks what it needs"),
    "no stack": (b"s.", "lacks what it needs"),
    "a dict copied over and over": (
        b"ccollections\nOrderedDict\nq\1}q\0("
        + b"".join(b"J" + struct.pack("<i", n) + b"N" for n in range(50_000))
        + b"u"
        + b"h\1h\0\x85R" * 1000
        + b".",
        "over and over",
    ),
    "a text copied over and over": (
        b"X" + struct.pack("<I", 1 << 20) + bytes(1 << 20) + b"q\0"
        + b"c_codecs\nencode\nh\0X\6\0\0\0latin1\x86R" * 100 + b".",
        "over and over",
    ),
    "keys of one hash": (
        b"}("
        + b"".join(b"\x8a\x0a" + (n * (2**61 - 1)).to_bytes(10, "little") + b"N" for n in range(1, 50_000))
        + b"u.",
        "",
    ),
    "methods replaced": (
        b"ccollections\nOrderedDict\n)R}X\5\0\0\0itemsNsb.",
        "",
    ),
    "another reader's names": (b"X\1\0\0\0aQ.", "a storage of an unknown form"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(PICKLES))
def test_pickles_that_take_a_reader_down(name: str, tmp_path: Path) -> None:
    body, words = PICKLES[name]
    path = write_zip(tmp_path / "x.pth", {"x/data.pkl": b"\x80\2" + body, "x/version": b"3\n"})
    if not words:  # a dict without tensors, whole
        assert identify(path).kind is None
        return
    for call in (identify, load_tokenizer):
        refused(call, path, words)


def tensor_pickle(
    count: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...], zipped: bool = True
) -> bytes:
    """{"a": a float32 tensor} over a storage of so many numbers."""

    def number(value: int) -> bytes:
        return b"\x8a\x08" + struct.pack("<q", value)

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    kind, place = text("storage") + b"ctorch\nFloatStorage\n", text("0") + text("cpu")
    storage = b"(" + kind + place + number(count) + (b"" if zipped else b"N") + b"tQ"  # N: no view of another
    hooks = b"ccollections\nOrderedDict\n)R"
    inner = storage + number(offset) + numbers(size) + numbers(stride) + b"\x89" + hooks
    return b"\x80\2}" + text("a") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + inner + b"tRs."


@pytest.mark.parametrize(
    ("count", "offset", "size", "stride"),
    [
        (6, 1, (2, 3), (3, 1)),
        (6, 0, (7,), (1,)),
        (6, 0, (2, 3), (6, 1)),
        (6, 0, (2**40, 2**40), (0, 0)),
        (6, 6, (100,), (0,)),
        (6, 0, (2**40, 2**40), (1, 1)),
        (6, -1, (2, 3), (3, 1)),
        (6, 0, (-2, 3), (3, 1)),
        (6, 0, (2, 3), (-3, 1)),
        (6, 0, (2, 3), (3,)),
        (2**61, 0, (2, 3), (3, 1)),
        (5, 0, (2, 3), (3, 1)),
        (6, 0, (1,) * 100, (1,) * 100),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_that_reach_past_their_storage(
    count: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...], zipped: bool, tmp_path: Path
) -> None:
    body, numbers = tensor_pickle(count, offset, size, stride, zipped), bytes(24)
    path = tmp_path / "x.pth"
    if zipped:
        write_zip(path, {"x/data.pkl": body, "x/data/0": numbers, "x/version": b"3\n"})
    else:
        path.write_bytes(stream(body, [b"0"], [(6, numbers)]))
    refused(read_weights, path, "damaged or truncated")
    refused(identify, path, "damaged or truncated")


def stream(body: bytes, keys: list[bytes], storages: list[tuple[int, bytes]], **system: Any) -> bytes:
    """A file of torch's older format."""
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}} | system
    heads = (0x1950A86A20F9469CFC6C, 1001, facts)
    names = b"\x80\2](" + b"".join(b"X" + struct.pack("<I", len(key)) + key for key in keys) + b"e."
    numbers = b"".join(struct.pack("<q", count) + content for count, content in storages)
    return b"".join(pickle.dumps(head, 2) for head in heads) + body + names + numbers


def test_the_older_stream_in_every_wrong_size(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    body, numbers = tensor_pickle(6, 0, (2, 3), (3, 1), zipped=False), struct.pack("<6f", *range(6))
    path.write_bytes(stream(body, [b"0"], [(6, numbers)]))
    assert read_weights(path).tensors["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read_weights(path, shapes_only=True).tensors["a"].is_meta
    lies = [
        stream(body, [b"0"], [(7, numbers)]),
        stream(body, [b"0"], [(2**60, numbers)]),
        stream(body, [b"0"], [(-1, numbers)]),
        stream(body, [b"1"], [(6, numbers)]),
        stream(body, [], []),
        stream(body, [b"0", b"0"], [(6, numbers), (6, numbers)]),
        stream(body, [b"0"], [(6, numbers[:-1])]),
        stream(body, [b"0"], [(6, numbers)], little_endian=False),
        stream(tensor_pickle(2**40, 0, (2, 3), (3, 1), zipped=False), [b"0"], [(2**40, numbers)]),
    ]
    for lie in lies:
        path.write_bytes(lie)
        for call in (identify, read_weights):
            refused(call, path, "damaged or truncated")


def test_unusual_but_whole_checkpoints_are_read(tmp_path: Path) -> None:
    class Settings(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.tensor(3))
            self.register_parameter("w", nn.Parameter(torch.arange(6.0).reshape(2, 3)))

    parameter = nn.Parameter(torch.ones(2))
    parameter.kept = "an attribute"  # type: ignore[attr-defined]
    shared = torch.arange(4.0)
    state: OrderedDict[str, Any] = Settings().state_dict()
    content = {
        "module": state, "also": state, "shared": shared, "part": shared[1:3], "turned": state["w"].T,
        3: None, "parameter": parameter, "plain": nn.Parameter(torch.zeros(1)), "empty": torch.zeros(0, 3),
        (0, "a"): 1, "truth": torch.tensor([True]), "set": {1, 2},
        "dtype": torch.bfloat16, "shape": torch.Size([1, 2]), "device": torch.device("cpu"), "bytes": b"ab",
        "complex": 1j, "list": [torch.ones(1), {"a": 1.5}], "numbers": torch.ones(2, dtype=torch.complex64),
        "text": "猫", "long": 2**70, "array": bytearray(b"xyz"),
    }  # fmt: skip
    eighth = {"eighth": torch.ones(2, dtype=torch.float8_e4m3fn)}  # torch's older stream has no place for it
    for zipped in (True, False):
        path = tmp_path / f"{zipped}.pth"
        content = content | eighth if zipped else {n: v for n, v in content.items() if n != "eighth"}
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        real, shapes = read_weights(path).tree, read_weights(path, shapes_only=True).tree
        assert list(real) == list(shapes) and "list" not in real
        for name, value in real.items():
            if isinstance(value, Tensor):
                assert torch.equal(value, content[name]) and type(value) is Tensor
                assert (value.shape, value.dtype) == (shapes[name].shape, shapes[name].dtype)
        assert torch.equal(real["module"]["w"], torch.arange(6.0).reshape(2, 3))
        assert real["also"] is real["module"], "one mapping stays one"
        assert real["turned"].stride() == shapes["turned"].stride() == (1, 3)


def test_numbers_of_another_byte_order_are_turned(records: dict[str, bytes], tmp_path: Path) -> None:
    body = {"x/data.pkl": tensor_pickle(6, 0, (2, 3), (3, 1)), "x/data/0": struct.pack(">6f", *range(6))}
    path = write_zip(tmp_path / "x.pth", {**body, "x/version": b"3\n", "x/byteorder": b"big"})
    assert read_weights(path).tensors["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    path = write_zip(tmp_path / "y.pth", {**body, "x/version": b"3\n", "x/byteorder": b"odd"})
    refused(read_weights, path, "byte order")


# --- safetensors


def write_header(path: Path, header: Any, body: bytes) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def entry(begin: int, end: int, shape: list[Any] | None = None, dtype: Any = "F32") -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": [(end - begin) // 4] if shape is None else shape,
        "data_offsets": [begin, end],
    }


HEADERS: dict[str, Any] = {
    "overlapping": {"a": entry(0, 16), "b": entry(8, 32)},
    "the same place": {"a": entry(0, 32), "b": entry(0, 32)},
    "a gap": {"a": entry(0, 8), "b": entry(16, 32)},
    "uncovered at the end": {"a": entry(0, 16)},
    "past the end": {"a": entry(0, 64)},
    "not from the start": {"a": entry(8, 32)},
    "backwards": {"a": {"dtype": "F32", "shape": [2], "data_offsets": [32, 0]}},
    "other bytes than the shape": {"a": entry(0, 32, [7])},
    "a shape without end": {"a": entry(0, 32), "b": entry(32, 32, [2**40, 2**40])},
    "a zero beside too much": {"a": entry(0, 32), "b": entry(32, 32, [0, 2**63])},
    "axes without end": {"a": entry(0, 32), "b": entry(32, 32, [0] * 1000)},
    "truth as a size": {"a": entry(0, 32), "b": entry(32, 36, [True])},
    "a fraction as a size": {"a": entry(0, 32, [8.0])},
    "a negative size": {"a": entry(0, 32, [-8])},
    "an unknown type": {"a": entry(0, 32, [8], "F33")},
    "a type that is a list": {"a": entry(0, 32, [8], ["F32"])},
    "no type": {"a": {"shape": [8], "data_offsets": [0, 32]}},
    "more than asked, without end": b'{"a":{"x":[' + b'{"a":1},' * 2_000_000 + b"{}]}}",
    "a zero beside what no memory holds": {"a": entry(0, 32), "b": entry(32, 32, [0, 2**47, 2**47])},
    "null": {"a": None},
    "metadata that are numbers": {"__metadata__": {"format": 1}, "a": entry(0, 32)},
    "metadata that are a list": {"__metadata__": ["pt"], "a": entry(0, 32)},
    "one name twice": b'{"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]},'
    b'"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]}}',
    "a setting twice": b'{"a":{"dtype":"F32","shape":[8],"shape":[8],"data_offsets":[0,32]}}',
    "no number": b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,32]}}',
    "digits without end": b'{"a":{"dtype":"F32","shape":[' + b"9" * 9999 + b'],"data_offsets":[0,32]}}',
    "depth": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "no JSON": b'{"a":',
    "not UTF-8": b'{"\xff\xfe":1}',
}


@pytest.mark.parametrize("name", list(HEADERS))
def test_headers_that_lie(name: str, tmp_path: Path) -> None:
    path = write_header(tmp_path / "x.safetensors", HEADERS[name], bytes(32))
    for call in (identify, read_weights):
        refused(call, path, "damaged or truncated safetensors file")


@pytest.mark.parametrize("size", [0, 2, 33, 10**9, 2**63, 2**64 - 1])
def test_a_header_of_a_length_that_is_not_there(size: int, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(size.to_bytes(8, "little") + b'{"a": {}, "b": {}}')
    refused(identify, path, "damaged or truncated")


def test_types_without_arithmetic_are_named_and_read_as_bytes(tmp_path: Path) -> None:
    header = {"double_blocks.0.x": entry(0, 16, [4]), "f": entry(16, 32, [16], "F8_E8M0")}
    path = write_header(tmp_path / "x.safetensors", header, bytes(range(32)))
    assert identify(path).title == "a FLUX diffusion model"
    assert read_weights(path).tensors["f"].tolist() == [*range(16, 32)]
    write_header(path, {**header, "f": entry(16, 28, [16], "F6_E2M3")}, bytes(28))
    refused(read_weights, path, "numbers of type F6_E2M3")


def test_tensors_without_numbers_are_read(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(0, 3), "b": torch.ones(2), "c": torch.zeros(())}, tmp_path / "x.safetensors")
    assert [list(t.shape) for t in read_weights(tmp_path / "x.safetensors").tensors.values()] == [
        [0, 3],
        [2],
        [],
    ]


# --- our own configurations


def own_file(path: Path, kind: str, config: Any, state: dict[str, Tensor] | None = None) -> Path:
    metadata = write_metadata(kind, TokenizerConfig(bits=8)) | {"kind": kind}
    metadata["config"] = config if isinstance(config, str) else json.dumps(config)
    save_file(state or {"a": torch.zeros(2)}, path, metadata)
    return path


WHOLE: dict[str, dict[str, Any]] = {
    "transformer": {"depth": 1, "width": 64, "heads": 4, "bits": 8, "text_width": 128, "text_length": 4},
    "tokenizer": {"bits": 8, "base_channels": 32, "channel_multipliers": [1, 1], "res_blocks": 1},
    "text": {"vocabulary": 300, "width": 32, "depth": 1, "heads": 2, "head_width": 16, "hidden": 48},
    "semantic": {"image_size": 28, "width": 64, "depth": 1, "heads": 1},
    "content": {"base_channels": 32, "res_blocks": 1},
}
VALUES = (
    10**9, 10**30, 2**31, 2**63, 0, -1, True, None, "8", [], [8], {}, 1.5, 1e308, "\ud800", [10**9],
    [1] * 10**5,
)  # fmt: skip


@pytest.mark.parametrize("kind", list(KINDS))
def test_no_setting_builds_what_the_file_has_no_tensors_for(kind: str, tmp_path: Path) -> None:
    """Every setting with every strange value: refused at once, by name or by what is missing."""
    path = tmp_path / "x.safetensors"
    build_tokenizer(["a cat"], vocabulary=300).save(str(tmp_path / "tokenizer.json"))
    start = time.perf_counter()
    for name in WHOLE[kind]:
        for value in VALUES:
            own_file(path, kind, {**WHOLE[kind], name: value})
            refused(lambda path: load_part(path, kind), path)
    assert time.perf_counter() - start < 60


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        ("[]", "expected a JSON object"),
        ("null", "expected a JSON object"),
        ("{", "can't read its configuration"),
        ('{"bits": NaN}', "NaN is not a number"),
        ('{"bits": 8, "bits": 9}', "a name occurs twice"),
        ('{"bits": ' + "9" * 5000 + "}", "can't read its configuration"),
        ("{}", "missing settings bits"),
        ('{"bits": 8, "\\u001b[31m": 1}', "unknown settings"),
        ('{"bits": 8, "base_channels": 48}', "multiple of norm_groups"),
        ('{"bits": 8, "res_blocks": 3, "channel_multipliers": [1]}', "res_blocks is 3, but the file has"),
    ],
)
def test_a_configuration_that_cannot_be_read(config: str, words: str, tmp_path: Path) -> None:
    path = own_file(tmp_path / "x.safetensors", "tokenizer", config)
    for call in (identify, load_tokenizer):
        refused(call, path, words)


def test_scales_of_another_shape_do_not_spread(tmp_path: Path) -> None:
    state = {"conv_out.weight": torch.zeros(100_000, 1), "conv_out.weight_scale": torch.zeros(1, 100_000)}
    others = {str(number): torch.zeros(1) for number in range(9)}
    path = own_file(tmp_path / "x.safetensors", "content", WHOLE["content"], {**state, **others})
    refused(lambda path: load_part(path, "content"), path, r"conv_out\.weight \[100000, 1\]")


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.complex64])
def test_weights_that_are_no_floating_point(dtype: torch.dtype, tmp_path: Path) -> None:
    encoder = ContentEncoder(ContentEncoderConfig(8, (1, 2), 1, 4, 4, reference_size=32))
    path = save_part(tmp_path / "x.safetensors", "content", encoder, encoder.config)
    state = load_file(path)
    state["conv_in.bias"] = state["conv_in.bias"].to(dtype)
    save_file(state, path, write_metadata("content", encoder.config))
    refused(lambda path: load_part(path, "content"), path, r"another shape or type: conv_in\.bias")


# --- shapes of published files

SHAPES: tuple[list[int], ...] = ([], [0], [1], [0, 0], [3, 0], [1 << 20, 0], [2, 0, 3, 3], [1] * 6)


@pytest.mark.parametrize("source", [TRANSFORMER, TOKENIZER])
def test_shapes_that_no_model_has(source: Path, tmp_path: Path) -> None:
    state = load_file(source)
    path, kind = tmp_path / "x.pth", identify(source).kind
    assert kind is not None
    needed = [name for name in state if not name.endswith(("zero_k_bias", ".zero"))]
    for index, name in enumerate(needed[::20]):
        strange = {**state, name: torch.zeros(SHAPES[index % len(SHAPES)])}
        torch.save(strange, path)
        refused(lambda path: load_part(path, kind), path)
    names = {f"{name}.9": t for name, t in state.items()}
    for other in (names, {**state, "blocks.99999999999.x": torch.zeros(1)}, {"vae": {"encoder": {}}}):
        torch.save(other, path)
        refused(lambda path: load_part(path, kind), path)


@pytest.mark.parametrize("shape", [[], [5], [1, 5], [1, 1, 8], [0, 5, 8], [1, 6, 8], [2, 5, 8], [1, 5, 8, 1]])
def test_position_tables_of_no_grid(shape: list[int]) -> None:
    with pytest.raises(ValueError, match="square grid of positions"):
        resample_position_embedding(torch.zeros(shape), 4)


def test_position_tables_are_not_made_larger_than_sensible() -> None:
    with pytest.raises(ValueError, match="at most 256 patches"):
        SemanticEncoderConfig(image_size=4096, patch=1)


# --- folders


def text_folder(folder: Path, index: Any) -> Path:
    save_file({"a": torch.zeros(1)}, folder / "model-1.safetensors")
    text = index if isinstance(index, bytes) else json.dumps(index).encode()
    (folder / "model.safetensors.index.json").write_bytes(text)
    return folder


@pytest.mark.parametrize(
    "index",
    [
        {"weight_map": {"a": None}}, {"weight_map": {"a": 1}}, {"weight_map": {"a": ["x"]}},
        {"weight_map": {}}, {"weight_map": []}, {"weight_map": None}, {}, [], None, 3, "x",
        {"weight_map": {"a": "../../../etc/passwd"}}, {"weight_map": {"a": "/etc/passwd"}},
        {"weight_map": {"a": "C:\\x.safetensors"}}, {"weight_map": {"a": ".."}},
        {"weight_map": {"a": "9" * 5000}}, {"weight_map": {"a": ""}},
        {"weight_map": {"a": "model.safetensors.index.json"}}, {"weight_map": {"a": "\ud800"}},
        {"weight_map": {"a": "\x00"}}, {"weight_map": {"a": "sub/model.safetensors"}},
        {"weight_map": {str(number): f"{number}.safetensors" for number in range(5000)}},
        b'{"weight_map":' * 100_000, b"\xff\xfe{}", b"\xef\xbb\xbf{}", b'{"weight_map": {"a": NaN}}', b"",
        b'{"weight_map": {"a": "model-1.safetensors", "a": "x"}}',
        b'{"weight_map": {"a": ' + b"1" * 9999 + b"}}",
    ],
)  # fmt: skip
def test_lists_of_weight_files_that_lie(index: Any, tmp_path: Path) -> None:
    folder = text_folder(tmp_path, index)
    for call in (identify, read_weights):
        refused(call, folder, "Can't read the list of weight files")


def test_one_tensor_in_two_files_is_refused_unless_it_is_the_same(tmp_path: Path) -> None:
    folder = text_folder(tmp_path, {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})
    for other in (torch.ones(1), torch.zeros(2), torch.zeros(1, dtype=torch.float16)):
        save_file({"a": other, "b": torch.ones(3)}, folder / "model-2.safetensors")
        refused(read_weights, folder, r"several files have the same tensors with different numbers \(a\)")
    save_file({"a": torch.zeros(1), "b": torch.ones(3)}, folder / "model-2.safetensors")
    assert {*read_weights(folder).tensors} == {*read_weights(folder, shapes_only=True).tensors} == {"a", "b"}


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    refused(read_weights, Path(os.devnull))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "x.pth")
        for call in (read_weights, load_subject, read_tokenizer):
            refused(call, tmp_path / "x.pth")


def test_what_a_hub_folder_leads_to_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    lies = [
        {"use_timm_backbone": True}, {"backbone_config": {"backbone": "resnet50"}},
        {"auto_map": {"A": "x.Y"}}, {"attn_implementation": "kernels-community/x"},
        {"num_hidden_layers": 10**9}, {"hidden_size": 2**40},
        {"vision_config": {"depths": [1, 10**6]}}, {"image_size": 10**6}, {"num_labels": 10**9},
        {"vision_config": {"layer_norm_eps": 1e308}}, {"mask_decoder_config": {"iou_head_depth": 10**7}},
        {"mask_decoder_config": {"mlp_dim": [[[10**20]]]}}, {"vision_config": {"hidden_size": float("inf")}},
    ]  # fmt: skip
    for lie in lies:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "sam", **lie}))
        refused(load_segmenter, tmp_path, "Can't read the configuration|the files have|more than|elsewhere")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "sam"}))
    (tmp_path / "adapter_config.json").write_text("{}")
    refused(load_segmenter, tmp_path, "the files have")
    monkeypatch.setattr("echogen_core.checkpoints.hub_folder.hub.is_peft_available", lambda: True)
    refused(load_segmenter, tmp_path, "points to another model")


# --- prompt tokenizers


def tokenizer_json(**changes: Any) -> str:
    content: dict[str, Any] = json.loads(build_tokenizer(["a cat"], vocabulary=300).to_str())
    return json.dumps(content | changes)


@pytest.mark.parametrize(
    "content",
    [
        "", "{}", "[]", "null", '{"a":' * 100_000, tokenizer_json(model={"type": "BPE"}),
        tokenizer_json(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        tokenizer_json(normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="}),
        tokenizer_json(normalizer={"type": "Replace", "pattern": {"Regex": "("}, "content": ""}),
        tokenizer_json(pre_tokenizer={"type": "Split", "pattern": {"Regex": "[z-a]"}, "behavior": "Isolated",
                                      "invert": False}),
        tokenizer_json(post_processor={"type": "TemplateProcessing", "single": [], "pair": [],
                                       "special_tokens": {}}),
        tokenizer_json(model={"type": "WordLevel", "vocab": {}, "unk_token": "x"}),
        tokenizer_json(model={"type": "WordLevel", "vocab": {"a": 2**31}, "unk_token": "a"}),
        tokenizer_json(added_tokens=[{"id": 2**32 - 1, "content": "x", "special": True}]),
    ],
)  # fmt: skip
def test_tokenizers_that_make_their_library_fail(content: str, tmp_path: Path) -> None:
    """Some of these end in a panic, which is no Exception in Python."""
    path = tmp_path / "tokenizer.json"
    path.write_text(content, encoding="utf-8")
    refused(read_tokenizer, path, "Can't read the tokenizer")


# --- subjects


def subject(**changes: Any) -> tuple[dict[str, Tensor], dict[str, str]]:
    tensors = {
        "semantic.cls": torch.zeros(2, 8),
        "semantic.patches": torch.zeros(2, 4, 8),
        "content.latents": torch.zeros(1, 4, 3, 5),
    }
    metadata = {
        "format": "echogen", "version": "1", "kind": "subject",
        "semantic.strength": "1.0", "content.strength": "0.5",
    }  # fmt: skip
    for name, value in changes.items():
        name = name.replace("_", ".")
        target: dict[str, Any] = tensors if name in tensors or isinstance(value, Tensor) else metadata
        target[name] = value
    return {n: t for n, t in tensors.items() if t is not None}, {
        n: t for n, t in metadata.items() if t is not None
    }


def test_a_subject_as_it_should_be(tmp_path: Path) -> None:
    tensors, metadata = subject()
    save_file(tensors, tmp_path / "s.safetensors", metadata)
    loaded = load_subject(tmp_path / "s.safetensors")
    assert loaded.semantic is not None and loaded.content is not None
    assert (loaded.semantic.strength, loaded.content.strength) == (1.0, 0.5)
    for strength in ("0", "2.0"):
        save_file(tensors, tmp_path / "s.safetensors", {**metadata, "content.strength": strength})
        load_subject(tmp_path / "s.safetensors")


@pytest.mark.parametrize(
    "changes",
    [
        *({f"{part}_strength": value} for part in ("semantic", "content")
          for value in ("nan", "inf", "-inf", "1e30", "-0.1", "2.01", "", "one", None, "9" * 5000, "\x1b[m")),
        {"semantic_cls": None, "semantic_patches": None, "content_latents": None},
        {"semantic_cls": None}, {"semantic_patches": None},
        {"semantic_patches": torch.zeros(2, 8, 4)}, {"semantic_patches": torch.zeros(3, 4, 8)},
        {"semantic_patches": torch.zeros(4, 2, 8)}, {"semantic_patches": torch.zeros(2, 0, 8)},
        {"semantic_cls": torch.zeros(0, 8), "semantic_patches": torch.zeros(0, 4, 8)},
        {"semantic_cls": torch.zeros(2, 0), "semantic_patches": torch.zeros(2, 4, 0)},
        {"semantic_cls": torch.zeros(5000, 8), "semantic_patches": torch.zeros(5000, 1, 8)},
        {"semantic_cls": torch.zeros(2, 8, dtype=torch.int32)},
        {"semantic_cls": torch.full((2, 8), torch.nan)},
        {"content_latents": torch.zeros(1, 4, 0, 5)}, {"content_latents": torch.zeros(1, 3, 5)},
        {"content_latents": torch.zeros(1, 4, 3, 5, dtype=torch.complex64)},
        {"content_latents": torch.full((1, 4, 3, 5), torch.inf)}, {"other": torch.zeros(1)},
        {"version": "2"}, {"kind": "tokenizer"}, {"format": "other"},
    ],
)  # fmt: skip
def test_subjects_that_no_encoder_makes(changes: dict[str, Any], tmp_path: Path) -> None:
    tensors, metadata = subject(**changes)
    save_file(tensors, tmp_path / "s.safetensors", metadata)
    refused(load_subject, tmp_path / "s.safetensors", "the subject file|not a subject file")


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), 1e30, -1.0, 2.5])
def test_no_such_subject_is_saved(strength: float, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    latents = torch.zeros(1, 4, 3, 5)
    with pytest.raises(ValueError, match=r"content\.strength: expected 0 to 2"):
        save_subject(path, Subject(None, ContentFeatures(latents, strength)))
    with pytest.raises(ValueError, match=r"semantic\.patches: expected 2 views and 8 channels"):
        save_subject(path, Subject(SemanticFeatures(torch.zeros(2, 8), torch.zeros(2, 8, 4)), None))
    with pytest.raises(ValueError, match="Expected features of a subject"):
        save_subject(path, Subject(None, None))
    assert not path.exists()
