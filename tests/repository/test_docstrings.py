"""Every public function, method, class and module says what it does, or overrides one that does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("echogen_core", "miniature", "nodes", "runner")
OWN_WORDS = frozenset({"forward"})
"""Methods that say what they take and give even where they override one."""
LIBRARIES = {
    "ComfyNode": {"define_schema", "execute", "fingerprint_inputs", "validate_inputs"},
    "ComfyExtension": {"get_node_list"},
}
"""Documented methods of others' classes that ours override."""

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Class(NamedTuple):
    """A class by name: what its bases are called, and its documented methods."""

    bases: tuple[str, ...]
    documented: frozenset[str]


def files() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


@cache
def classes() -> dict[str, Class]:
    """All classes of our own; those of one name together."""
    found: dict[str, Class] = {}
    for path in files():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases = tuple(ast.unparse(base).split("[")[0].split(".")[-1] for base in node.bases)
                methods = [entry for entry in node.body if isinstance(entry, ast.FunctionDef)]
                documented = frozenset(entry.name for entry in methods if ast.get_docstring(entry))
                known = found.get(node.name, Class((), frozenset()))
                found[node.name] = Class(known.bases + bases, known.documented | documented)
    return found


def overrides(name: str, bases: tuple[str, ...], known: dict[str, Class]) -> bool:
    """Whether a base, or one of its bases, has a documented method of that name."""
    for base in bases:
        own = known.get(base, Class((), frozenset(LIBRARIES.get(base, ()))))
        if name in own.documented or overrides(name, own.bases, known):
            return True
    return False


def public(body: list[ast.stmt]) -> Iterator[Definition]:
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node


def undocumented(path: Path, known: dict[str, Class]) -> Iterator[str]:
    tree = ast.parse(path.read_text("utf-8"))
    if tree.body and not ast.get_docstring(tree):
        yield f"{path.relative_to(ROOT)}: the module"
    for node in public(tree.body):
        if not ast.get_docstring(node):
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        if not isinstance(node, ast.ClassDef):
            continue
        bases = known[node.name].bases
        for method in public(node.body):
            if ast.get_docstring(method):
                continue
            if method.name in OWN_WORDS or not overrides(method.name, bases, known):
                yield f"{path.relative_to(ROOT)}:{method.lineno} {node.name}.{method.name}"


@pytest.mark.parametrize("room", ROOMS)
def test_what_is_public_has_a_docstring(room: str) -> None:
    known = classes()
    assert not [
        gap for path in files() if path.is_relative_to(ROOT / room) for gap in undocumented(path, known)
    ]
