"""The published models' files: what is there, what is missing, and how to get it.

models                        what each model needs, where it lies, or where it comes from and how large it is
models download MODEL [PART]  fetch what is missing into ComfyUI's folders; broken off, the same goes on

HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE do what they do everywhere.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checkpoints.download import download_part
from ..checkpoints.folders import find_comfyui, model_folders
from ..checkpoints.format import KINDS
from ..checkpoints.installed import Found, find_parts
from ..checkpoints.published_models import FOLDERS, PUBLISHED

PACK = Path(__file__).absolute().parents[2]  # not resolved: a pack is often linked into custom_nodes


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """The command's options."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "models",
        help="list and download the published models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", nargs="?", choices=("list", "download"), default="list")
    parser.add_argument(
        "model", nargs="?", choices=list(PUBLISHED), help="all of them, where left out (list)"
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only these, of {', '.join(KINDS)}")
    parser.add_argument(
        "--comfyui",
        metavar="PATH",
        help="ComfyUI's folder (else COMFYUI_PATH, or where this pack is installed)",
    )
    parser.add_argument(
        "--extra-model-paths",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="a further file of the form of ComfyUI's extra_model_paths.yaml, which is read by itself",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """List or download; 0 when that was possible."""
    base = find_comfyui(args.comfyui, os.environ, PACK)
    folders = model_folders(base, args.extra_model_paths)
    if args.action == "download":
        if args.model is None:
            raise ValueError(f"Say which model to download: {', '.join(PUBLISHED)}.")
        _download(args.model, args.parts, folders)
        return 0
    sys.stdout.write(f"Model folders of {base}\n")
    for model in [args.model] if args.model else PUBLISHED:
        sys.stdout.write(f"\n{_described(model, find_parts(model, places(model, folders)), folders)}")
    return 0


def places(model: str, folders: Mapping[str, Sequence[Path]]) -> dict[str, list[Path]]:
    """Kind of part -> folders to search: the model's own below models/echogen, ComfyUI's, models/echogen."""
    own = [folder / model for folder in folders["echogen"]]
    return {kind: [*own, *folders[FOLDERS[kind]], *folders["echogen"]] for kind in KINDS}


def _described(model: str, found: Found, folders: Mapping[str, Sequence[Path]]) -> str:
    parts = PUBLISHED[model]
    lines = [f"{model}: {len(found.paths)} of {len(parts)} parts are there"]
    for part in parts:
        if part.kind in found.paths:
            lines.append(f"  {part.kind:<12} {found.paths[part.kind]}")
            continue
        lines.append(f"  {part.kind:<12} missing: {part.name}, {part.about}")
        lines.append(f"  {'':<12} from {part.source}")
        lines.append(f"  {'':<12} into {folders[part.folder][0]}")
        lines += [f"  {'':<12} first {part.licence}"] if part.licence else []
    lines += [f"  ! {fault}" for fault in found.unfit.values()]
    return "\n".join(lines) + "\n"


def _download(model: str, kinds: Sequence[str], folders: Mapping[str, Sequence[Path]]) -> None:
    parts = {part.kind: part for part in PUBLISHED[model]}
    if unknown := [kind for kind in kinds if kind not in parts]:
        raise ValueError(f"{model} has no part {', '.join(unknown)}; it has {', '.join(parts)}.")
    found = find_parts(model, places(model, folders))
    failed: list[str] = []
    for kind in kinds or parts:
        if kind in found.paths:
            sys.stdout.write(f"{kind}: installed, {found.paths[kind]}\n")
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
