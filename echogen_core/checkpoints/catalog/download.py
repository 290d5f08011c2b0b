"""Downloads published files through huggingface_hub: resumable, and verified before they count.

A file is written next to its target (`.<name>.<hash>.partial`) and moved there once its hash matches the
hub's. huggingface_hub's own `hf_hub_download` discards the partial file of an interrupted run (2.x), too much
to lose of ten gigabytes, so only the transfer is its. Processes take turns: a second one waits, then resumes
what the first has fetched, which is why the name is not one of writing.py's. HF_ENDPOINT, HF_TOKEN,
HF_HUB_OFFLINE and the proxy variables work as usual.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial as with_arguments
from pathlib import Path
from typing import Any

from ...utils.disk import DISK_FULL, explained, failure, format_size
from ...utils.locks import exclusive_lock
from .published_models import PublishedFile, PublishedPart

logger = logging.getLogger(__name__)

_BLOCK = 1 << 20
_DISK_ERRNOS = (*DISK_FULL, errno.EFBIG, errno.EROFS, errno.EIO)
"""Errors of the local disk, not of the network."""


@dataclass(frozen=True)
class Remote:
    """A file as the hub has it. etag: sha256 of a large file, git's blob hash of a small one."""

    url: str
    etag: str
    size: int


def download_part(
    part: PublishedPart,
    folder: Path,
    endpoint: str | None = None,
    report: Callable[[str], None] = logger.info,
) -> Path:
    """All files of a part, into ComfyUI's `folder`, less those that are there; returns what is there then.

    Args:
        endpoint: another hub than HF_ENDPOINT's.
        report: told what is being done, a line each.
    Raises:
        ValueError: the part is not published, or what came is not what the hub announced.
        ModuleNotFoundError: huggingface_hub is not installed.
        OSError: no access, no connection, no space, or another file is in the way. The message says what to
            do; what has been fetched is kept for the next run.
    """
    if part.hub is None:
        raise ValueError(f"{part.name} cannot be downloaded: it comes from {part.source}.")
    place = folder / part.subfolder
    for file in part.files:
        target = place / file.name
        remote = _remote_file(part, file, endpoint)
        if _is_installed(target, remote, report):
            continue
        report(f"{part.hub}: {file.name}, {format_size(remote.size)}, into {place}")
        with explained(target):
            place.mkdir(parents=True, exist_ok=True)
        waiting = with_arguments(_say_waiting, target, remote, report)
        with exclusive_lock(place / f".{target.name}.lock", waiting):
            # another process may have fetched it meanwhile
            if not _is_installed(target, remote, report):
                _fetch(part, remote, target, report)
                _remove_stale_partials(target)
    return folder / part.name


def _say_waiting(target: Path, remote: Remote, report: Callable[[str], None]) -> None:
    downloaded = _size(_partial(target, remote))
    progress = f"{format_size(downloaded)} of {format_size(remote.size)} so far"
    report(
        f"another process is downloading {target} ({progress}): waiting for it. Ctrl+C stops only this one"
    )


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ModuleNotFoundError(
            "Downloading needs huggingface_hub, which comes with ComfyUI (through transformers). Run this "
            "with ComfyUI's own Python, or: pip install huggingface_hub"
        ) from error
    return huggingface_hub


def _remote_file(part: PublishedPart, file: PublishedFile, endpoint: str | None) -> Remote:
    """Where a file is, how large, and its hash. Raises OSError as `download_part`."""
    hub = _hub()
    url = hub.hf_hub_url(part.hub, file.name, endpoint=endpoint)
    try:
        found = hub.get_hf_file_metadata(url)
    except Exception as error:  # which classes there are depends on huggingface_hub's HTTP library
        raise _explained(error, part, file.name) from error
    if found.etag is None or found.size is None:
        raise ConnectionError(
            f"{url} answers without a hash or a size, so it is not a hub. Check HF_ENDPOINT and proxies."
        )
    if file.sha256 not in (None, found.etag):
        logger.warning("%s: the hub has another version of %s than this pack knows.", part.hub, file.name)
    return Remote(url, found.etag, found.size)


def _fetch(part: PublishedPart, remote: Remote, target: Path, report: Callable[[str], None]) -> None:
    partial = _partial(target, remote)
    downloaded = _size(partial)
    if downloaded > remote.size:
        partial.unlink()
        downloaded = 0
    if downloaded:
        report(f"resuming at {format_size(downloaded)}")
    _check_space(target.parent, remote.size - downloaded, downloaded)
    if downloaded < remote.size:  # else it was stopped before it could be looked at
        _transfer(part, remote, target, partial, downloaded)
    if not _is_whole(partial, remote):
        partial.unlink()
        raise ValueError(
            f"{target.name} arrived damaged (its hash is not {remote.etag}, which the hub announced), so it "
            "was deleted. Run this again; if that doesn't help, a proxy or mirror (HF_ENDPOINT) alters files."
        )
    with explained(target):
        os.replace(partial, target)


