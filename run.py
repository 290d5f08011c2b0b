#!/usr/bin/env python3
"""EchoGen for ComfyUI, in one command. Standard library only; Python 3.10 or newer.

python run.py                  set up everything, start ComfyUI with this pack, open the quickstart
python run.py demo --out DIR   the same without a browser: make one picture and write it to DIR
python run.py test             run every check

What it makes lies in .venv and .comfy beside this file (--state DIR: elsewhere). Options for pip go through
pip's own environment variables, such as PIP_INDEX_URL, PIP_EXTRA_INDEX_URL and PIP_PROXY.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

PACK = Path(__file__).absolute().parent  # not resolved: where the pack is linked to tells the ComfyUI

OPTIONS_OF_COMMANDS = {  # the others go with every command
    "out": ("demo",),
    "only": ("test",),
    "no_browser": ("start",),
    "python": ("start",),
    "cpu": ("start", "demo"),
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; exits with a message when an option does not go with the command."""
    parser = argparse.ArgumentParser(
        prog="run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="?", choices=("start", "demo", "test"), default="start")
    parser.add_argument(
        "--comfyui",
        metavar="PATH",
        help="your ComfyUI (default: COMFYUI_PATH, for tests ECHOGEN_COMFYUI; otherwise one is downloaded)",
    )
    parser.add_argument(
        "--python",
        metavar="PATH",
        help="start: your ComfyUI's Python (default: the one beside it, the one that runs this, "
        "or the active one)",
    )
    parser.add_argument("--state", metavar="DIR", help="where .venv and .comfy go (default: beside run.py)")
    parser.add_argument("--port", type=port_number, help="the server's port (default: 8188, or a free one)")
    parser.add_argument("--cpu", action="store_true", help="start, demo: compute on the CPU")
    parser.add_argument("--no-browser", action="store_true", help="start: do not open the quickstart")
    parser.add_argument("--out", metavar="DIR", help="demo: where the pictures go (default: out)")
    parser.add_argument("--only", metavar="NAMES", help="test: some checks, such as lint,types,unit")
    options = parser.parse_args(arguments)
    for option, commands in OPTIONS_OF_COMMANDS.items():
        if getattr(options, option) and options.command not in commands:
            parser.error(f"--{option.replace('_', '-')} goes with `run.py {'` or `run.py '.join(commands)}`")
    return options


def port_number(text: str) -> int:
    """A port that a server can be given."""
    if text.isdecimal() and 1 <= int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {text}")


def main(arguments: Sequence[str]) -> int:
    """Carries out the command; the exit status."""
    from runner import checks, comfyui, session
    from runner.say import Problem, make_folder, named_path, say

    options = parse(arguments)
    # Ended from outside, or with its terminal, as by Ctrl+C: what was started must end as well.
    for name in ("SIGTERM", "SIGHUP"):
        ending = getattr(signal, name, None)  # Windows has no SIGHUP
        if ending is not None and signal.getsignal(ending) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(ending, signal.default_int_handler)
    try:
        state = make_folder(named_path(options.state, "--state"), "--state") if options.state else PACK
        setting = session.Setting(PACK, state)
        found = comfyui.find(options.comfyui, os.environ, PACK, for_tests=options.command == "test")
        if options.command == "test":
            return 0 if checks.run(setting, found, options.only) else 1
        if options.command == "demo":
            session.demo(setting, found, named_path(options.out or "out", "--out"), options.port, options.cpu)
        else:
            session.start(
                setting, found, options.port, not options.no_browser, options.python, cpu=options.cpu
            )
    except Problem as problem:
        say(f"\n{problem}")
        return 1
    except KeyboardInterrupt:
        say("\nStopped. Run the same command again to continue.")
        return 130
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(PACK.resolve()))
    sys.exit(main(sys.argv[1:]))
