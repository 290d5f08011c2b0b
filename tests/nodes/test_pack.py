"""The pack as a whole: imports with and without ComfyUI, and says why when it cannot be loaded."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from typing import Any

import pytest

import comfy_pack

WITHOUT_COMFYUI = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("pack", {str(comfy_pack.ROOT / "__init__.py")!r})
pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
assert pack.__all__ == ["WEB_DIRECTORY"] and not hasattr(pack, "comfy_entrypoint")
assert "torch" not in sys.modules
"""


def test_without_comfyui_it_imports_and_offers_nothing() -> None:
    subprocess.run([sys.executable, "-I", "-c", WITHOUT_COMFYUI], check=True)


def test_an_error_while_loading_is_logged_with_its_traceback(
    pack: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, f"{comfy_pack.PACK}.nodes", None)
    with caplog.at_level(logging.ERROR), pytest.raises(ImportError):
        asyncio.run(comfy_pack.load_pack().comfy_entrypoint())
    assert "could not be loaded" in caplog.text and "Traceback" in caplog.text


def test_the_core_is_the_packs_own(pack: dict[str, Any]) -> None:
    import echogen_core

    assert echogen_core.__file__ == str(comfy_pack.ROOT / "echogen_core" / "__init__.py")


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (
            b'{"a": ["z", "y"], "ours": ["With", "quick", "Scenes"]}',
            b'{"a": ["z", "y"], "ours": ["quick", "Scenes", "With"]}',
        ),
        *(
            (other, other)
            for other in (b"", b"\x1f\x8b", b"[]", b'{"a": []}', b'{"ours": 1}', b'{"ours": ["b", 1]}')
        ),
    ],
)
def test_only_our_templates_are_sorted(pack: dict[str, Any], answer: bytes, sent: bytes) -> None:
    template_order = comfy_pack.pack_module("nodes.template_order")
    assert template_order.in_order(answer, "ours") == sent
