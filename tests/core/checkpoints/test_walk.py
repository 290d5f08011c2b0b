"""Lists of files: whatever lies in a folder they end, nothing is opened for them, and they are remembered."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from echogen_core.checkpoints import identify
from echogen_core.checkpoints.catalog import installed, walk
from echogen_core.checkpoints.catalog.file_cache import Failure, FileCache
from echogen_core.checkpoints.catalog.folder_listing import stamp_of
from echogen_core.checkpoints.catalog.installed import MODELS, candidates, find_parts, identify_or_error
from echogen_core.checkpoints.catalog.walk import Search, entries, find
from echogen_core.checkpoints.identify import model_type
from echogen_core.checkpoints.subject_file import is_subject

GOLDEN = Path(__file__).parents[2] / "golden"
TOKENIZER = GOLDEN / "vae_tiny_d16_weights.safetensors"
ANY = Search((".pth", ".safetensors"))

_opened: list[str] = []
_listed: list[str] = []
_watched: list[str] = []


def _note(event: str, args: tuple[Any, ...]) -> None:
    if event == "open" and _watched and isinstance(args[0], str) and args[0].startswith(_watched[0]):
        _opened.append(args[0])
    if event == "os.scandir" and _watched and str(args[0]).startswith(_watched[0]):
        _listed.append(str(args[0]))


sys.addaudithook(_note)  # one for all tests: Python takes none back


@pytest.fixture
def opened(tmp_path: Path) -> Any:
    """Files below the test's folder that Python opens from now on."""
    _opened.clear()
    _watched[:] = [str(tmp_path)]
    yield _opened
    _watched.clear()


def names(top: Path, search: Search = ANY) -> list[str]:
    return [entry.name for entry in entries(top, search)]


def small(path: Path, name: str = "lora_up.weight", size: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: torch.zeros(size)}, path)
    return path


# --- what lies there


def test_links_to_nothing_and_in_circles(tmp_path: Path) -> None:
    small(tmp_path / "a" / "x.pth")
    (tmp_path / "dangling.pth").symlink_to("/nowhere/x.pth")
    (tmp_path / "itself.pth").symlink_to("itself.pth")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "to_a").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "to_b").symlink_to(tmp_path / "b")
    found = {entry.name: entry.stamp for entry in entries(tmp_path, ANY)}
    assert set(found) == {"a/x.pth", "b/to_a/x.pth", "dangling.pth", "itself.pth"}
    assert found["dangling.pth"] is None and found["itself.pth"] is None
    assert "does not exist" in str(identify_or_error(tmp_path / "dangling.pth"))


def test_folders_that_all_link_to_each_other_end(tmp_path: Path) -> None:
    """Twelve of them have a billion ways through."""
    for index in range(12):
        small(tmp_path / f"{index:02}" / "x.pth")
        for other in range(12):
            (tmp_path / f"{index:02}" / f"to_{other:02}").symlink_to(tmp_path / f"{other:02}")
    found = names(tmp_path)
    assert {f"{index:02}/x.pth" for index in range(12)} <= set(found)
    assert len(found) <= 12 * (1 + walk.MAX_ALIASES)


def test_two_links_to_one_folder_are_two_ways_to_its_files(tmp_path: Path) -> None:
    small(tmp_path / "elsewhere" / "x.pth")
    for name in ("one", "two"):
        (tmp_path / "models" / "sub").mkdir(parents=True, exist_ok=True)
        (tmp_path / "models" / "sub" / name).symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "models") == ["sub/one/x.pth", "sub/two/x.pth"]


def test_a_folder_itself_comes_before_the_links_to_it(tmp_path: Path) -> None:
    small(tmp_path / "shared" / "vae" / "x.pth")
    small(tmp_path / "shared" / "vae" / "deeper" / "y.pth")
    for index in range(walk.MAX_ALIASES + 4):
        (tmp_path / "shared" / f"alias{index}").symlink_to("vae")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "link").symlink_to(tmp_path / "shared")
    for top, prefix in ((tmp_path / "shared", ""), (tmp_path / "models", "link/")):
        found = names(top)
        assert {f"{prefix}vae/x.pth", f"{prefix}vae/deeper/y.pth"} <= set(found)
        assert len(found) <= 2 * (1 + walk.MAX_ALIASES)


