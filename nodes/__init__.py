"""The ComfyUI nodes: thin schemas over `echogen_core`."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import (
    conditioning,
    decoding,
    editing,
    guidance,
    input_checks,
    lazy_previews,
    likeness,
    loaders,
    log_encoding,
    prompt_cleaning,
    reference_picture,
    regions,
    runtime,
    sample_views,
    sampling,
    segmentation,
    subject,
    subject_files,
    sweep,
    template_order,
)

NODES: list[type[io.ComfyNode]] = [
    input_checks.with_input_checks(node)
    for nodes in (
        loaders.NODES,
        reference_picture.NODES,
        subject.NODES,
        segmentation.NODES,
        subject_files.NODES,
        conditioning.NODES,
        guidance.NODES,
        sampling.NODES,
        sweep.NODES,
        decoding.NODES,
        editing.NODES,
        regions.NODES,
        likeness.NODES,
    )
    for node in nodes
]


class EchoGenExtension(ComfyExtension):
    """The pack's entry point. It sets up on creation, because ComfyUI 0.3.75 does not call `on_load`."""

    def __init__(self) -> None:
        log_encoding.escape_unencodable_text()
        runtime.register_folders()
        prompt_cleaning.register(NODES)
        lazy_previews.register(NODES)
        runtime.add_middleware(sample_views.show_samples)
        runtime.add_middleware(template_order.sort_templates)

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