def _transfer(part: PublishedPart, remote: Remote, target: Path, partial: Path, downloaded: int) -> None:
    """Appends the rest of a file to the `downloaded` bytes that are there."""
    from huggingface_hub.file_download import http_get

    # Plain bytes: a compressed answer could not be resumed.
    headers = _hub().utils.build_hf_headers() | {"Accept-Encoding": "identity"}
    with explained(target), partial.open("ab") as out:
        try:
            http_get(
                remote.url,
                out,
                resume_size=downloaded,
                headers=headers,
                expected_size=remote.size,
                displayed_filename=target.name,
            )
            out.flush()
            os.fsync(out.fileno())  # before it is looked at: a power cut must not change it after that
        except Exception as error:  # which classes there are depends on huggingface_hub's HTTP library
            downloaded = _size(partial)
            if isinstance(error, OSError) and error.errno in _DISK_ERRNOS:
                raise _disk_failure(error, target, remote.size - downloaded, downloaded) from error
            raise _explained(error, part, target.name, downloaded) from error


def _size(partial: Path) -> int:
    """Bytes of a file; 0 when there is none."""
    try:
        return partial.stat().st_size
    except FileNotFoundError:
        return 0


def _partial(target: Path, remote: Remote) -> Path:
    return target.with_name(f".{target.name}.{remote.etag[:16]}.partial")


def _remove_stale_partials(target: Path) -> None:
    """Removes partial downloads of other versions of a complete file; the lock keeps other processes out."""
    begun = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{16}}\.partial")
    for path in target.parent.iterdir():
        if begun.fullmatch(path.name):
            path.unlink()


def _is_installed(target: Path, remote: Remote, report: Callable[[str], None]) -> bool:
    """Whether the hub's file stands in its place. FileExistsError when another one does."""
    if not target.exists():
        return False
    if not _is_whole(target, remote):
        raise FileExistsError(
            f"{target} is in the way: it is not the hub's file (cut off, or of another kind). Move it away "
            "or delete it, then run this again."
        )
    report(f"{target} is already complete")
    return True


def _is_whole(path: Path, remote: Remote) -> bool:
    """Whether size and hash are the hub's. A hash of an unknown kind leaves the size to decide."""
    if path.stat().st_size != remote.size:
        return False
    if re.fullmatch("[0-9a-f]{64}", remote.etag):
        digest = hashlib.sha256()
    elif re.fullmatch("[0-9a-f]{40}", remote.etag):
        digest = hashlib.sha1(b"blob %d\0" % remote.size)  # as git names its objects
    else:
        return True
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest() == remote.etag


def _check_space(folder: Path, needed: int, downloaded: int) -> None:
    if shutil.disk_usage(folder).free < needed:
        raise _no_space(folder, needed, downloaded)


def _disk_failure(error: OSError, target: Path, needed: int, downloaded: int) -> OSError:
    if error.errno in DISK_FULL:
        return _no_space(target.parent, needed, downloaded)
    return failure(error, target, outcome=_downloaded_note(downloaded))


def _no_space(folder: Path, needed: int, downloaded: int) -> OSError:
    free = format_size(shutil.disk_usage(folder).free)
    return OSError(
        f"The disk of {folder} is too full: {format_size(needed)} more are needed, {free} are free. "
        f"Make room, or move the folder to a larger disk (extra_model_paths.yaml); then run this "
        f"again. {_downloaded_note(downloaded)}".rstrip()
    )


def _downloaded_note(downloaded: int) -> str:
    return f"The {format_size(downloaded)} downloaded so far are kept." if downloaded else ""


def _explained(error: Exception, part: PublishedPart, name: str, downloaded: int = 0) -> OSError:
    """What went wrong between the hub and us, and what to do."""
    from huggingface_hub import errors

    where = f"{part.source} ({name})"
    manually = f"or fetch it in a browser from {part.source}"
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return ConnectionError(
            f"{where} was not fetched: HF_HUB_OFFLINE is set. Unset it, {manually} (on another machine, if "
            "need be)."
        )
    if isinstance(error, errors.GatedRepoError):
        step = part.licence or f"sign in at {part.source}, accept the terms, and set HF_TOKEN"
        return PermissionError(f"{where} is available only after you accept its licence: {step}.")
    if isinstance(error, errors.EntryNotFoundError):
        return FileNotFoundError(
            f"{where}: the repository no longer has this file. Update this pack, {manually}."
        )
    if status in (401, 403, 404) or isinstance(error, errors.RepositoryNotFoundError):
        return PermissionError(
            f"{where}: the hub refuses ({status}). An expired token is refused like this: renew it "
            f" (`hf auth login`, or HF_TOKEN), {manually}."
        )
    return ConnectionError(
        f"{where} could not be fetched ({type(error).__name__}: {error}). Check the connection and run this "
        f"again, {manually}. {_downloaded_note(downloaded)}".rstrip()
    )
