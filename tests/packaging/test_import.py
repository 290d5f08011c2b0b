"""Loading the pack changes nothing that the rest of ComfyUI shares with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import comfy_server

ROOT = Path(__file__).resolve().parents[2]

# ComfyUI's own modules come first, as at its start, so that what they set is no part of the difference.
LOAD = """
import asyncio, json, logging, os, random, signal, sys, threading, warnings
from importlib.util import module_from_spec, spec_from_file_location
import numpy, torch
import comfy.cli_args
comfy.cli_args.args.cpu = True
import comfy.model_management, comfy.samplers, comfy_api.latest, folder_paths, nodes

def no_network(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec"):
        raise AssertionError(f"{{event}} {{arguments}}")

def state():
    flags = ("get_num_threads", "get_default_dtype", "is_grad_enabled", "get_float32_matmul_precision",
             "are_deterministic_algorithms_enabled", "initial_seed")
    backends = torch.backends
    return {{
        "sys.path": sys.path[:],
        "import hooks": [len(sys.meta_path), len(sys.path_hooks)],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "torch": [str(getattr(torch, name)()) for name in flags],
        "backends": [backends.cudnn.benchmark, backends.cudnn.deterministic, backends.cuda.matmul.allow_tf32],
        "random": [hash(random.getstate()), numpy.random.get_state()[1].tobytes().hex(),
                   bytes(torch.get_rng_state().tolist()).hex()],
        "log": [[name, logger.level, [str(each) for each in logger.handlers], logger.propagate]
                for name in (None, "comfy", "torch", "PIL") for logger in [logging.getLogger(name)]],
        "warnings": [str(each) for each in warnings.filters],
        "signals": [str(signal.getsignal(each)) for each in sorted(signal.valid_signals())],
        "hooks": [str(sys.excepthook), str(threading.excepthook), str(sys.displayhook)],
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "nodes": sorted(nodes.NODE_CLASS_MAPPINGS),
    }}

def compare(step, change):
    before = state()
    change()
    after = state()
    report[step] = [[key, before[key], after[key]] for key in before if before[key] != after[key]]

spec = spec_from_file_location("echogen_under_test", {pack!r})
pack = sys.modules[spec.name] = module_from_spec(spec)
sys.addaudithook(no_network)
report = {{}}
compare("import", lambda: spec.loader.exec_module(pack))
compare("entry point", lambda: asyncio.run(pack.comfy_entrypoint()))
report["models"] = [name for name in sys.modules if name.startswith("transformers.models.dinov2")]
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """What changed at each step, and which networks of transformers' were imported."""
    comfyui = comfy_server.comfyui_path()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD.format(pack=str(ROOT / "__init__.py"))],
        cwd=comfyui,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_loading_it_changes_no_shared_state_and_starts_nothing(report: dict[str, Any]) -> None:
    assert (report["import"], report["entry point"]) == ([], [])


def test_loading_it_does_not_import_transformers_models(report: dict[str, Any]) -> None:
    assert report["models"] == []