def test_a_link_to_a_folder_around_is_not_followed_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, opened: list[str]
) -> None:
    """To /, the whole disk would be searched."""
    models = tmp_path / "comfy" / "models"
    small(models / "vae" / "x.pth")
    small(tmp_path / "comfy" / "other" / "y.pth")
    (tmp_path / "alias").symlink_to(tmp_path)
    links = {"root": "/", "up": "../..", "far": str(tmp_path), "by_name": str(tmp_path / "alias")}
    for name, target in links.items():
        (models / "vae" / name).symlink_to(target)
    (models / "vae" / "beside").symlink_to(tmp_path / "comfy" / "other")
    (tmp_path / "comfy" / "other" / "root").symlink_to("/")
    (tmp_path / "tops").symlink_to(models / "vae")
    for top in (models / "vae", tmp_path / "tops", models / "vae"):
        assert names(top) == ["beside/y.pth", "x.pth"]
    for link in [*links, "beside/root"]:
        assert caplog.text.count(f"{models / 'vae' / link} leads to a folder around") == 1
    assert find(models / "vae", "beside/y.pth", ANY) is not None
    for name in ("up/other/y.pth", "far/comfy/other/y.pth", "beside/root" + str(models / "vae" / "x.pth")):
        assert (models / "vae" / name).exists() and find(models / "vae", name, ANY) is None


@pytest.mark.skipif(os.name == "nt", reason="Windows has none of these in a folder")
def test_pipes_sockets_and_devices_are_never_opened(tmp_path: Path, opened: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "device.pth").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(tmp_path)  # a socket's path must be short
        try:
            listener.bind("socket.pth")
        finally:
            os.chdir(before)
    hub = tmp_path / "hub"
    hub.mkdir()
    os.mkfifo(hub / "model.safetensors")
    os.mkfifo(hub / "config.json")
    for entry in entries(tmp_path, MODELS):
        assert isinstance(identify_or_error(entry.place, entry.stamp), str), entry
    for name in ("pipe.safetensors", "device.pth", "socket.pth"):
        assert "pipe or a device" in str(identify_or_error(tmp_path / name))
        with pytest.raises(ValueError, match="pipe or a device"):
            identify(tmp_path / name)
    assert not opened


def test_what_says_that_it_is_empty_is_never_opened(tmp_path: Path, opened: list[str]) -> None:
    """Some of the system's own files do, /proc/kmsg for one, and keep a reader waiting."""
    hub = tmp_path / "hub"
    hub.mkdir()
    empty = ["config.json", "model.safetensors.index.json", "model.safetensors", "a.safetensors", "a.pth"]
    for name in empty:
        (hub / name).touch()
    opened.clear()
    assert model_type(hub) == ""
    assert "empty" in str(identify_or_error(hub))
    (hub / "model.safetensors").unlink()
    assert "empty" in str(identify_or_error(hub))
    for name in empty[3:]:
        assert "empty" in str(identify_or_error(hub / name)) and not is_subject(hub / name)
    assert not opened


def test_names_that_are_no_text_are_left_out_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small(tmp_path / "good é 猫\n.pth")
    try:
        os.mkdir(os.fsencode(tmp_path) + b"/folder\xff")
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.pth")).touch()
    except OSError:  # Apple's file systems refuse such names
        return
    small(Path(os.fsdecode(os.fsencode(tmp_path) + b"/folder\xff/in.pth")))
    for _ in range(2):
        assert names(tmp_path) == ["good é 猫\n.pth"]
    assert caplog.text.count("bad\\udcff.pth in") == 1
    caplog.text.encode()
    assert find(tmp_path, "bad\udcff.pth", ANY) is None


