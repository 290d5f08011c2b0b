"""Ways to spoil a file: at random, but the same for the same seed.

Every mutator takes (random source, bytes) and gives (bytes, what was done). Those for one form know its
layout, so that what they spoil still looks like a file of that form.
"""

from __future__ import annotations

import io
import json
import pickletools
import random
import re
import struct
import zipfile
from collections.abc import Callable
from typing import Any

Spoilt = tuple[bytes, str]
Mutator = Callable[[random.Random, bytes], Spoilt]

STRANGE: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 3, 7, 2**31, 2**40, 2**63 - 1, 2**63, 2**64, 10**30, -(2**63), 0.5, 1e308,
    float("nan"), float("inf"), float("-inf"), "", "x", "../../etc/passwd", "\ud800", "\x00\x1b[31m",
    "9" * 5000,
    [], [1], [[]], [-1], [2**62, 2**62], [1] * 300, {}, {"a": None},
)  # fmt: skip
"""What no file should hold, or not there."""

GLOBALS = (
    "builtins bytearray", "builtins set", "torch FloatStorage", "torch Tensor", "torch FloatTensor",
    "torch.nn.parameter Parameter", "torch._utils _rebuild_qtensor", "torch._utils _rebuild_sparse_tensor",
    "torch._utils _rebuild_meta_tensor_no_storage", "torch._utils _rebuild_from_type_v2", "torch Size",
    "torch._utils _rebuild_wrapper_subclass", "collections Counter", "torch.storage UntypedStorage",
    "os system",
    "torch ComplexFloatStorage", "torch LongStorage", "torch float32", "torch._utils _rebuild_tensor",
)  # fmt: skip
"""Names for a pickle; torch's own reader allows most of them."""


def any_bytes(source: random.Random, content: bytes) -> Spoilt:
    """Bits turned, a part cut, moved, doubled or emptied; mostly near the two ends, where headers are."""
    data, size = bytearray(content), len(content)
    where = source.choice([(0, min(size, 600)), (max(0, size - 600), size), (0, size)])
    place = source.randrange(where[0], max(where[1], where[0] + 1))
    length = source.choice([1, 2, 4, 8, 30, 200])
    done = source.choice(["bits", "cut", "splice", "insert", "delete", "zeros", "append"])
    if done == "bits":
        for _ in range(source.choice([1, 1, 2, 8, 64])):
            spot = source.randrange(where[0], max(where[1], where[0] + 1))
            data[spot : spot + 1] = bytes([data[spot] ^ (1 << source.randrange(8))]) if size else b"x"
    elif done == "cut":
        del data[place:]
    elif done == "splice":
        other = source.randrange(max(size, 1))
        data[place : place + length] = data[other : other + length]
    elif done == "insert":
        data[place:place] = source.randbytes(length)
    elif done == "delete":
        del data[place : place + length]
    elif done == "zeros":
        data[place : place + length] = bytes(len(data[place : place + length]))
    else:
        data += source.randbytes(length)
    return bytes(data), f"{done} at {place} ({length})"


# --- JSON


