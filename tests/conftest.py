"""Import paths of the test suite.

The pack's root goes to the END of sys.path: its `nodes/` package would otherwise hide ComfyUI's own
`nodes.py` in the processes that test against a real ComfyUI.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent


def _last(paths: list[str], moved: list[Path]) -> list[str]:
    """`paths` without `moved`, and `moved` behind them."""
    kept = [entry for entry in paths if Path(entry or ".").resolve() not in moved]
    return kept + [str(path) for path in moved]


sys.path[:] = _last(sys.path, [ROOT, TESTS])

# Time is no reason to fail: on a busy machine any example may take seconds.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

# A shell starts what runs in its background deaf to Ctrl+C, and nohup makes it deaf to a closed terminal,
# with all that it starts: tests that send these signals would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """What is imported stays: collecting garbage, which ComfyUI often does, passes over it from here on."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def answers() -> dict[bytes, Any]:
    """What the network of the built-in cut has answered in tests that use `kept_looks`."""
    return {}


@pytest.fixture(scope="module")
def kept_looks(answers: dict[bytes, Any]) -> Iterator[None]:
    """That network computes each of its looks at a picture once, for all tests that use this."""
    from kept_looks import keep_looks  # torch: not for the tests that do without

    with keep_looks(answers):
        yield


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """More would only wait for each other at small sizes."""
    import torch  # not for the tests that do without

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
