"""Model folders as nobody wants them: what may lie in them after years, or by somebody's intention.

Made here, never kept: what such files hold is nobody's.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch


def safetensors(path: Path, header: object, body: bytes = b"") -> None:
    """A file of that form with this header, whatever it says; text is taken as it is."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode("utf-8", "surrogatepass")
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def plant(folder: Path) -> None:
    """Fills a folder with every kind of thing that a list has to live with."""
    folder.mkdir(parents=True, exist_ok=True)
    _files(folder)
    _folders_of_the_hub(folder)
    _links(folder)
    if os.name != "nt":
        os.mkfifo(folder / "pipe.safetensors")
        (folder / "zeros.pth").symlink_to("/dev/zero")


def _files(folder: Path) -> None:
    itself: dict[str, object] = {}
    itself["a"] = itself
    torch.save(itself, folder / "dict_in_itself.pth")
    deep = "[" * 20_000 + "]" * 20_000
    own = {"format": "echogen", "version": "1", "kind": "tokenizer", "config": deep}
    safetensors(folder / "deep_config.safetensors", {"__metadata__": own})
    safetensors(folder / "deep_header.safetensors", '{"a": ' + deep + "}")
    safetensors(folder / "huge_sizes.safetensors", {"__metadata__": {**own, "config": '{"depth": 1e9}'}})
    safetensors(
        folder / "half_letter.safetensors",
        '{"\\ud800": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}',
    )
    safetensors(folder / "half_kind.safetensors", {"__metadata__": {**own, "kind": "x" * 100_000}})
    (folder / "long_header.safetensors").write_bytes((1 << 62).to_bytes(8, "little") + b"{}")
    (folder / "empty.safetensors").touch()
    (folder / "page.safetensors").write_bytes(b"<!doctype html>")
    (folder / "junk.pth").write_bytes(b"PK\x03\x04" + bytes(200))
    (folder / "stream.pth").write_bytes(b"\x80\x02" + b"}" * 5000)
    (folder / "a\nb\x1b[31m.pth").write_bytes(b"x")
    (folder / (240 * "n" + ".safetensors")).write_bytes(b"x")
    (folder / "folder.safetensors").mkdir()
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/bytes\xff.safetensors")).write_bytes(b"x")
        Path(os.fsdecode(os.fsencode(folder) + b"/bytes\xff")).mkdir()
    except OSError:  # Apple's file systems refuse such names
        pass


def _folders_of_the_hub(folder: Path) -> None:
    deep = '{"a":' * 20_000 + "1" + "}" * 20_000
    lists = {"null_weight_map": '{"weight_map": {"a": null}}', "deep": deep, "no_map": "[]", "up": None}
    for name, text in lists.items():
        (folder / name).mkdir()
        listed = text if text is not None else '{"weight_map": {"a": "../../../../etc/passwd"}}'
        (folder / name / "model.safetensors.index.json").write_text(listed)
        (folder / name / "config.json").write_text(deep)
    (folder / "other_config").mkdir()
    (folder / "other_config" / "model.safetensors").write_bytes(b"x")
    (folder / "other_config" / "config.json").write_text("[1, 2]")
    if os.name != "nt":
        (folder / "pipes").mkdir()
        os.mkfifo(folder / "pipes" / "config.json")
        os.mkfifo(folder / "pipes" / "model.safetensors")


def _links(folder: Path) -> None:
    (folder / "nowhere.pth").symlink_to("/nowhere/x.pth")
    (folder / "itself.safetensors").symlink_to("itself.safetensors")
    (folder / "up").joinpath("round").symlink_to(folder, target_is_directory=True)
    for one, other in (("a", "b"), ("b", "a")):
        (folder / one).mkdir(exist_ok=True)
        (folder / one / f"to_{other}").symlink_to(folder / other, target_is_directory=True)
