"""Opcodes of pickles, written by hand."""

from __future__ import annotations

import struct


def text(value: str) -> bytes:
    """Pushes a str."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()
