"""The published models: which files they need, from where, how large, and into which of ComfyUI's folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import runtime

HUB = "https://huggingface.co"


@dataclass(frozen=True)
class NeededFile:
    """One file (or folder) of a published model.

    kind: ComfyUI's model folder. size: of the download, in words. note: what else to know before fetching it.
    """

    name: str
    kind: str
    source: str
    size: str
    note: str = ""

    def find(self) -> Path | None:
        """Where it is, or None."""
        return runtime.find_file(self.kind, self.name)

    def request(self) -> str:
        """One line that says how to get it."""
        where = runtime.first_folder(self.kind) / self.name
        note = f" ({self.note})" if self.note else ""
        return f"- {self.name}: {self.size} from {self.source}{note}\n  into {where}"


_FLAN_T5 = NeededFile(
    "flan-t5-xl",
    "text_encoders",
    f"{HUB}/google/flan-t5-xl",
    "about 11.4 GB in fp32",
    "the whole folder: config.json, spiece.model, tokenizer.json, model*.safetensors",
)
_DINOV2 = NeededFile(
    "dinov2-base",
    "clip_vision",
    f"{HUB}/facebook/dinov2-base",
    "about 0.35 GB",
    "the folder: config.json, model.safetensors",
)
_FLUX_VAE = NeededFile(
    "ae.safetensors",
    "vae",
    f"{HUB}/black-forest-labs/FLUX.1-dev",
    "about 0.34 GB",
    "gated: accept its licence there first",
)

PUBLISHED: dict[str, tuple[NeededFile, ...]] = {
    "EchoGen-2B": (
        NeededFile(
            "echogen_2b.pth",
            "diffusion_models",
            f"{HUB}/UmiSonoda16/EchoGen",
            "4.84 billion parameters, about 9.7 GB in bf16 and twice that in fp32",
        ),
        NeededFile(
            "infinity_vae_d32reg.pth", "vae", f"{HUB}/FoundationVision/Infinity", "about 0.44 GB"
        ),
        _FLAN_T5,
        _DINOV2,
        _FLUX_VAE,
    ),
    "EchoGen-0.1B": (
        NeededFile(
            "echogen_0.1b.safetensors",
            "diffusion_models",
            "your own training",
            "273 million parameters, about 0.55 GB in bf16",
            "its authors have not published it",
        ),
        NeededFile("infinity_vae_d16.pth", "vae", f"{HUB}/FoundationVision/Infinity", "about 0.44 GB"),
        _FLAN_T5,
        _DINOV2,
        _FLUX_VAE,
    ),
}  # fmt: skip


def missing_files(model: str) -> list[NeededFile]:
    """Those of a published model's files that are in none of ComfyUI's folders."""
    return [file for file in PUBLISHED[model] if file.find() is None]


def missing_message(model: str, missing: list[NeededFile]) -> str:
    """What to fetch, in full."""
    count = f"{len(missing)} of {len(PUBLISHED[model])} files"
    lines = "\n".join(file.request() for file in missing)
    return (
        f"{model} is not complete: {count} are missing. Fetch them, then run again:\n{lines}\n"
        "Or choose 'nano (built in)', which needs nothing."
    )