def any_json(source: random.Random, content: bytes) -> Spoilt:
    """One value, key or the form of a JSON document."""
    way = source.randrange(8)
    if way == 0:
        depth = source.choice([50, 900, 100_000])
        return b'{"a":' * depth + b"1" + b"}" * depth, f"{depth} levels deep"
    if way == 1:
        head = source.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\x80\x81", b"[", b"null", b"NaN "])
        return head + content, f"after {head!r}"
    value = json.loads(content)
    done = spoil_value(source, value)
    if isinstance(done, tuple):
        value, done = done
    text = json.dumps(value)
    if way == 2:
        text, done = text.replace("{", '{"a": 1, "a": {}, ', 1), "keys twice"
    return text.encode("utf-8", "surrogatepass"), done


def any_tokenizer(source: random.Random, content: bytes) -> Spoilt:
    """A step of a tokenizer.json that makes texts grow, many times over, or a piece without end."""
    value = json.loads(content)
    many, long = source.choice([2, 12, 34, 5000]), "a" * source.choice([2, 1000, 2_000_000])
    place, inner = source.choice(
        [("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers"), ("decoder", "decoders")]
    )
    grown = source.choice(["", "a", " "]), source.choice(["aa", long])
    step = source.choice([
        {"type": "Replace", "pattern": {source.choice(["String", "Regex"]): grown[0]}, "content": grown[1]},
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False},
        {"type": "Prepend", "prepend": long},
        value[place],
    ])  # fmt: skip
    way = source.randrange(3)
    if way == 0:
        value["model"] = {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], [long, -1.0]]}
        return json.dumps(value).encode(), f"a piece of {len(long)} letters"
    if way == 1:
        value["added_tokens"].append({**value["added_tokens"][0], "content": long})
        return json.dumps(value).encode(), f"an added token of {len(long)} letters"
    value[place] = {"type": "Sequence", inner: [step] * many}
    return json.dumps(value).encode(), f"{many} times {str(step)[:60]} as {place}"


def spoil_value(source: random.Random, value: Any) -> Any:
    """Spoils a tree of dicts and lists in place; says what was done, or gives (new tree, what was done)."""
    spots = list(_spots(value))
    if not spots:
        return source.choice(STRANGE), "another document"
    holder, key = source.choice(spots)
    strange = source.choice(STRANGE)
    way = source.randrange(5)
    old = holder[key]
    if way == 0:
        del holder[key]
        return f"without {key!r}"
    if way == 1 and isinstance(holder, dict):
        holder[str(strange)[:200]] = holder.pop(key)
        return f"{key!r} renamed to {str(strange)[:30]!r}"
    if way == 2 and isinstance(old, int):
        holder[key] = old + source.choice([-1, 1, old, 10**9])
    elif way == 3 and isinstance(old, str) and old.startswith("{"):
        try:
            inner = json.loads(old)
        except ValueError:  # a template
            inner = [old]
        spoil_value(source, inner)
        holder[key] = json.dumps(inner)
    else:
        holder[key] = strange
    return f"{key!r} = {str(holder[key])[:40]!r} instead of {str(old)[:40]!r}"


def _spots(value: Any) -> Any:
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in list(entries):
        yield value, key
        yield from _spots(inner)


# --- safetensors


def any_safetensors(source: random.Random, content: bytes) -> Spoilt:
    """One thing in the header: a setting of the metadata, a tensor's type, shape, place or name."""
    size = int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8 : 8 + size])
    body = content[8 + size :]
    names = [name for name in header if name != "__metadata__"]
    way = source.randrange(7)
    if way == 0 and "config" in header.get("__metadata__", {}):
        config = json.loads(header["__metadata__"]["config"])
        done = f"config: {spoil_value(source, config)}"
        header["__metadata__"]["config"] = json.dumps(config)
    elif way == 1 and header.get("__metadata__"):
        done = f"metadata: {spoil_value(source, header['__metadata__'])}"
    elif way == 2:
        one, other = source.choice(names), source.choice(names)
        header[one]["data_offsets"] = header[other]["data_offsets"]
        done = f"{one} where {other} lies"
    elif way == 3:
        one, kind = (
            source.choice(names),
            source.choice(["I8", "F4", "F64", "C64", "BOOL", "F8_E8M0", "F8_E4M3"]),
        )
        header[one]["dtype"] = kind
        done = f"{one} as {kind}"
    elif way == 4:
        one = source.choice(names)
        header[one]["shape"] = source.choice(
            [[*header[one]["shape"][::-1]], [1, *header[one]["shape"]], [2**40]]
        )
        done = f"{one} of shape {header[one]['shape']}"
    elif way == 5:
        one = source.choice(names)
        part = source.choice(one.split("."))
        renamed = one.replace(part, source.choice(["0", "99999999", "-1", "x", "", "١", "9" * 30]), 1)
        header[renamed] = header.pop(one)
        done = f"{one} called {renamed}"
    else:
        done = spoil_value(source, {**header}) if not names else str(spoil_value(source, header))
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    if source.randrange(16) == 0:
        value = source.choice([b"{}", b"[]", b'{"a":{}}', b"9"])
        text = text.replace(b"{", b'{"a":[' + value + (b"," + value) * 1_500_000 + b"],", 1)
        return len(text).to_bytes(8, "little") + text + body, f"{value!r} without end"
    if source.randrange(8) == 0:
        name = json.dumps(source.choice(names)) if names else '"a"'
        text, done = (
            text.replace(b"{", b"{" + name.encode() + b':{"dtype":"U8","shape":[],"data_offsets":[0,0]},', 1),
            "twice",
        )
    return len(text).to_bytes(8, "little") + text + body, done


