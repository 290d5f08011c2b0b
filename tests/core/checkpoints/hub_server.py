"""A hub of one's own on 127.0.0.1: the part of the model hub's protocol that downloading files needs."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the hub holds, how it misbehaves, and what it was asked.

    files: "owner/name/file" -> content; large: those that lie on another host, as LFS files do. gated:
    repositories that want a token. cut_after: bytes of a body after which the connection ends, once; from
    then on bodies are refused with 503 while `broken` stands. halt_after: bytes of a body after which, once,
    the rest waits for `gate`. altered: what is sent in place of a file.
    asked: (method, path, range) of every request. tokens: what came along to the other host.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    gated: set[str] = field(default_factory=set)
    altered: dict[str, bytes] = field(default_factory=dict)
    cut_after: int | None = None
    broken: bool = False
    halt_after: int | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    port: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def etag(self, name: str) -> str:
        content = self.files[name]
        if name in self.large:
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def bodies(self) -> list[str | None]:
        """The ranges of the transfers so far; None: from the start."""
        return [ranges for method, path, ranges in self.asked if method == "GET" and "/cdn/" in path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        self.hub.asked.append((self.command, self.path, self.headers.get("Range")))
        if self.path.startswith("/cdn/"):
            self.hub.tokens.append(self.headers.get("Authorization"))
            self._send_content(self.path[len("/cdn/") :], body)
            return
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/main/(.+)", self.path)
        repository, name = (found[1], f"{found[1]}/{found[2]}") if found else ("", "")
        if repository in self.hub.gated and not self.headers.get("Authorization"):
            self._refuse(401, "GatedRepo")
        elif not any(key.startswith(f"{repository}/") for key in self.hub.files):
            self._refuse(401, "RepoNotFound")
        elif name not in self.hub.files:
            self._refuse(404, "EntryNotFound")
        elif name in self.hub.large:
            self.send_response(302)
            self._describe(name)
            # Another host, as with the real hub: no token may go there.
            self.send_header("Location", f"http://localhost:{self.hub.port}/cdn/{name}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send_content(name, body)

    def _describe(self, name: str) -> None:
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{self.hub.etag(name)}"')
        if name in self.hub.large:
            self.send_header("X-Linked-Size", str(len(self.hub.files[name])))
            self.send_header("X-Linked-ETag", f'"{self.hub.etag(name)}"')

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_content(self, name: str, body: bool) -> None:
        if self.hub.broken and body:
            self._refuse(503, "")
            return
        content = self.hub.altered.get(name, self.hub.files[name])
        start = int((self.headers.get("Range") or "bytes=0-")[len("bytes=") :].split("-")[0])
        self.send_response(206 if start else 200)
        self._describe(name)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if not body:
            return
        cut = self.hub.cut_after
        if cut is not None and len(content) - start > cut:
            self.hub.cut_after, self.hub.broken = None, True
            self.wfile.write(content[start : start + cut])
            self.wfile.flush()
            self.close_connection = True
            return
        halt = self.hub.halt_after
        if halt is not None and len(content) - start > halt:
            self.hub.halt_after = None
            self.wfile.write(content[start : start + halt])
            self.wfile.flush()
            start += halt
            self.hub.gate.wait()
        with suppress(ConnectionError):  # who asked may have been killed
            self.wfile.write(content[start:])


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub at `hub.endpoint`, on this machine only."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
