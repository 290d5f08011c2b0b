"""torch's files give the tensors that torch.load gives, whatever stands beside these.

Nothing in them is called, and what is no plain tensor is left out.
"""

from __future__ import annotations

import io
import pickle
import struct
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch._weights_only_unpickler import _get_allowed_globals

from echogen_core.checkpoints import identify, load_part, load_tokenizer, read_weights
from echogen_core.checkpoints.conversion import Conversion, convert

from .pickle_bytes import text

GOLDEN = Path(__file__).parents[2] / "golden"
TOKENIZER = GOLDEN / "vae_tiny_d16_weights.safetensors"
TRANSFORMER = GOLDEN / "echogen_tiny_weights.safetensors"
OLD_TYPES = torch.storage._dtype_to_storage_type_map()


class Callback:
    """Stands for a class that another program allows files to name."""

    made = 0

    def __new__(cls, *arguments: Any) -> Callback:
        cls.made += 1
        return super().__new__(cls)


def plain(tree: Mapping[Any, Any]) -> dict[str, Any]:
    """The mappings and plain tensors of what torch.load gives."""
    kept: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            kept[str(key)] = plain(value)
        elif isinstance(value, Tensor) and not (
            value.layout != torch.strided or value.is_quantized or value.is_meta
        ):
            kept[str(key)] = value.detach()
    return kept


def assert_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        if isinstance(value, Mapping):
            assert_same(found[name], value)
            continue
        assert type(found[name]) is Tensor and not found[name].requires_grad
        for fact in ("dtype", "shape", "stride", "is_conj", "is_neg"):
            one, other = getattr(found[name], fact), getattr(value, fact)
            assert (one() if callable(one) else one) == (other() if callable(other) else other), (name, fact)
        assert bits(found[name]) == bits(value), name


def bits(tensor: Tensor) -> bytes:
    whole = tensor.resolve_conj().resolve_neg().reshape(-1)
    whole = (
        torch.empty(whole.shape, dtype=whole.dtype).copy_(whole) if whole.numel() == 1 else whole.contiguous()
    )
    return whole.view(torch.uint8).numpy().tobytes() if whole.numel() else b""


def views() -> dict[str, Any]:
    """Tensors that share numbers, or say more than they have."""
    whole = torch.arange(2_000_000.0)  # four names of it are more than twice the file
    return {
        "one": whole,
        "two": whole,
        "three": whole.reshape(2, -1),
        "part": whole[1000:1010],
        "turned": whole.reshape(1000, 2000).T,
        "expanded": torch.zeros(1).expand(100),
        "large": torch.ones(()).expand(1 << 20, 1 << 10, 1 << 10),
        "windows": torch.arange(20.0).unfold(0, 5, 1),
        "overlapping": torch.arange(6.0).as_strided((4, 3), (1, 1)),
        "empty": torch.zeros(0, 3),
        "number": torch.tensor(3),
        "conjugate": torch.ones(3, dtype=torch.complex64).conj() * 1,
        "lazy": torch.tensor([1 + 2j]).conj(),
        "lazy part": torch.tensor([1 + 2j]).conj().imag,
        "last": torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }


def beside() -> dict[str, Any]:
    """What stands beside weights in the checkpoints of training programs."""
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(3, 2)).sum().backward()
    optimizer.step()
    state = module.state_dict()
    state.extra = "an attribute"  # type: ignore[attr-defined]
    tensor = torch.ones(2)
    tensor.note = "an attribute"  # type: ignore[attr-defined]
    return {
        "state_dict": state,
        "optimizer": optimizer.state_dict(),
        "parameter": nn.Parameter(torch.ones(2)),
        "noted": tensor,
        "order": list(range(3000)),
        "deep": [[[[{}]]]],
        b"bytes": torch.ones(1),
        2**60: torch.ones(2),
        -7: torch.ones(3),
        1.5: torch.ones(4),
        None: torch.ones(5),
        True: torch.ones(6),
        (1, ("a", (2, 3))): torch.ones(7),
        torch.float16: 3,
        torch.device("cpu"): 4,
        torch.Size([2]): 5,
        "set": {1, (2, (3, "a"))},
        "empty set": set(),
        "counter": Counter("abc"),
        "complex": 1j,
        "layout": torch.strided,
        "scheme": torch.per_tensor_affine,
        "bytes": b"\0\xff" * 100,
        "array": bytearray(b"xyz"),
        "sparse": torch.eye(3).to_sparse(),
        "inner": {"rows": torch.eye(3).to_sparse_csr(), "w": torch.ones(8)},
        "quantised": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        "meta": torch.ones(3, device="meta"),
        "types": (torch.float8_e4m3fn, torch.int64),
        "pairs": OrderedDict([("a", torch.ones(9))]),
        "long": 3**300,
    }


