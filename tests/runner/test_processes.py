"""What a check has started ends with it: when it ends by itself, falls silent, is stopped, or by Ctrl+C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from runner import processes

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120.0
LEVELS = {"check", "child", "server", "browser"}
# A check with a child that starts a server, deaf to gentle signals, and a browser, in a session of its own as
# Chromium is. Each holds a connection to the test for as long as it lives.
FAMILY = """
import select, signal, socket, subprocess, sys, time
port, level, then = sys.argv[1:]
def below(name, **options):
    subprocess.Popen([sys.executable, __file__, port, name, then], **options)
if level == "check":
    below("child")
else:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if level == "child":
    below("server")
    below("browser", start_new_session=then != "ends")
line = socket.create_connection(("127.0.0.1", int(port)))
line.sendall(level.encode())
if level == "check":
    print("waits for all", flush=True)
    while not select.select([line], [], [], 0.05)[0]:
        print("waits for all", flush=True)
    end = time.monotonic() + 4
    while then == "works" and time.monotonic() < end:
        print("works", flush=True)
        time.sleep(0.05)
    if then == "ends":
        sys.exit(3)
time.sleep(1000)
"""


class Family:
    """The command, and who of it lives."""

    def __init__(self, folder: Path) -> None:
        self.script = folder / "family.py"
        self.script.write_text(FAMILY, encoding="utf-8")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(SECONDS)
        self.lines: dict[str, socket.socket] = {}

    def command(self, then: str) -> list[str]:
        return [sys.executable, str(self.script), str(self.listener.getsockname()[1]), "check", then]

    def meet(self) -> None:
        """Waits until all are there, then lets the check go on."""
        while self.lines.keys() != LEVELS:
            line, _ = self.listener.accept()
            line.settimeout(SECONDS)
            self.lines[line.recv(20).decode()] = line
        self.lines["check"].sendall(b"x")

    def has_ended(self) -> None:
        """Fails when one of them still lives."""
        for name, line in self.lines.items():
            with suppress(ConnectionError):  # the way in which Windows ends a connection
                assert line.recv(1) == b"", name


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    family = Family(tmp_path)
    yield family
    for line in (*family.lines.values(), family.listener):
        line.close()


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    """What happens while the command runs."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_a_command_that_works_is_left_alone_and_one_that_is_silent_is_stopped(
    family: Family, beside: ThreadPoolExecutor, tmp_path: Path
) -> None:
    met = beside.submit(family.meet)
    log = tmp_path / "log"
    with pytest.raises(processes.OutputTimeout, match="nothing for 3 s"):
        processes.run(family.command("works"), tmp_path, os.environ, log, max_silent_seconds=3)
    assert "works" in log.read_text(), "it worked for longer than it may be silent"
    met.result()
    family.has_ended()


def test_a_command_that_is_stopped_ends_with_all_it_started(
    family: Family, beside: ThreadPoolExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.5)
    stop = threading.Event()

    def stop_when_all_are_there() -> None:
        family.meet()
        stop.set()

    met = beside.submit(stop_when_all_are_there)
    with pytest.raises(processes.Stopped):
        processes.run(family.command("stays"), tmp_path, os.environ, tmp_path / "log", stop=stop)
    met.result()
    family.has_ended()


def test_what_a_command_left_behind_ends_with_it(
    family: Family, beside: ThreadPoolExecutor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if os.name == "nt":
        return  # there nothing tells whose children the orphans are
    met = beside.submit(family.meet)
    code = processes.run(family.command("ends"), tmp_path, os.environ, tmp_path / "log", echo=True)
    assert code == 3
    assert "waits for all" in capsys.readouterr().out, "shown as it comes"
    met.result()
    family.has_ended()


INTERRUPTED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import run
from runner import checks, comfyui, environment, session

class Family(checks.Checks):
    def unit(self):
        return self.call(sys.argv[3:]) == 0

    def nodes(self):
        return self.call([sys.executable, "-c", "import time; time.sleep(1000)"]) == 0

    def golden(self):
        Path("golden began").touch()

def family(setting, found, only):
    folder = Path(sys.argv[2])
    comfy = comfyui.ComfyUI(folder, users_own=True, found_by="a test")
    alone = Family(session.Setting(folder, folder), environment.Environment(folder), comfy, folder)
    return all(outcome.passed for outcome in checks.side_by_side(alone, ["unit", "golden", "nodes"]))

checks.run = family
sys.exit(run.main(["test"]))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_ctrl_c_or_a_closed_terminal_ends_the_checks_and_what_they_started(
    name: str, family: Family, tmp_path: Path
) -> None:
    if os.name == "nt":
        return  # there Ctrl+C reaches all processes of the console by itself
    command = [sys.executable, "-c", INTERRUPTED, str(ROOT), str(tmp_path), *family.command("stays")]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as running:
        family.meet()
        running.send_signal(getattr(signal, name))
        said, _ = running.communicate(timeout=SECONDS)
        assert running.returncode == 130 and b"Stopped" in said
    family.has_ended()
    assert not (tmp_path / "golden began").exists(), "no further check begins"