# --- torch's zip and its older stream


def any_zip(source: random.Random, content: bytes) -> Spoilt:
    """One record or one field of the table of contents, or something in the pickle."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    pickled = next(name for name in records if name.endswith("data.pkl"))
    way = source.randrange(7)
    if way <= 2:
        records[pickled], done = any_pickle(source, records[pickled])
        return _zip(records), done
    if way == 3:
        deflated = [name for name in records if source.random() < 0.5] or [pickled]
        return _zip(records, deflated), f"deflated {len(deflated)} records"
    if way == 4:
        name = source.choice([*records])
        done = source.choice(["without", "empty", "half", "renamed", "zeros"])
        body = records.pop(name)
        if done == "renamed":
            records[name + "x"] = body
        elif done != "without":
            records[name] = {"empty": b"", "half": body[: len(body) // 2], "zeros": bytes(len(body))}[done]
        return _zip(records), f"{name} {done}"
    if way == 5:
        records[pickled] += bytes(4 << 20)
        return _zip(records, [pickled]), "a pickle that grows when it is unpacked"
    return _spoil_table(source, _zip(records))


def _zip(records: dict[str, bytes], deflated: list[str] | tuple[str, ...] = ()) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, body in records.items():
            archive.writestr(name, body, zipfile.ZIP_DEFLATED if name in deflated else zipfile.ZIP_STORED)
    return out.getvalue()


ZIP_ENTRY = {
    "flags": (8, 2), "method": (10, 2), "crc": (16, 4), "packed": (20, 4), "size": (24, 4), "name": (28, 2),
    "place": (42, 4),
}  # fmt: skip
"""Field of an entry in a zip file's table of contents -> its place in the entry, and its length."""


