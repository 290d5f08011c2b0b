"""The ComfyUI nodes: thin schemas over `echogen_core`."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import (
    conditioning,
    decoding,
    guidance,
    linked,
    loaders,
    runtime,
    sampling,
    segmentation,
    showing,
    strays,
    streams,
    subject,
    subject_files,
    sweep,
)

NODES: list[type[io.ComfyNode]] = [
    linked.checked(node)
    for nodes in (
        loaders.NODES,
        subject.NODES,
        segmentation.NODES,
        subject_files.NODES,
        conditioning.NODES,
        guidance.NODES,
        sampling.NODES,
        sweep.NODES,
        decoding.NODES,
    )
    for node in nodes
]


class EchoGenExtension(ComfyExtension):
    """What ComfyUI asks for the pack's nodes. Set-up happens here: `on_load` is unknown to ComfyUI 0.3.75."""

    def __init__(self) -> None:
        streams.let_streams_take_any_text()
        runtime.register_folders()
        strays.leave_out(NODES)
        showing.leave_to_results(NODES)

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
