"""EchoGen for ComfyUI: a custom node pack.

ComfyUI calls `comfy_entrypoint`. Without ComfyUI the package imports all the same and offers nothing: tests,
training and the command line use `echogen_core` alone.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY"]

if find_spec("comfy_api") is not None:
    __all__ += ["comfy_entrypoint"]

    async def comfy_entrypoint() -> ComfyExtension:
        """The pack's nodes. ComfyUI logs an error in here without its traceback, so that is done first."""
        try:
            from .nodes import EchoGenExtension

            return EchoGenExtension()
        except Exception:
            logging.getLogger(__name__).exception("EchoGen's nodes could not be loaded.")
            raise