def _spoil_table(source: random.Random, content: bytes) -> Spoilt:
    """A field of one entry of the table of contents, or of the table's own end."""
    data = bytearray(content)
    places = [found.start() for found in re.finditer(rb"PK\x01\x02", content)] or [0]
    fields = {name: field for name, field in ZIP_ENTRY.items() if name != "name"}
    if source.randrange(4) == 0:
        places = [data.rfind(b"PK\x05\x06")]
        fields = {"count": (8, 2), "all": (10, 2), "length": (12, 4), "start": (16, 4), "comment": (20, 2)}
    start, name = source.choice(places), source.choice([*fields])
    at, length = start + fields[name][0], fields[name][1]
    old = int.from_bytes(data[at : at + length], "little")
    new = source.choice(
        [0, 1, old // 2, old + 1, old * 2, old ^ 8, 2 ** (8 * length) - 1, source.randrange(1 << 16)]
    )
    new &= 2 ** (8 * length) - 1
    data[at : at + length] = new.to_bytes(length, "little")
    if name in ("packed", "size") and source.random() < 0.5:  # both sizes, so that they agree
        for other in ("packed", "size"):
            data[start + fields[other][0] : start + fields[other][0] + 4] = new.to_bytes(4, "little")
    return bytes(data), f"{name} {new} instead of {old} in the table"


def any_stream(source: random.Random, content: bytes) -> Spoilt:
    """Something in the fourth pickle of torch's older stream, which names the tensors."""
    stream = io.BytesIO(content)
    starts = [0]
    for _ in range(5):
        for _ in pickletools.genops(stream):
            pass
        starts.append(stream.tell())
    which = source.choice([0, 2, 3, 3, 3, 4])
    spoilt, done = any_pickle(source, content[starts[which] : starts[which + 1]])
    return content[: starts[which]] + spoilt + content[starts[which + 1] :], f"pickle {which}: {done}"


def any_pickle(source: random.Random, content: bytes) -> Spoilt:
    """One instruction: its argument, or itself; several doubled or left out; or another pickle altogether."""
    operations = [(code, value, place) for code, value, place in pickletools.genops(content)]
    ends = [place for _, _, place in operations[1:]] + [len(content)]
    way = source.randrange(8)
    if way == 0:
        return _whole_pickle(source)
    index = source.randrange(1, len(operations))
    if way <= 4:  # a number, name or text of another value
        wanted = source.choice([("BININT1", "BININT2", "BININT"), ("GLOBAL",), ("BINUNICODE",)])
        index = source.choice(
            [i for i, (code, _, _) in enumerate(operations) if code.name in wanted] or [index]
        )
        new = _argument(source, operations[index][0].name)
    elif way == 5:
        new = b""
    elif way == 6:
        count = source.choice([1, 3, 20])
        new = content[operations[index][2] : ends[min(index + count, len(ends) - 1)]] * 2
    else:
        new = source.choice(operations)[0].code.encode("latin-1")
    spoilt = content[: operations[index][2]] + new + content[ends[index] :]
    return spoilt, f"{operations[index][0].name} {str(operations[index][1])[:40]!r} became {new[:40]!r}"


def _argument(source: random.Random, name: str) -> bytes:
    if name == "GLOBAL":
        return b"c" + source.choice(GLOBALS).replace(" ", "\n").encode() + b"\n"
    if name == "BINUNICODE":
        text = source.choice([b"", b"x", b"0", b"\xed\xa0\x80", b"a" * 300, b"blocks.99999999.x", b"../x"])
        return b"X" + struct.pack("<I", len(text)) + text
    number = source.choice([-1, 0, 1, 2**31 - 1, -(2**31), 1000, 10**6])
    return (
        b"J" + struct.pack("<i", number)
        if source.random() < 0.6
        else b"\x8a\x08" + (2**62).to_bytes(8, "little")
    )


def _whole_pickle(source: random.Random) -> Spoilt:
    depth = source.choice([20, 100_000])
    pickles = {
        "a dict in itself": b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.",
        "deep dicts": b"\x80\x02" + b"}X\x01\x00\x00\x00a" * depth + b"}" + b"s" * depth + b".",
        "a deep key": b"\x80\x02}" + b")" + b"\x85" * depth + b"Ns.",
        "a large bytearray": b"\x80\x02cbuiltins\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x10\x85R.",
        "a large storage": b"\x80\x02ctorch\nFloatStorage\n\x8a\x05\x00\x00\x00\x00\x02\x85R.",
        "a large tensor": b"\x80\x02ctorch\nFloatTensor\nJ\xff\xff\xff\x0fJ\xff\x00\x00\x00\x86R.",
        "many dicts": b"\x80\x02" + b"}" * 3_000_000 + b".",
        "code": b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
        "a list": b"\x80\x02]q\x00h\x00a.",
    }
    name = source.choice([*pickles])
    return pickles[name], name


def bomb(size: int) -> bytes:
    """A .pth whose pickle says that it unpacks to `size` bytes."""
    return _zip({"x/data.pkl": b"\x80\x02}." + bytes(size), "x/version": b"3\n"}, ["x/data.pkl"])
