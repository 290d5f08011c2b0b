"""What benchmarks/graph_runs.py measures: whole graphs, stage by stage, the naive one among them."""

from __future__ import annotations

import sys

import comfy_server
from comfy_server import Recorder
from runner.server import Server

sys.path.append(str(comfy_server.ROOT / "benchmarks"))

import graph_runs


def test_each_kind_of_graph_takes_its_stages(comfy: Server) -> None:
    stopwatch = graph_runs.Stopwatch(comfy)
    for number, kind in enumerate(graph_runs.KINDS):
        graph = graph_runs.graph(kind, number, "auto")
        measured = stopwatch.run(graph)
        expected = {"cutting out", "encoders", "sampling", "decoding", "rest"}
        # the loader runs once for all
        assert set(measured.seconds) - {"loading"} == expected - {"decoding" * (kind == "naive")}
        assert measured.seconds["sampling"] > 0 and measured.memory > 0
    changed = stopwatch.run(graph_runs.with_gammas(graph, 3, 2))
    assert set(changed.seconds) == {"sampling", "rest"}, "all else is in ComfyUI's cache"
    stopwatch.recorder.close()


def test_the_naive_sampler_draws_the_same_picture(recorder: Recorder) -> None:
    """It has no tau: at tau 1, with the same top_p, the bits are those of the sampler."""
    ours, naive = (graph_runs.graph(kind, 0, "fp32") for kind in ("previews off", "naive"))
    ours = comfy_server.changed(ours, "EchoGenSampler", tau=1.0, top_p=0.97)
    (one,), (other,) = (
        recorder.run(each).pictures[comfy_server.node_of(each, "SaveImage")] for each in (ours, naive)
    )
    assert one.tobytes() == other.tobytes()
