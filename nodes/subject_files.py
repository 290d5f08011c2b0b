"""Nodes that save a subject's features to a file and load them."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from echogen_core.checkpoints.catalog.file_cache import FileCache
from echogen_core.checkpoints.subject_file import is_subject
from echogen_core.features import ContentFeatures, SemanticFeatures, Subject

from . import adapters, linked_names
from .adapters import CATEGORY, schema

FOLDER = "EchoGen"
"""Folder below ComfyUI's output folder that Load Subject lists."""
ENDING = ".safetensors"
DEFAULT_PREFIX = f"{FOLDER}/subjects/subject"
NONE_THERE = "(save a subject first)"
_FILE = linked_names.FileInput(ENDING, adapters.subject_file)


class SaveSubject(io.ComfyNode):
    """Features to a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenSaveSubject",
            display_name="Save Subject",
            category=f"{CATEGORY}/subject",
            description="Saves a subject as one small file, to use in other workflows or to share without "
            "the picture.",
            search_aliases=["store subject", "share subject", "character file"],
            is_output_node=True,
            inputs=[
                adapters.Semantic.Input(
                    "semantic",
                    optional=True,
                    tooltip="From Encode Semantic. Not connected: left out of the file.",
                ),
                adapters.Content.Input(
                    "content",
                    optional=True,
                    tooltip="From Encode Content. Not connected: left out of the file. It is the picture "
                    "itself, compressed: anyone with the FLUX VAE can turn it back into one.",
                ),
                io.String.Input(
                    "filename_prefix",
                    display_name="filename prefix",
                    default=DEFAULT_PREFIX,
                    tooltip="Where to save it in ComfyUI's output folder; a number is added. Load Subject "
                    f"looks in {FOLDER}/.",
                ),
            ],
            outputs=[],
        )

    @classmethod
    def execute(
        cls,
        filename_prefix: str,
        semantic: SemanticFeatures | None = None,
        content: ContentFeatures | None = None,
    ) -> io.NodeOutput:
        from echogen_core.checkpoints.subject_file import save_subject

        target = adapters.new_output(filename_prefix, ENDING, DEFAULT_PREFIX)
        saved = adapters.below_output(save_subject(target, Subject(semantic, content)))
        listed = saved.startswith(f"{FOLDER}/")
        unlisted = "" if listed else f". Load Subject doesn't list it: it looks in {FOLDER}/ only."
        return io.NodeOutput(ui=ui.PreviewText(f"Saved {saved}{unlisted}"))


class LoadSubject(io.ComfyNode):
    """Features from a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenLoadSubject",
            display_name="Load Subject",
            category=f"{CATEGORY}/subject",
            description="Loads a subject that Save Subject wrote. The pictures are the same, and no encoder "
            "is needed.",
            search_aliases=["restore subject", "shared subject", "character file", "saved reference"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=_files(),
                    tooltip="A file that Save Subject wrote, in ComfyUI's output folder below "
                    f"{FOLDER}/. Put those that others shared with you into the input folder.",
                )
            ],
            outputs=[
                adapters.Semantic.Output(
                    "semantic",
                    display_name="semantic",
                    tooltip="For the sampler's input of that name; off if the file has none.",
                ),
                adapters.Content.Output(
                    "content",
                    display_name="content",
                    tooltip="For the sampler's input of that name; off if the file has none.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, file: Any = None) -> bool | str:
        return _FILE.check(file)

    @classmethod
    def fingerprint_inputs(cls, file: Any = None) -> Any:
        return _FILE.fingerprint(file)

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        from echogen_core.checkpoints.subject_file import load_subject

        return io.NodeOutput(*load_subject(_FILE.file(file)))


def _files() -> list[str]:
    saved = adapters.subject_files(FOLDER, ENDING)
    return [name for name, entry in saved if _subjects.of(entry.place, entry.stamp) is True] or [NONE_THERE]


_subjects = FileCache(is_subject)

NODES: list[type[Any]] = [SaveSubject, LoadSubject]
