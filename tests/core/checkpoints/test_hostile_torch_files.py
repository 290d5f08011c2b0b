"""Torch files that lie are refused in words before anything is built from them; odd ones are read."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mutations import ZIP_ENTRY
from safetensors.torch import load_file
from torch import Tensor, nn

from echogen_core.checkpoints import identify, load_tokenizer, read_weights

from .pickle_bytes import text
from .refusals import refused

GOLDEN = Path(__file__).parents[2] / "golden"
TOKENIZER = GOLDEN / "vae_tiny_d16_weights.safetensors"


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
    loaded = load_tokenizer(write_zip(tmp_path / "x.pth", records)).state_dict()
    for name, tensor in load_tokenizer(TOKENIZER).state_dict().items():
        assert torch.equal(loaded[name], tensor)


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
