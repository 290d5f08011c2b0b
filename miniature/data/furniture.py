"""The catalog of Debian's sweethome3d-furniture: names, licences, splits."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from echogen_core.utils.printable import counted

CATALOG_FOLDER = Path("/usr/share/sweethome3d/furniture")
CATALOG_FILE = "PluginFurnitureCatalog.properties"
HELDOUT_FILE = Path(__file__).with_name("heldout_subjects.txt")

# Licence per archive, from the package's copyright file.
LICENCES = {
    "BlendSwap-CC-0": "CC0-1.0",
    "BlendSwap-CC-BY": "CC-BY-3.0",
    "KatorLegaz": "CC-BY-3.0-US",
    "Reallusion": "CC-BY-3.0-US",
    "Scopia": "CC-BY-3.0",
}

_ENTRY = re.compile(r"^(\w+)#(\d+)\s*=\s*(.*?)\s*$", re.MULTILINE)
_UNICODE_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


@dataclass(frozen=True)
class FurnitureModel:
    """One 3-D model of the catalog."""

    id: str  # unique over all archives, safe as a file name
    name: str
    archive: str  # stem of the .sh3f file
    model_path: str  # OBJ inside the archive
    licence: str
    creator: str
    category: str
    rotation: tuple[float, ...]  # 3x3 row-major, identity when the catalog gives none


@dataclass(frozen=True)
class Split:
    """Models for training and, one per held-out name, for evaluation."""

    train: tuple[FurnitureModel, ...]
    heldout: tuple[FurnitureModel, ...]


def parse_catalog(text: str, archive: str) -> list[FurnitureModel]:
    """The models of one properties file, in catalog order."""
    entries: dict[int, dict[str, str]] = {}
    for key, number, value in _ENTRY.findall(text):
        entries.setdefault(int(number), {})[key] = _unescape(value)
    models = []
    for number in sorted(entries):
        entry = entries[number]
        rotation = tuple(float(part) for part in entry.get("modelRotation", "1 0 0 0 1 0 0 0 1").split())
        models.append(
            FurnitureModel(
                id=f"{archive}-{number:03d}",
                name=entry["name"],
                archive=archive,
                model_path=entry["model"].lstrip("/"),
                licence=LICENCES.get(archive, "see the archive"),
                creator=entry.get("creator", ""),
                category=entry.get("category", ""),
                rotation=rotation,
            )
        )
    return models


def _unescape(value: str) -> str:
    return _UNICODE_ESCAPE.sub(lambda match: chr(int(match.group(1), 16)), value).replace("\\", "")


def read_catalog(folder: Path = CATALOG_FOLDER) -> list[FurnitureModel]:
    """All models of the installed package.

    Raises FileNotFoundError, with the install command, when the package is not there.
    """
    archives = sorted(folder.glob("*.sh3f"))
    if not archives:
        raise FileNotFoundError(
            f"No furniture archives (*.sh3f) in {folder}. They are in Debian's package "
            "sweethome3d-furniture: run `apt-get install sweethome3d-furniture`, or unpack it elsewhere and "
            "pass the folder with --furniture."
        )
    models: list[FurnitureModel] = []
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            models += parse_catalog(archive.read(CATALOG_FILE).decode("latin-1"), path.stem)
    return models


def read_heldout_names(path: Path = HELDOUT_FILE) -> list[str]:
    """Names of the held-out subjects, one per line; lines that start with # are comments."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def split_models(models: Sequence[FurnitureModel], heldout_names: Iterable[str]) -> Split:
    """Splits by name: the first model of a held-out name is held out, further ones are in neither split.

    Raises ValueError when the catalog does not have a name.
    """
    order = [_key(name) for name in heldout_names]
    wanted = set(order)
    first: dict[str, FurnitureModel] = {}
    train = []
    for model in models:
        key = _key(model.name)
        if key in wanted:
            first.setdefault(key, model)
        else:
            train.append(model)
    missing = [name for name in order if name not in first]
    if missing:
        raise ValueError(
            f"Expected sweethome3d-furniture 1.8, but the catalog lacks "
            f"{counted(len(missing), 'held-out name')} ({', '.join(missing[:5])}): install that version."
        )
    return Split(train=tuple(train), heldout=tuple(first[name] for name in order))


def _key(name: str) -> str:
    return " ".join(name.casefold().split())
