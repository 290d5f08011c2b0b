"""The error for packages that only the preparation of data or the evaluation needs."""

from __future__ import annotations


class MissingPackageError(RuntimeError):
    """A package is not installed; the message says which and how to get it."""
