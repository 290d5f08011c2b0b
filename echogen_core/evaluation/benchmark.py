"""The benchmark itself: every picture made and scored once, however often the run is interrupted."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from ..features import Subject as Features
from ..pictures import from_pil, open_rgb, to_pil
from ..pipeline import EchoGenPipeline
from ..utils.printable import counted
from ..utils.processes import ProcessGroup
from ..utils.progress import Pace
from .dreambench import DreamBench, Subject
from .records import Key, Log, Record, write_png
from .reference_cut import Segmentation
from .scorers import ReferenceFeatures, Scorers
from .variants import Loader, Variant

logger = logging.getLogger(__name__)

LARGEST = 100
"""Prompts per subject, and pictures per prompt: no two pictures share a seed."""


@dataclass(frozen=True)
class Plan:
    """What to make: `pictures` of every variant, subject and prompt; `seed` is the first one's."""

    bench: DreamBench
    variants: tuple[Variant, ...]
    pictures: int
    seed: int

    def __post_init__(self) -> None:
        longest = max(len(self.bench.object_prompts), len(self.bench.live_prompts))
        if not 1 <= self.pictures <= LARGEST or longest > LARGEST:
            raise ValueError(
                f"Expected 1 to {LARGEST} pictures of at most {LARGEST} prompts, got "
                f"{counted(self.pictures, 'picture')} of {counted(longest, 'prompt')}."
            )

    def picture_keys(self) -> Iterator[Key]:
        """Every picture, grouped by variant, subject and prompt."""
        for variant in self.variants:
            for subject in self.bench.subjects:
                for prompt in range(len(self.bench.prompts(subject))):
                    for picture in range(self.pictures):
                        yield Key(variant.key, subject.name, prompt, picture)

    def seed_of(self, subject: Subject, key: Key) -> int:
        """A picture's seed: the same in every variant, and in a smaller or larger plan."""
        return self.seed + (subject.place * LARGEST + key.prompt_index) * LARGEST + key.picture


class Worker:
    """The models of one process, and the latest features: neighbouring pictures share them."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        scorers: Scorers,
        segmentation: Segmentation,
        loader: Loader,
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._scorers = scorers
        self._segmentation = segmentation
        self._loader = loader
        self._variants = {variant.key: variant for variant in plan.variants}
        self._subjects = {subject.name: subject for subject in plan.bench.subjects}
        self._real: dict[str, ReferenceFeatures] = {}
        self._features: tuple[str, str, Features] | None = None

    def make(self, key: Key) -> Record:
        """Make, store and score one picture."""
        subject, variant = self._subjects[key.subject], self._variants[key.variant]
        prompt = self._plan.bench.prompts(subject)[key.prompt_index]
        seed = self._plan.seed_of(subject, key)
        pipeline = self._loader.pipeline(variant.swap)
        branches = pipeline.branches(prompt, self._encoded(pipeline, subject, variant), variant.settings)
        image = to_pil(pipeline.generate(branches, [seed], variant.settings).images_B3HW[0].float())
        write_png(image, self._folder / key.path)
        real = self._real_of(subject)
        scores = self._scorers.score(image, real, prompt)
        return Record(
            variant=key.variant,
            subject=subject.name,
            subject_class=subject.word,
            live=subject.live,
            prompt_index=key.prompt_index,
            prompt=prompt,
            picture=key.picture,
            seed=seed,
            real_pictures=len(subject.pictures),
            **scores._asdict(),
        )

    def _encoded(self, pipeline: EchoGenPipeline, subject: Subject, variant: Variant) -> Features:
        """Features of the subject's first picture, cut out once for all variants and processes."""
        if self._features is None or self._features[:2] != (variant.key, subject.name):
            path = self._folder / reference_path(subject.name)
            if not path.is_file():
                cut_13SS = self._segmentation.cut(open_rgb(subject.pictures[0]), subject.word)
                write_png(to_pil(cut_13SS[0]), path)
            stored_13SS = from_pil(open_rgb(path))[None]
            features = pipeline.encode_reference(
                stored_13SS, semantic=variant.semantic, content=variant.content
            )
            self._features = variant.key, subject.name, features
        return self._features[2]

    def _real_of(self, subject: Subject) -> ReferenceFeatures:
        if subject.name not in self._real:
            self._real[subject.name] = self._scorers.real(map(open_rgb, subject.pictures))
        return self._real[subject.name]


def reference_path(subject: str) -> str:
    """Path of the cut-out that the model sees, below the output folder."""
    return f"references/{subject}.png"


def pending(plan: Plan, done: Container[object], group: ProcessGroup) -> list[Key]:
    """This process's share of what is left. A prompt's pictures stay together: they share a prefill."""
    missing = [key for key in plan.picture_keys() if key not in done]
    prompts = [list(members) for _, members in groupby(missing, key=lambda key: key[:3])]
    return [key for prompt in group.share(prompts) for key in prompt]


def run_benchmark(plan: Plan, folder: Path, group: ProcessGroup, worker: Worker) -> list[Record]:
    """Makes what is missing; returns the records of all processes in the plan's order.

    Raises ValueError when another process's records aren't in this folder.
    """
    log = Log(folder, group.rank)
    share = pending(plan, log.read(), group)
    group.barrier()  # nobody writes before everyone has read what is done
    logger.info("%s to make in this process", counted(len(share), "picture"))
    pace = Pace(len(share))
    for number, key in enumerate(share, start=1):
        record = worker.make(key)
        log.add(record)
        logger.info(
            "%d of %d, %s left: %s, %r, DINO %.3f, CLIP-I %.3f, CLIP-T %.3f",
            *(number, len(share), pace.left(number), key.subject, record.prompt),
            *(record.dino, record.clip_i, record.clip_t),
        )
    group.barrier()
    found = log.read()
    keys = list(plan.picture_keys())
    log.check_complete([key.path for key in keys if key not in found], len(keys))
    return [found[key] for key in keys]
