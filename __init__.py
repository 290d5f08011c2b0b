"""EchoGen for ComfyUI: a custom node pack.

ComfyUI calls `comfy_entrypoint`. Without ComfyUI the package imports all the same and offers nothing: tests,
training and the command line use `echogen_core` alone.
"""

from __future__ import annotations

import logging
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY"]


def _publish_core() -> None:
    """Makes `echogen_core` importable by its name, from this folder.

    Not by a folder on sys.path: that would offer our `nodes` and `tests` to everybody as well.
    """
    if "echogen_core" in sys.modules:
        return
    init = Path(__file__).resolve().parent / "echogen_core" / "__init__.py"
    spec = spec_from_file_location("echogen_core", init, submodule_search_locations=[str(init.parent)])
    assert spec is not None and spec.loader is not None
    core = module_from_spec(spec)
    sys.modules["echogen_core"] = core
    spec.loader.exec_module(core)


if find_spec("comfy_api") is not None:
    __all__ += ["comfy_entrypoint"]

    async def comfy_entrypoint() -> ComfyExtension:
        """The pack's nodes. ComfyUI logs an error in here without its traceback, so that is done first."""
        try:
            _publish_core()
            from .nodes import EchoGenExtension

            return EchoGenExtension()
        except Exception:
            logging.getLogger(__name__).exception("EchoGen's nodes could not be loaded.")
            raise
