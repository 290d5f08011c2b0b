"""Downloads from a hub on this machine: whole, broken off, altered, refused, and on a full disk."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from echogen_core.checkpoints.catalog.download import download_part
from echogen_core.checkpoints.catalog.published_models import PublishedFile, PublishedPart
from echogen_core.utils.locks import exclusive_lock
from tests.core import warm_process

from .hub_server import Hub, serving

BIG = random.Random(0).randbytes(3_000_000)
SMALL = b'{"model_type": "t5"}\n'
PART = PublishedPart(
    "text",
    "owner/model",
    (PublishedFile("config.json"), PublishedFile("weights.safetensors")),
    0.003,
    "3 MB",
    "text_encoders",
    subfolder="model",
    licence="accept the licence at the hub",
)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    # A bar would say at 0 % what the test already knows.
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # What comes is written in pieces of this size: ordinarily 10 MB, more than this hub's files have.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 50_000)
    files = {"owner/model/config.json": SMALL, "owner/model/weights.safetensors": BIG}
    with serving(Hub(files, large={"owner/model/weights.safetensors"})) as running:
        yield running


def fetch(hub: Hub, folder: Path, part: PublishedPart = PART) -> Path:
    return download_part(part, folder, endpoint=hub.endpoint)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_every_file_arrives_and_is_not_fetched_twice(hub: Hub, tmp_path: Path) -> None:
    assert fetch(hub, tmp_path) == tmp_path / "model"
    assert (tmp_path / "model" / "weights.safetensors").read_bytes() == BIG
    assert (tmp_path / "model" / "config.json").read_bytes() == SMALL
    assert names(tmp_path) == ["config.json", "weights.safetensors"], "nothing is left lying about"
    fetched = len(hub.bodies())
    fetch(hub, tmp_path)
    assert len(hub.bodies()) == fetched == 1


def test_a_cut_connection_is_taken_up_where_it_ended(hub: Hub, tmp_path: Path) -> None:
    hub.cut_after = 1_000_000
    with pytest.raises(OSError, match=r"run this again.*1\.0 MB downloaded so far are kept"):
        fetch(hub, tmp_path)
    (partial,) = (tmp_path / "model").glob(".*.partial")
    have = partial.stat().st_size
    assert 0 < have <= 1_000_000 and partial.read_bytes() == BIG[:have]

    hub.broken = False
    fetch(hub, tmp_path)
    assert (tmp_path / "model" / "weights.safetensors").read_bytes() == BIG
    assert hub.bodies()[-1] == f"bytes={have}-", "only the rest was asked for"
    assert names(tmp_path) == ["config.json", "weights.safetensors"]


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json"])
def test_a_wrong_hash_is_thrown_away(hub: Hub, tmp_path: Path, name: str) -> None:
    whole = hub.files[f"owner/model/{name}"]
    hub.altered[f"owner/model/{name}"] = whole[:-1] + b"!"
    with pytest.raises(ValueError, match=f"{name} arrived damaged"):
        fetch(hub, tmp_path)
    assert name not in names(tmp_path) and not list((tmp_path / "model").glob(".*"))
    hub.altered.clear()
    fetch(hub, tmp_path)
    assert (tmp_path / "model" / name).read_bytes() == whole


def test_another_file_in_the_place_is_not_overwritten(hub: Hub, tmp_path: Path) -> None:
    mine = tmp_path / "model" / "weights.safetensors"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    with pytest.raises(OSError, match="is in the way"):
        fetch(hub, tmp_path)
    assert mine.read_bytes() == b"mine"


def test_a_disk_that_is_too_small_is_told_beforehand(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=2_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"too full: 3\.0 MB more are needed, 2\.0 MB are free\. Make room"):
        fetch(hub, tmp_path)
    assert hub.bodies() == [] and names(tmp_path) == ["config.json"]


def test_a_disk_that_fills_up_keeps_what_has_come(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import file_download

    real = file_download.http_get

    def filling(url: str, out: Any, **options: Any) -> None:
        if url.endswith("config.json"):
            real(url, out, **options)
            return
        out.write(BIG[:1_000_000])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(file_download, "http_get", filling)
    with pytest.raises(OSError, match=r"too full.*so far are kept"):
        fetch(hub, tmp_path)
    monkeypatch.undo()
    fetch(hub, tmp_path)
    assert hub.bodies() == ["bytes=1000000-"]
    assert (tmp_path / "model" / "weights.safetensors").read_bytes() == BIG


def test_a_gated_repository_names_the_licence_step(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated.add("owner/model")
    with pytest.raises(PermissionError, match="accept the licence at the hub"):
        fetch(hub, tmp_path)
    assert names(tmp_path) == []
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch(hub, tmp_path)
    assert names(tmp_path) == ["config.json", "weights.safetensors"]
    assert set(hub.tokens) == {None}, "the token stays with the hub"


def test_what_the_hub_does_not_have(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match=r"refuses \(401\)"):
        fetch(hub, tmp_path, replace(PART, hub="owner/private"))
    with pytest.raises(FileNotFoundError, match="no longer has this file"):
        fetch(hub, tmp_path, replace(PART, files=(PublishedFile("renamed.pth"),)))
    with pytest.raises(ValueError, match="nowhere yet"):
        fetch(hub, tmp_path, replace(PART, hub=None))


def test_no_hub_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match="Check the connection"):
        download_part(PART, tmp_path, endpoint="http://127.0.0.1:9")


def test_offline_mode_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match=r"HF_HUB_OFFLINE is set.*https://huggingface\.co/owner/model"):
        download_part(PART, tmp_path)


def test_a_missing_library_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModuleNotFoundError, match=r"comes with ComfyUI.*pip install huggingface_hub"):
        download_part(PART, tmp_path)


# --- two at once, and killed


def another(hub: Hub, folder: Path) -> BaseProcess:
    """A process that fetches the same; it has a megabyte of the weights, and waits for the rest."""
    hub.halt_after = 1_000_000
    program = "tests.core.checkpoints.test_download:fetch_in_pieces"
    process = warm_process.start(program, [str(folder), hub.endpoint], {})
    while not any(path.stat().st_size >= 1_000_000 for path in (folder / "model").glob(".*.partial")):
        assert process.exitcode is None
        time.sleep(0.02)
    return process


def fetch_in_pieces(arguments: list[str]) -> int:
    """FOLDER ENDPOINT: the part, in pieces of the size that `hub` sets for this process."""
    from huggingface_hub import constants

    folder, endpoint = arguments
    constants.DOWNLOAD_CHUNK_SIZE = 50_000
    download_part(PART, Path(folder), endpoint=endpoint)
    return 0


def test_a_second_download_waits_and_finds_the_file_whole(hub: Hub, tmp_path: Path) -> None:
    part = replace(PART, files=PART.files[1:])
    said: list[str] = []

    def report(line: str) -> None:
        said.append(line)
        if "waiting" in line:
            hub.gate.set()

    process = another(hub, tmp_path)
    download_part(part, tmp_path, endpoint=hub.endpoint, report=report)
    assert warm_process.status(process, 300) == 0
    assert re.search(r"is downloading .*weights.* \(1\.0 MB of 3\.0 MB so far\): waiting", said[1])
    assert said[-1].endswith("weights.safetensors is already complete")
    assert hub.bodies() == [None], "fetched once"
    assert (tmp_path / "model" / "weights.safetensors").read_bytes() == BIG
    assert names(tmp_path) == ["config.json", "weights.safetensors"]


def test_a_download_goes_on_where_a_killed_one_ended(hub: Hub, tmp_path: Path) -> None:
    """The second waits while the first lives, and needs nobody to take a lock away when it was killed."""
    process = another(hub, tmp_path)
    begun = next((tmp_path / "model").glob(".*.partial"))
    said: list[str] = []

    def report(line: str) -> None:
        said.append(line)
        if "waiting" in line:
            process.kill()
            process.join()

    download_part(PART, tmp_path, endpoint=hub.endpoint, report=report)
    assert "resuming at 1.0 MB" in said
    first, second = hub.bodies()
    assert first is None and second == "bytes=1000000-" and not begun.exists()
    assert (tmp_path / "model" / "weights.safetensors").read_bytes() == BIG
    assert names(tmp_path) == ["config.json", "weights.safetensors"]


def test_who_waits_can_be_stopped_and_the_other_goes_on(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with exclusive_lock(tmp_path / "model" / ".config.json.lock"):

        def report(line: str) -> None:
            if "waiting" in line:
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            download_part(PART, tmp_path, endpoint=hub.endpoint, report=report)
    fetch(hub, tmp_path)
    assert names(tmp_path) == ["config.json", "weights.safetensors"]


def test_what_was_whole_when_it_was_stopped_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    """Killed between the last byte and the move; of an older version something is left as well."""
    place = tmp_path / "model"
    place.mkdir()
    etag = hub.etag("owner/model/weights.safetensors")
    (place / f".weights.safetensors.{etag[:16]}.partial").write_bytes(BIG)
    (place / f".weights.safetensors.{'0' * 16}.partial").write_bytes(b"older")
    fetch(hub, tmp_path)
    assert hub.bodies() == [] and names(tmp_path) == ["config.json", "weights.safetensors"]


def test_a_disk_without_locks_is_said(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    fetch(hub, tmp_path)
    assert "cannot be locked" in caplog.text and "do not start a second process" in caplog.text
    assert names(tmp_path) == ["config.json", "weights.safetensors"]