def test_deep_trees_folders_called_like_files_and_endings_in_capitals(tmp_path: Path) -> None:
    small(tmp_path / "UPPER.SAFETENSORS")
    small(tmp_path / "x.safetensors" / "y.pth")
    levels = sys.getrecursionlimit() + 100
    deep = "/".join(["d"] * levels)
    folders = [f"{tmp_path}/{'d/' * count}" for count in range(1, levels + 1)]
    for folder in folders:
        os.mkdir(folder)
    try:
        small(tmp_path / deep / "z.pth")
        assert names(tmp_path) == ["UPPER.SAFETENSORS", f"{deep}/z.pth", "x.safetensors/y.pth"]
        assert find(tmp_path, f"{deep}/z.pth", ANY) is not None
    finally:  # what clears up after tests cannot go so deep
        (tmp_path / deep / "z.pth").unlink(missing_ok=True)
        for folder in reversed(folders):
            os.rmdir(folder)


@pytest.mark.parametrize("place", ["absent", "file", "a\0b", "x" * 300, "y/" * 3000])
def test_a_folder_that_is_none_is_empty(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert entries(f"{tmp_path}/{place}", ANY) == ()
    assert find(f"{tmp_path}/{place}", "x.pth", ANY) is None


def test_too_many_folders_are_not_all_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(40):
        small(tmp_path / f"{index:02}" / "below" / "x.pth")
    small(tmp_path / "near.pth")
    monkeypatch.setattr(walk, "MAX_FOLDERS", 30)
    assert names(tmp_path) == ["near.pth"], "what is near comes first"


def test_folders_that_take_too_long_are_listed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(walk, "_SETTLED_NS", 0)
    small(tmp_path / "x.pth")
    time.sleep(0.05)
    assert names(tmp_path) == ["x.pth"]
    small(tmp_path / "new" / "y.pth")
    small(tmp_path / "x.pth", size=5)
    with monkeypatch.context() as late:
        late.setattr(walk, "MAX_SCAN_SECONDS", -1.0)
        assert [names(tmp_path) for _ in range(3)] == [["x.pth"]] * 3
        assert names(tmp_path / "new") == [], "not seen before"
    assert caplog.text.count(f"{tmp_path} takes long to look through") == 1
    assert names(tmp_path) == ["new/y.pth", "x.pth"]
    time.sleep(0.05)
    assert names(tmp_path) == ["new/y.pth", "x.pth"]
    with monkeypatch.context() as late:
        late.setattr(walk, "MAX_SCAN_SECONDS", -1.0)
        assert names(tmp_path) == ["new/y.pth", "x.pth"], "nothing is new: no time is needed"


def test_files_that_come_and_go_during_walks(tmp_path: Path) -> None:
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            for index in range(20):
                small(tmp_path / f"sub{index % 3}" / f"{index}.safetensors")
            for path in tmp_path.rglob("*.safetensors"):
                path.unlink()
            for folder in tmp_path.iterdir():
                folder.rmdir()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        end = time.monotonic() + 0.7
        while time.monotonic() < end:
            for entry in entries(tmp_path, MODELS):
                identify_or_error(entry.place, entry.stamp)
            find_parts("echogen-2b", {kind: [tmp_path] for kind in installed.KINDS})
    finally:
        done.set()
        thread.join()


# --- one name


def test_a_name_finds_what_the_list_has_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a.pth", "sub/b.safetensors", ".hidden.pth", ".git/c.pth", "text.txt", "hub/config.json"):
        small(tmp_path / name)
    small(tmp_path / "hub" / "model.safetensors")
    small(tmp_path / "hub" / "more" / "d.pth")
    small(tmp_path.parent / "outside.pth")
    listed = entries(tmp_path, MODELS)
    assert [entry.name for entry in listed] == ["a.pth", "hub", "sub/b.safetensors"]
    assert [find(tmp_path, entry.name, MODELS) for entry in listed] == list(listed)
    others: list[Any] = [
        "", ".", "..", "/", "sub", "sub/", "./a.pth", "sub//b.safetensors", "sub/../a.pth", ".hidden.pth",
        ".git/c.pth", "text.txt", "hub/model.safetensors", "hub/more/d.pth", "../outside.pth",
        str(tmp_path / "a.pth"), "a.pth\0", "\ud800", "a" * 100_000, "a/" * 50_000, "a.pth/b.pth", None, 1,
        1.5, True, [], ["a.pth"], {}, {"a": 1}, b"a.pth",
    ]  # fmt: skip
    for name in others:
        assert find(tmp_path, name, MODELS) is None, name


# --- what is remembered


def test_nothing_is_opened_twice_and_one_name_opens_one_file(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []
    module = sys.modules["echogen_core.checkpoints.identify"]  # not the function of that name
    read = module.read_weights
    monkeypatch.setattr(
        module, "read_weights", lambda path, *a, **k: (reads.append(path), read(path, *a, **k))[1]
    )
    for index in range(12):
        small(tmp_path / f"{index}.safetensors")
    (tmp_path / "junk.safetensors").write_bytes(b"no weights")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": None}}))
    opened.clear()
    one = find(tmp_path, "3.safetensors", MODELS)
    assert one is not None and not isinstance(identify_or_error(one.place), str)
    assert reads == [tmp_path / "3.safetensors"] and set(opened) <= {str(reads[0])}

    def look_at_all() -> list[Any]:
        return [identify_or_error(entry.place, entry.stamp) for entry in entries(tmp_path, MODELS)]

    first = look_at_all()
    assert len(first) == len(reads) == 14, "each once, those that cannot be read as well"
    reads.clear()
    opened.clear()
    assert look_at_all() == first and not reads and not opened
    with pytest.raises(ValueError, match=r"junk\.safetensors"):
        identify(tmp_path / "junk.safetensors")
    assert not reads and not opened

    small(tmp_path / "5.safetensors", "mask_decoder.x", 3)  # another kind of file
    assert look_at_all() != first and reads == [tmp_path / "5.safetensors"]


def test_new_changed_and_removed_files_show_at_once(tmp_path: Path) -> None:
    small(tmp_path / "a.safetensors")
    assert names(tmp_path, MODELS) == ["a.safetensors"]
    small(tmp_path / "b.safetensors")
    assert names(tmp_path, MODELS) == ["a.safetensors", "b.safetensors"]
    before = identify_or_error(tmp_path / "b.safetensors")
    (tmp_path / "b.safetensors").write_bytes(TOKENIZER.read_bytes())
    (entry,) = (entry for entry in entries(tmp_path, MODELS) if entry.name == "b.safetensors")
    after = identify_or_error(entry.place, entry.stamp)
    assert before != after and not isinstance(after, str) and after.kind == "tokenizer"
    (tmp_path / "a.safetensors").unlink()
    assert names(tmp_path, MODELS) == ["b.safetensors"]


def test_of_many_files_new_ones_show_at_once_and_changes_within_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "_SETTLED_NS", 50_000_000)
    for index in range(walk.MAX_ALWAYS_SCANNED + 50):
        (tmp_path / f"{index:04}.pth").write_bytes(b"x")
    time.sleep(0.1)  # so that the folder's own time is past, as it is but for the moment of a change
    listed = entries(tmp_path, MODELS)
    assert entries(tmp_path, MODELS) is listed, "looked at once for all lists of one request"
    small(tmp_path / "new.safetensors")
    assert "new.safetensors" in names(tmp_path, MODELS)
    (tmp_path / "0007.pth").unlink()
    assert "0007.pth" not in names(tmp_path, MODELS)
    (tmp_path / "0008.pth").write_bytes(b"changed")
    end = time.monotonic() + 20
    while stamp_of(tmp_path / "0008.pth") not in [e.stamp for e in entries(tmp_path, MODELS)]:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_folders_are_listed_anew_only_when_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    monkeypatch.setattr(walk, "_SETTLED_NS", 0)
    monkeypatch.setattr(walk, "MAX_ALWAYS_SCANNED", 10**9)  # so that each call is a walk
    models, blobs = tmp_path / "models", tmp_path / "blobs"
    for index in range(20):
        hub = models / f"models--a--{index}" / "snapshots" / "abc"
        hub.mkdir(parents=True)
        for name in ("model.safetensors", "config.json", ".gitattributes"):
            small(blobs / f"{index}{name}")
            (hub / name).symlink_to(blobs / f"{index}{name}")
        small(models / f"lora{index}" / "x.safetensors")
    (models / "drive").symlink_to(tmp_path / "not_there_yet")
    time.sleep(0.05)
    before = entries(models, MODELS)
    assert len(before) == 40 and [find(models, entry.name, MODELS) for entry in before] == list(before)
    _listed.clear()
    assert entries(models, MODELS) is before and not _listed

    (blobs / "7model.safetensors").write_bytes(b"changed")
    (models / "lora3" / "x.safetensors").write_bytes(b"changed")
    after = entries(models, MODELS)
    assert not _listed or os.name == "nt", "files alone have changed"
    assert {e.name for e in set(after) - set(before)} == {
        "models--a--7/snapshots/abc", "lora3/x.safetensors"
    }  # fmt: skip
    small(models / "lora5" / "y.safetensors")
    (models / "models--a--9" / "snapshots" / "abc" / "model.safetensors").unlink()
    found = names(models, MODELS)
    assert "lora5/y.safetensors" in found and "models--a--9/snapshots/abc" not in found
    assert len(_listed) == 2 or os.name == "nt", "those two folders"
    small(tmp_path / "not_there_yet" / "z.safetensors")
    assert "drive/z.safetensors" in names(models, MODELS)


def test_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    memory = FileCache(lambda path: path.read_bytes())
    path = small(tmp_path / "a.pth")
    for entry in entries(tmp_path, MODELS):
        memory.of(entry.place, entry.stamp)
    assert memory._cached
    path.unlink()
    assert entries(tmp_path, MODELS) == () and not memory._cached


def _recurse(path: Path) -> int:
    return _recurse(path) + 1


def _panic(path: Path) -> Any:
    """A real one, of the tokenizers library."""
    normalizer = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    model = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    return Tokenizer.from_str(json.dumps({"version": "1.0", "normalizer": normalizer, "model": model}))


@pytest.mark.parametrize("ask", [_recurse, _panic, lambda path: path.nothing, lambda path: {}[path]])
def test_whatever_a_reader_fails_with_is_words_remembered_and_logged_once(
    tmp_path: Path, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[Path] = []

    def counted(path: Path) -> Any:
        asked.append(path)
        return ask(path)

    memory = FileCache(counted)
    path = small(tmp_path / "a.pth")
    first = memory.of(path)
    assert isinstance(first, Failure) and str(path) in first.text and isinstance(first.error(), ValueError)
    assert memory.of(path) == first and len(asked) == 1 and caplog.text.count("Can't read") == 1
    small(path, size=9)
    memory.of(path)
    assert len(asked) == 2, "changed: asked again"


@pytest.mark.parametrize("wish", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_wish_to_stop_passes(tmp_path: Path, wish: type[BaseException]) -> None:
    def ask(path: Path) -> None:
        raise wish

    with pytest.raises(wish):
        FileCache(ask).of(small(tmp_path / "a.pth"))


@pytest.mark.parametrize("fault", [PermissionError("no"), MemoryError(), OSError("cannot be mapped")])
def test_what_may_pass_is_tried_again(
    tmp_path: Path, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    import echogen_core.checkpoints.catalog.file_cache as module

    answers: list[Any] = [fault, "readable"]

    def ask(path: Path) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(module, "TRANSIENT_ERROR_TTL", 0.2)
    memory = FileCache(ask)
    path = small(tmp_path / "a.pth")
    assert isinstance(memory.of(path), Failure) and isinstance(memory.of(path), Failure)
    time.sleep(0.25)
    assert memory.of(path) == "readable"


def test_two_threads_ask_at_once(tmp_path: Path) -> None:
    """The prompt's thread and the server's, while files change."""
    faults: list[BaseException] = []
    for index in range(30):
        small(tmp_path / f"{index}.safetensors")

    def ask() -> None:
        try:
            for turn in range(15):
                for entry in entries(tmp_path, MODELS):
                    identify_or_error(entry.place, entry.stamp)
                list(candidates([tmp_path]))
                small(tmp_path / f"{turn}.safetensors", size=turn + 1)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