def every_type() -> dict[str, Any]:
    """Of every type that torch itself can save."""
    found = {}
    for name in dir(torch):
        dtype = getattr(torch, name)
        if isinstance(dtype, torch.dtype) and not name.startswith(("qint", "quint")):
            try:
                found[str(dtype)] = torch.arange(64, dtype=torch.uint8).view(dtype)
                torch.save(found[str(dtype)], io.BytesIO())
            except (RuntimeError, KeyError):
                found.pop(str(dtype), None)
    return found


def test_long_lists_of_numbers(tmp_path: Path) -> None:
    torch.save(
        {"w": torch.ones(1), "losses": [0.5] * 600_000, "order": [70_000] * 500_000}, tmp_path / "x.pth"
    )
    assert list(read_weights(tmp_path / "x.pth").tensors) == ["w"]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("content", [views, beside, every_type])
@pytest.mark.filterwarnings("ignore")
def test_the_same_tensors_as_torch_load(content: Any, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    tree = content()
    if content is every_type and not zipped:  # the older stream has no place for the new ones
        tree = {name: value for name, value in tree.items() if value.dtype in OLD_TYPES}
    torch.save(tree, path, _use_new_zipfile_serialization=zipped)
    expected = plain(torch.load(path, weights_only=True, mmap=zipped))
    large = expected.pop("large", None)
    found = read_weights(path).tree
    shapes = read_weights(path, shapes_only=True).tree
    assert list(shapes) == list(found)
    if large is not None:
        assert found.pop("large").shape == shapes.pop("large").shape == large.shape
    assert_same(found, expected)
    for name, value in shapes.items():
        if isinstance(value, Tensor):
            assert value.is_meta and (value.shape, value.stride()) == (
                found[name].shape,
                found[name].stride(),
            )


# --- what may be named


def test_torchs_own_names_are_allowed_and_others_not(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    names = [name.rpartition(".") for name in _get_allowed_globals()]
    body = b"".join(f"X\1\0\0\0ac{module}\n{name}\ns".encode() for module, _, name in names)
    path.write_bytes(stream(b"}" + body))
    assert identify(path).kind is None
    for name in (b"os\nsystem\n", b"numpy._core.multiarray\nscalar\n", b"builtins\neval\n", b"torch\nload\n"):
        path.write_bytes(stream(b"}X\1\0\0\0ac" + name + b"s"))
        with pytest.raises(ValueError, match="wants to run code") as caught:
            read_weights(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_what_another_program_allows_is_left_out_and_never_called(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    content = {
        "state_dict": {"w": torch.arange(3.0)},
        "callbacks": {Callback: {"best": 1.0}},
        "c": Callback(),
    }
    content["c"].note = "kept"  # type: ignore[attr-defined]
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"wants to run code.*Callback"):
        read_weights(path)
    made = Callback.made
    with torch.serialization.safe_globals([Callback]):
        assert read_weights(path).tree["state_dict"]["w"].tolist() == [0, 1, 2]
        assert read_weights(path, shapes_only=True).tree["state_dict"]["w"].is_meta
    assert Callback.made == made


# --- forms of the oldest files


def stream(body: bytes, numbers: Tensor | None = None, end: bytes = b"") -> bytes:
    """A file of the older format, of this object and one storage."""
    heads = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    keys, storage = (
        ([], b"") if numbers is None else (["7"], struct.pack("<q", 6) + numbers.numpy().tobytes())
    )
    return (
        b"".join(pickle.dumps(head, 2) for head in heads)
        + b"\x80\2"
        + body
        + b"."
        + pickle.dumps(keys, 2)
        + storage
        + end
    )


def storage(view: bytes = b"N") -> bytes:
    return (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("7") + text("cpu") + b"K\6" + view + b"tQ"
    )


SIZE = b"K\2K\3\x86"
STRIDE = b"K\3K\1\x86"
PLACED = b"K\0" + SIZE + STRIDE
REBUILT = b"ctorch._utils\n_rebuild_tensor\n(" + storage() + PLACED + b"tR"
OLD_FORMS: dict[str, bytes] = {
    "plain": REBUILT,
    "filled afterwards": b"ctorch\nFloatTensor\n)R(" + storage() + PLACED + b"tb",
    "a variable": b"ctorch.nn.parameter\nParameter\n" + REBUILT + b"\x85\x81(" + REBUILT + b"\x89NNNtb",
    "a parameter": b"ctorch.nn.parameter\nParameter\n" + REBUILT + b"\x85\x81",
    "a parameter by a call": b"ctorch.nn.parameter\nParameter\n" + REBUILT + b"\x89\x86R",
    "a size of its class": b"ctorch._utils\n_rebuild_tensor\n("
    + storage()
    + b"K\0ctorch\nSize\n"
    + SIZE
    + b"\x85R"
    + STRIDE
    + b"tR",
    "a view": b"ctorch._utils\n_rebuild_tensor\n("
    + storage(b"(" + text("8") + b"K\1K\5t")
    + b"K\0K\5\x85K\1\x85tR",
}


@pytest.mark.parametrize("form", list(OLD_FORMS))
def test_forms_of_the_oldest_files(form: str, tmp_path: Path) -> None:
    path, numbers = tmp_path / "x.pth", torch.arange(6.0)
    path.write_bytes(stream(b"}X\1\0\0\0w" + OLD_FORMS[form] + b"s", numbers))
    found = read_weights(path).tensors["w"]
    assert torch.equal(found, numbers[1:] if form == "a view" else numbers.reshape(2, 3))
    assert read_weights(path, shapes_only=True).tensors["w"].shape == found.shape
    if form != "a variable":  # torch.load's restricted form knows it no longer
        assert torch.equal(torch.load(path, weights_only=True)["w"].detach(), found)


def test_what_follows_a_file_changes_nothing(tmp_path: Path) -> None:
    weights, tails = load_file(TOKENIZER), (b"\0", b"more" * 100, b"PK\5\6")
    for zipped in (True, False):
        torch.save({"vae": weights}, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
        content = (tmp_path / "x.pth").read_bytes()
        for tail in tails:
            (tmp_path / "x.pth").write_bytes(content + tail)
            assert_same(read_weights(tmp_path / "x.pth").tree["vae"], weights)
        with_comment = content[:-2] + b"\7\0comment"
        (tmp_path / "x.pth").write_bytes(with_comment if zipped else content)
        assert_same(load_tokenizer(tmp_path / "x.pth").state_dict(), load_tokenizer(TOKENIZER).state_dict())


# --- where what is no plain tensor would be used


@pytest.mark.parametrize("odd", ["sparse", "quantised", "meta"])
@pytest.mark.filterwarnings("ignore")
def test_an_odd_tensor_in_the_place_of_a_weight(
    odd: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights, path = load_file(TOKENIZER), tmp_path / "x.pth"
    name = "decoder.conv_out.bias"
    made = {
        "sparse": lambda tensor: tensor.to_sparse(),
        "quantised": lambda tensor: torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8),
        "meta": lambda tensor: tensor.to("meta"),
    }[odd]
    key = next(key for key in weights if key.startswith("decoder.conv_out") and key.endswith("bias"))
    torch.save({"vae": weights | {key: made(weights[key])}}, path)
    for call in (
        load_tokenizer,
        lambda path: convert(path, tmp_path / "out.safetensors", Conversion(), print),
    ):
        with pytest.raises(ValueError, match=f"missing: .*{name.rpartition('.')[0]}") as caught:
            call(path)
        form = {"sparse": "sparse", "quantised": "quantised", "meta": "without numbers"}[odd]
        assert str(path) in str(caught.value) and f"{key} ({form})" in str(caught.value)
    assert "left out" in caplog.text and key in caplog.text
    torch.save({"vae": weights, "unrelated": {"x": made(weights[key])}}, path)
    assert_same(load_tokenizer(path).state_dict(), load_tokenizer(TOKENIZER).state_dict())


def test_weights_that_say_more_than_is_stored(tmp_path: Path) -> None:
    path, weights = tmp_path / "x.pth", load_file(TRANSFORMER)
    few = {key: torch.zeros(()).expand(tensor.shape) for key, tensor in weights.items()}
    torch.save(few, path)  # a small model of one number is odd, but does no harm
    assert (
        torch.count_nonzero(torch.cat([p.flatten() for p in load_part(path, "transformer").parameters()]))
        == 0
    )
    grown = 1 << 12
    torch.save({key: torch.zeros(()).expand(*(grown * n if n >= 16 else n for n in tensor.shape))
                for key, tensor in weights.items()}, path)  # fmt: skip
    before, start = psutil.Process().memory_info().rss, time.perf_counter()
    for call in (
        lambda: load_part(path, "transformer"),
        lambda: convert(path, tmp_path / "o.safetensors", Conversion(), print),
    ):
        with pytest.raises(ValueError, match=r"take .* TB in memory, .* \d+ bytes are stored") as caught:
            call()
        assert str(path) in str(caught.value)
    assert time.perf_counter() - start < 20 and psutil.Process().memory_info().rss - before < 200e6


# --- files that never come to an end


def nested(count: int, end: bytes = b"") -> bytes:
    """Tuples within tuples, each twice in the next: the whole has 2 ** count parts."""
    return b")" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(count)) + end


LIES: dict[str, tuple[bytes, bytes]] = {
    "a deep list of storages": (b"}", b"]" * 50_000 + b"a" * 49_999),
    "a deep tuple of storages": (b"}", b")" + b"\x85" * 50_000),
    "storages of another kind": (b"}", b"](}e"),
    "keys of keys": (b"}(" + (b"".join(nested(15) + b"N" for _ in range(2000))) + b"u", b"]"),
    "attributes of attributes": (
        b"}X\1\0\0\0actorch._tensor\n_rebuild_from_type_v2\nq\0q\1" + b"h\0ctorch\nTensor\n)}tp" + b"s",
        b"]",
    ),
    "a deep place": (
        b"}X\1\0\0\0a("
        + text("storage")
        + b"ctorch\nFloatStorage\n"
        + text("7")
        + b")"
        + b"\x85" * 50_000
        + b"K\6)"
        + b"\x85" * 50_000
        + b"tQs",
        b"]",
    ),
    "a long text": (b"}X\1\0\0\0aX\0\0\0\x7f" + bytes(1 << 20) + b"s", b"]"),
    "lists without end": (b"}X\1\0\0\0a" + b"]" * 1_500_000 + b"s", b"]"),
}


@pytest.mark.parametrize("lie", list(LIES))
def test_streams_that_lie(lie: str, tmp_path: Path) -> None:
    body, keys = LIES[lie]
    heads = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    path = tmp_path / "x.pth"
    path.write_bytes(
        b"".join(pickle.dumps(head, 2) for head in heads) + b"\x80\2" + body + b".\x80\2" + keys + b"."
    )
    before, start = psutil.Process().memory_info().rss, time.perf_counter()
    with pytest.raises(ValueError, match="damaged or truncated") as caught:
        read_weights(path)
    assert type(caught.value) is ValueError and str(path) in str(caught.value)
    assert time.perf_counter() - start < 20 and psutil.Process().memory_info().rss - before < 300e6


def test_calls_within_calls_are_no_way_to_take_the_reader_down(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    call, depth = b"ctorch._tensor\n_rebuild_from_type_v2\n", 20_000
    arguments = (b"(" + call + b"ctorch\nTensor\n") * depth + b")" + b"}t" * depth
    path.write_bytes(stream(b"}X\1\0\0\0a" + call + arguments + b"Rs"))
    with pytest.raises(ValueError, match="damaged or truncated"):
        read_weights(path)
