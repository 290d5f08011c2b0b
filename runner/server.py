"""A ComfyUI server as a child process, and its HTTP interface. Used by the commands and the tests."""

from __future__ import annotations

import json
import mimetypes
import os
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .say import Problem, make_folder

READY_SECONDS = 300.0  # a busy machine takes a minute
READY_SECONDS_OF_A_USERS = 1800.0  # with many packs, some of which install things first


class PromptFailed(Exception):
    """The server refused a prompt, or a node of it failed; the text is the server's."""


@dataclass
class Client:
    """The HTTP interface of a ComfyUI at `url`."""

    url: str
    client_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def get(self, path: str, timeout: float = 30.0) -> bytes:
        """The answer's body. Raises URLError or HTTPError."""
        with urllib.request.urlopen(self.url + path, timeout=timeout) as answer:
            return bytes(answer.read())

    def get_json(self, path: str) -> Any:
        """The answer's JSON. Raises as `get`."""
        return json.loads(self.get(path))

    def post(self, path: str, body: bytes, content_type: str, timeout: float = 60.0) -> bytes:
        """The answer's body. Raises as `get`."""
        request = urllib.request.Request(self.url + path, data=body, headers={"Content-Type": content_type})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return bytes(answer.read())

    def post_json(self, path: str, value: Any) -> Any:
        """The answer's JSON, None where it is empty. Raises as `get`."""
        answer = self.post(path, json.dumps(value).encode(), "application/json")
        return json.loads(answer) if answer.strip() else None

    def upload_image(self, picture: Path, name: str | None = None) -> str:
        """Puts a picture into the server's input folder; returns the name that LoadImage takes."""
        name = name or picture.name
        boundary = uuid.uuid4().hex
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        )
        body = head.encode() + picture.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        answer = json.loads(self.post("/upload/image", body, f"multipart/form-data; boundary={boundary}"))
        return str(answer["name"])

    def queue(self, prompt: dict[str, Any], **extra_data: Any) -> str:
        """Queues an API-format graph; returns its id. Raises PromptFailed when the server refuses any of it.

        ComfyUI accepts a graph when one of its outputs is sound, and leaves out the others.
        extra_data: what goes along with it, as the front end's own settings do.
        """
        request = {"prompt": prompt, "client_id": self.client_id, "extra_data": extra_data}
        try:
            answer = self.post_json("/prompt", request)
        except urllib.error.HTTPError as error:
            raise PromptFailed(error.read().decode("utf-8", "replace")) from error
        if answer.get("node_errors"):
            raise PromptFailed(json.dumps(answer["node_errors"]))
        return str(answer["prompt_id"])

    def wait(self, prompt_id: str, timeout: float = 300.0) -> dict[str, Any]:
        """The history entry of a prompt that has ended; raises PromptFailed when it ended badly."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            entry = self.get_json(f"/history/{prompt_id}").get(prompt_id)
            if entry and entry.get("status", {}).get("completed") is not None:
                if entry["status"]["status_str"] != "success":
                    raise PromptFailed(error_text(entry))
                return dict(entry)
            time.sleep(0.05)
        raise PromptFailed(f"prompt {prompt_id} was not done after {timeout:.0f} s")

    def pictures(self, entry: dict[str, Any]) -> list[tuple[str, bytes]]:
        """Node id and file content of every picture that a history entry lists."""
        found = []
        for node, output in entry["outputs"].items():
            for image in output.get("images", []):
                query = {key: image[key] for key in ("filename", "subfolder", "type")}
                found.append((node, self.get("/view?" + urllib.parse.urlencode(query))))
        return found


def error_text(entry: dict[str, Any]) -> str:
    """The exception's own words in a history entry of a failed prompt."""
    for kind, data in entry["status"].get("messages", []):
        if kind == "execution_error":
            return f"{data['node_type']}: {data['exception_message'].strip()}"
    return json.dumps(entry["status"])


@dataclass
class Server:
    """A running ComfyUI and the way to talk to it."""

    process: subprocess.Popen[bytes]
    client: Client
    log: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.client.url

    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process.poll() is None


def free_port(preferred: int = 8188) -> int:
    """`preferred` when nothing listens there, else any free port of the loopback."""
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            if os.name != "nt":
                # Without it a port in TIME_WAIT looks taken; on Windows it would allow a port in use.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Problem("No free port on the loopback interface.")


def command(
    python: Path, comfy: Path, base: Path, port: int, extra: Sequence[str], closed: bool = True
) -> list[str]:
    """The command line of a server.

    closed: it leaves nothing outside `base`, and nothing of the user's is in it. Otherwise it is the user's
    own ComfyUI as they start it: its folders, settings and database, and with its API nodes.
    """
    shut = [
        *("--listen", "127.0.0.1"),
        *("--base-directory", str(base)),
        *("--database-url", "sqlite:///:memory:"),
        "--disable-api-nodes",
        "--disable-auto-launch",
    ]
    start = [str(python), "-u", str(comfy / "main.py"), "--port", str(port)]
    return [*start, *(shut if closed else ()), *extra]


@contextmanager
def running(
    python: Path,
    comfy: Path,
    base: Path,
    port: int | None = None,
    extra: Sequence[str] = (),
    environ: dict[str, str] | None = None,
    closed: bool = True,
) -> Iterator[Server]:
    """Starts the server, waits until it answers, and stops it at the end.

    base: a folder of ours, for the log and, where the server is `closed`, for all that it makes.
    Raises Problem, with the end of its log, when it stops or does not answer in time; and when `port` is
    taken, for then another server would answer.
    """
    make_folder(base, "The folder for the server's log")
    if port and free_port(port) != port:
        raise Problem(
            f"Port {port} is taken: another server, perhaps a ComfyUI, answers there. Stop that one, give "
            "another --port, or leave --port out for a free one."
        )
    port = port or free_port()
    log = base / "comfyui.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command(python, comfy, base, port, extra, closed),
            cwd=comfy,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", **(environ or {})},
        )
    try:
        server = Server(process, Client(f"http://127.0.0.1:{port}"), log)
        wait_ready(server, READY_SECONDS if closed else READY_SECONDS_OF_A_USERS)
        yield server
    finally:
        stop(process)


def wait_ready(server: Server, seconds: float = READY_SECONDS) -> None:
    """Returns when /system_stats answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not server.alive():
            raise Problem(f"ComfyUI stopped while starting. The end of {server.log}:\n{log_tail(server.log)}")
        try:
            server.client.get("/system_stats", timeout=5)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise Problem(
        f"ComfyUI gave no answer in {seconds:.0f} s. The end of {server.log}:\n{log_tail(server.log)}"
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the server, gently first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def log_tail(path: Path, lines: int = 25) -> str:
    """The last lines of the server's log."""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
