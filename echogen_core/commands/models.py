"""List the published models' files, and download the missing ones.

  models [list] [MODEL]         which parts are installed; for the others: what to get, from where, how large
  models download MODEL [PART]  fetch the missing parts into ComfyUI's model folders; run it again to resume

HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE work as usual.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checkpoints.catalog.download import download_part
from ..checkpoints.catalog.folders import find_comfyui, model_folders
from ..checkpoints.catalog.installed import FoundParts, find_parts
from ..checkpoints.catalog.published_models import FOLDERS, PUBLISHED
from ..checkpoints.format import KINDS
from ..utils.option_checks import Unused, refuse_unused

PACK = Path(__file__).absolute().parents[2]
"""The pack's folder; not resolved, as a pack is often linked into custom_nodes."""

UNUSED = (
    Unused(
        "PART",
        lambda args: args.action == "list",
        "on the list, which shows every part of a model. Drop it, or use: models download MODEL PART",
    ),
)


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Adds the command and its options."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "models",
        help="list and download the published models",
        description=__doc__,
    )
    parser.add_argument("action", nargs="?", choices=("list", "download"), default="list", help="what to do")
    parser.add_argument(
        "model",
        nargs="?",
        choices=list(PUBLISHED),
        help="required to download; the list shows all without it",
    )
    parser.add_argument(
        "part", nargs="*", metavar="PART", help=f"download only these: {', '.join(KINDS)} (default: all)"
    )
    parser.add_argument(
        "--comfyui",
        metavar="PATH",
        help="ComfyUI's folder (default: COMFYUI_PATH, or where this pack is installed)",
    )
    parser.add_argument(
        "--extra-model-paths",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="another extra_model_paths.yaml, besides the one in ComfyUI's folder; may be repeated",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """List or download. Raises ValueError or OSError for what the user can mend."""
    refuse_unused(args, UNUSED)
    base = find_comfyui(args.comfyui, os.environ, PACK)
    folders = model_folders(base, args.extra_model_paths)
    if args.action == "download":
        if args.model is None:
            raise ValueError(f"Which model? Expected one of {', '.join(PUBLISHED)}.")
        _download(args.model, args.part, folders)
        return 0
    sys.stdout.write(f"Model folders of {base}\n")
    for model in [args.model] if args.model else PUBLISHED:
        found = find_parts(model, search_folders(model, folders))
        sys.stdout.write(f"\n{_described(model, found, folders)}")
    return 0


def search_folders(model: str, folders: Mapping[str, Sequence[Path]]) -> dict[str, list[Path]]:
    """Kind of part -> folders to search: models/echogen/<model>, ComfyUI's for the kind, models/echogen."""
    own = [folder / model for folder in folders["echogen"]]
    return {kind: [*own, *folders[FOLDERS[kind]], *folders["echogen"]] for kind in KINDS}


def _described(model: str, found: FoundParts, folders: Mapping[str, Sequence[Path]]) -> str:
    parts = PUBLISHED[model]
    lines = [f"{model}: {len(found.paths)} of {len(parts)} parts installed"]
    for part in parts:
        if part.kind in found.paths:
            lines.append(f"  {part.kind:<12} {found.paths[part.kind]}")
            continue
        lines.append(f"  {part.kind:<12} missing: {part.name}, {part.about}")
        lines.append(f"  {'':<12} from {part.source}")
        lines.append(f"  {'':<12} into {folders[part.folder][0]}")
        lines += [f"  {'':<12} first {part.licence}"] if part.licence else []
    lines += [f"  ! {reason}" for reason in found.unfit.values()]
    return "\n".join(lines) + "\n"


def _download(model: str, kinds: Sequence[str], folders: Mapping[str, Sequence[Path]]) -> None:
    parts = {part.kind: part for part in PUBLISHED[model]}
    if unknown := [kind for kind in kinds if kind not in parts]:
        raise ValueError(f"{model} has no part {', '.join(unknown)}. Its parts are {', '.join(parts)}.")
    found = find_parts(model, search_folders(model, folders))
    failed: list[str] = []
    for kind in kinds or parts:
        if kind in found.paths:
            sys.stdout.write(f"{kind}: already installed, {found.paths[kind]}\n")
            continue
        part = parts[kind]
        try:
            path = download_part(part, folders[part.folder][0], report=_say)
        except (ValueError, OSError, ModuleNotFoundError) as error:
            # One part that waits for a licence must not keep the others from coming.
            failed.append(f"{kind}: {error}")
        else:
            sys.stdout.write(f"{kind}: {path}\n")
    if failed:
        raise OSError("\n".join(failed))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
