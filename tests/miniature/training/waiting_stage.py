"""A process that starts another one and waits: the test kills it. The other one says that it is there."""

from __future__ import annotations

import multiprocessing
import sys
import time

from miniature.training.side_by_side import end_with_parent


def wait() -> None:
    """Until the parent has ended."""
    print("there", flush=True)
    end_with_parent()


if __name__ == "__main__":
    multiprocessing.get_context(sys.argv[1]).Process(target=wait).start()  # type: ignore[attr-defined]
    time.sleep(600)
