"""The benchmark itself: every picture drawn and scored once, however often the work is broken off."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from ..features import Subject as Features
from ..pictures import from_pil, to_pil
from ..pipeline import EchoGenPipeline
from ..processes import ProcessGroup
from .dreambench import DreamBench, Subject, open_picture
from .records import Key, Log, Record, write_png
from .reference_cut import Segmentation
from .scorers import Real, Scorers
from .variants import Loader, Variant

logger = logging.getLogger(__name__)

LARGEST = 100  # prompts of a subject, and pictures of a prompt, so that no two pictures share a seed


@dataclass(frozen=True)
class Plan:
    """What is asked: every variant, subject and prompt, `pictures` times; `seed` is the first picture's."""

    bench: DreamBench
    variants: tuple[Variant, ...]
    pictures: int
    seed: int

    def __post_init__(self) -> None:
        longest = max(len(self.bench.object_prompts), len(self.bench.live_prompts))
        if not 1 <= self.pictures <= LARGEST or longest > LARGEST:
            raise ValueError(
                f"Expected 1 to {LARGEST} pictures of at most {LARGEST} prompts, got "
                f"{self.pictures} pictures of {longest} prompts."
            )

    def wanted(self) -> Iterator[Key]:
        """All pictures, those of one variant, subject and prompt one after another."""
        for variant in self.variants:
            for subject in self.bench.subjects:
                for prompt in range(len(self.bench.prompts(subject))):
                    for picture in range(self.pictures):
                        yield Key(variant.key, subject.name, prompt, picture)

    def seed_of(self, subject: Subject, key: Key) -> int:
        """The same for a picture whatever else is asked for, and in every variant."""
        return self.seed + (subject.place * LARGEST + key.prompt_index) * LARGEST + key.picture


class Worker:
    """One process's models, with what was computed last kept: neighbouring pictures share most of it."""

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
        self._real: dict[str, Real] = {}
        self._features: tuple[str, str, Features] | None = None

    def make(self, key: Key) -> Record:
        """Draw, store and score one picture."""
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
        """The first picture of the subject is the reference, cut out once for all variants and processes."""
        if self._features is None or self._features[:2] != (variant.key, subject.name):
            path = self._folder / reference_path(subject.name)
            if not path.is_file():
                cut_13SS = self._segmentation.cut(open_picture(subject.pictures[0]), subject.word)
                write_png(to_pil(cut_13SS[0]), path)
            stored_13SS = from_pil(open_picture(path))[None]
            features = pipeline.encode_reference(
                stored_13SS, semantic=variant.semantic, content=variant.content
            )
            self._features = variant.key, subject.name, features
        return self._features[2]

    def _real_of(self, subject: Subject) -> Real:
        if subject.name not in self._real:
            self._real[subject.name] = self._scorers.real(map(open_picture, subject.pictures))
        return self._real[subject.name]


def reference_path(subject: str) -> str:
    """Where the cut-out that the model saw lies below the output folder."""
    return f"references/{subject}.png"


def pending(plan: Plan, done: Mapping[Key, Record], group: ProcessGroup) -> list[Key]:
    """This process's share of what is not done: prompts are dealt out whole, for what pictures share."""
    missing = [key for key in plan.wanted() if key not in done]
    prompts = [list(members) for _, members in groupby(missing, key=lambda key: key[:3])]
    return [key for prompt in prompts[group.rank :: group.world_size] for key in prompt]


def work(plan: Plan, folder: Path, group: ProcessGroup, worker: Worker) -> list[Record]:
    """Do what is not done; returns the plan's records in its order (of all processes).

    Raises ValueError when the other processes' records are not in this folder.
    """
    log = Log(folder, group.rank)
    share = pending(plan, log.read(), group)
    group.barrier()  # nobody writes before all have seen what is done
    logger.info("%d pictures to make in this process", len(share))
    for number, key in enumerate(share, start=1):
        record = worker.make(key)
        log.add(record)
        logger.info(
            "%d of %d: %s, %r, DINO %.3f, CLIP-I %.3f, CLIP-T %.3f",
            *(number, len(share), key.subject, record.prompt, record.dino, record.clip_i, record.clip_t),
        )
    group.barrier()
    found = log.read()
    wanted = list(plan.wanted())
    if missing := [key for key in wanted if key not in found]:
        raise ValueError(
            f"Expected {len(wanted)} finished pictures in {folder}, {len(missing)} are not there, the first: "
            f"{missing[0].path}. Several machines need the same --out, on a disk that they share: copy the "
            "pictures and scores-*.jsonl of all into one folder, or start again with a shared one."
        )
    return [found[key] for key in wanted]
