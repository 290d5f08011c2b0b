"""A small valid file of every form that is read, how each is opened, and what comes of a spoilt one."""

from __future__ import annotations

import json
import random
import shutil
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from mutations import Mutator, any_bytes, any_json, any_safetensors, any_stream, any_tokenizer, any_zip
from safetensors.torch import load_file, save_file
from tiny_parts import golden_file, tiny_part, write_vocabulary

from echogen_core.checkpoints import identify, load, save_part
from echogen_core.checkpoints.catalog.installed import identify_or_error
from echogen_core.checkpoints.conversion import Conversion, convert
from echogen_core.checkpoints.format import KINDS
from echogen_core.checkpoints.subject_file import is_subject, load_subject, save_subject
from echogen_core.encoders import read_tokenizer
from echogen_core.features import ContentFeatures, SemanticFeatures, Subject

ROOM = 200 << 20
"""Bytes that a reading may take beside twice the files' size: libraries that are met for the first time."""


@dataclass(frozen=True)
class Sample:
    """A form of file.

    folder: where the file lies, with what belongs to it. spoilt: the file's name there. mutators: what spoils
    it. openers: each takes what is opened: the file, or (whole) its folder. slow: it takes some time.
    """

    name: str
    folder: Path
    spoilt: str
    mutators: tuple[Mutator, ...]
    openers: tuple[Callable[[Path], Any], ...]
    whole: bool = False
    slow: bool = False


def make_samples(top: Path, subject_models: bool = True) -> list[Sample]:
    """All forms, in folders below `top`. subject_models: those of detector, segmenter and describer too."""
    torch.manual_seed(7)
    samples = [*_ours(top), *_published(top), *_folders(top), *_subjects(top)]
    return samples + (_subject_models(top) if subject_models else [])


def loader(kind: str) -> Callable[[Path], Any]:
    def opener(path: Path) -> Any:
        return load(path, kind, dtype=None)

    return opener


def _ours(top: Path) -> list[Sample]:
    samples = []
    for kind in KINDS:
        folder = _made(top / f"ours-{kind}")
        module = tiny_part(kind)
        save_part(folder / "part.safetensors", kind, module, module.config)
        if kind == "text":
            write_vocabulary(folder)
        samples.append(_sample(f"ours, {kind}", folder, "part.safetensors", any_safetensors, loader(kind)))
    folder = _made(top / "ours-fp8")
    wanted = Conversion(dtype=torch.float8_e4m3fn)
    convert(
        top / "ours-transformer" / "part.safetensors", folder / "fp8.safetensors", wanted, lambda *_: None
    )
    convert(top / "ours-text" / "part.safetensors", folder / "text.safetensors", wanted, lambda *_: None)
    samples.append(_sample("ours, FP8", folder, "fp8.safetensors", any_safetensors, loader("transformer")))
    samples.append(
        _sample("ours, tokenizer inside", folder, "text.safetensors", any_safetensors, loader("text"))
    )
    folder = _made(top / "ours-adapter")
    state = load_file(golden_file("transformer"))
    save_file({name: t for name, t in state.items() if "control" not in name}, folder / "base.safetensors")
    alone = Conversion(adapter_only=True, base=folder / "base.safetensors")
    convert(golden_file("transformer"), folder / "adapter.safetensors", alone, lambda *_: None)
    samples.append(
        _sample(
            "ours, subject parameters", folder, "adapter.safetensors", any_safetensors, loader("transformer")
        )
    )
    return samples


def _published(top: Path) -> list[Sample]:
    folder = _made(top / "published")
    state = load_file(golden_file("transformer"))
    tokenizer = load_file(golden_file("tokenizer"))
    save_file(state, folder / "echogen.safetensors")
    torch.save({"trainer": {"gpt_fsdp": state, "lr": 0.1}, "epoch": 3}, folder / "echogen.pth")
    torch.save({"vae": tokenizer}, folder / "vae.pth")
    torch.save({"vae": tokenizer}, folder / "old.pth", _use_new_zipfile_serialization=False)
    dino = {name.removeprefix("dino."): t for name, t in tiny_part("semantic").state_dict().items()}
    torch.save(dino, folder / "dino.pth")
    return [
        _sample(
            "published, safetensors", folder, "echogen.safetensors", any_safetensors, loader("transformer")
        ),
        _sample("published, nested .pth", folder, "echogen.pth", any_zip, loader("transformer")),
        _sample("published, .pth", folder, "vae.pth", any_zip, loader("tokenizer")),
        _sample("published, .pth before 1.6", folder, "old.pth", any_stream, loader("tokenizer")),
        _sample("published, DINOv2 .pth", folder, "dino.pth", any_zip, loader("semantic")),
    ]


def _folders(top: Path) -> list[Sample]:
    folder = _made(top / "hub")
    module = tiny_part("text")
    module.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    state = {name.removeprefix("t5."): t for name, t in module.state_dict().items()}
    state.pop("encoder.embed_tokens.weight")
    names = sorted(state)
    shards = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for shard, members in shards.items():
        save_file({name: state[name].clone() for name in members}, folder / shard)
    weight_map = {name: shard for shard, members in shards.items() for name in members}
    index = "model.safetensors.index.json"
    (folder / index).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    text, words = loader("text"), "tokenizer.json"

    def vocabulary(path: Path) -> Any:
        return read_tokenizer(path)("a cat on ice")["input_ids"]

    return [
        _sample("folder, index", folder, index, any_json, text, whole=True),
        _sample("folder, shard", folder, "model-2.safetensors", any_safetensors, text, whole=True),
        Sample(
            "tokenizer.json",
            folder,
            words,
            (any_bytes, any_json, any_tokenizer, any_tokenizer),
            (vocabulary, loader_of(folder)),
        ),
    ]


def loader_of(folder: Path) -> Callable[[Path], Any]:
    """Loads the text encoder of `folder` with the tokenizer given."""

    def opener(path: Path) -> Any:
        return load(folder, "text", vocabulary=path).module.encode("a cat on ice")

    return opener


def _subjects(top: Path) -> list[Sample]:
    folder = _made(top / "subject")
    semantic = SemanticFeatures(torch.randn(2, 8), torch.randn(2, 4, 8), 0.5)
    save_subject(folder / "s.safetensors", Subject(semantic, ContentFeatures(torch.randn(1, 4, 3, 3))))

    def opener(path: Path) -> Any:
        is_subject(path)
        return load_subject(path)

    return [_sample("subject", folder, "s.safetensors", any_safetensors, opener)]


def _subject_models(top: Path) -> list[Sample]:
    from small_subject_models import write_describer, write_detector, write_segmenter

    from echogen_core.checkpoints.segmentation_models import load_describer, load_detector, load_segmenter
    from echogen_core.subject.original.grounding_dino import build_grounding_dino
    from echogen_core.subject.original.sam import build_sam

    samples = []
    folders = (
        ("describer", write_describer, load_describer),
        ("detector", write_detector, load_detector),
        ("segmenter", write_segmenter, load_segmenter),
    )
    for name, write, opener in folders:
        folder = write(top / name)
        for file in sorted(path.name for path in folder.iterdir() if path.suffix == ".json"):
            mutators = (any_bytes, any_json)
            samples.append(
                Sample(f"{name}, {file}", folder, file, mutators, (opener,), whole=True, slow=True)
            )
        samples.append(
            Sample(
                f"{name}, weights",
                folder,
                "model.safetensors",
                (any_bytes, any_safetensors),
                (opener,),
                True,
                True,
            )
        )
    from transformers import BertTokenizerFast, GroundingDinoConfig, SamConfig

    folder = _made(top / "originals")
    shutil.copy(top / "detector" / "vocab.txt", folder)
    detector = GroundingDinoConfig.from_pretrained(top / "detector")
    network = build_grounding_dino(detector, BertTokenizerFast.from_pretrained(folder))
    torch.save({"model": network.state_dict()}, folder / "dino.pth")
    segmenter = build_sam(SamConfig.from_pretrained(top / "segmenter"))
    torch.save(segmenter.state_dict(), folder / "sam.pth")
    samples.append(_sample("detector, .pth", folder, "dino.pth", any_zip, load_detector, slow=True))
    samples.append(_sample("segmenter, .pth", folder, "sam.pth", any_zip, load_segmenter, slow=True))
    return samples


def _sample(
    name: str, folder: Path, file: str, mutator: Mutator, opener: Callable[[Path], Any], **rest: bool
) -> Sample:
    return Sample(
        name, folder, file, (any_bytes, mutator, mutator), (identify_or_error, identify, opener), **rest
    )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


# --- what comes of a spoilt one


@dataclass(frozen=True)
class Outcome:
    """sort: 'read', 'refused', or what is wrong. detail: of the latter. seconds: of the processor."""

    sample: str
    seed: int
    done: str
    sort: str
    detail: str = ""
    seconds: float = 0.0
    size: int = 0

    @property
    def good(self) -> bool:
        return self.sort in ("read", "refused")


def spoil(sample: Sample, seed: int, place: Path) -> tuple[Path, str]:
    """A spoilt copy of the sample in `place` (made anew): what to open, and what was done to it."""
    source = random.Random(seed)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for path in sample.folder.iterdir():
        if (
            path.name == sample.spoilt
            or sample.whole
            or path.suffix in (".json", ".txt")
            or "base" in path.name
        ):
            shutil.copy(path, place)
    content, done = source.choice(sample.mutators)(source, (sample.folder / sample.spoilt).read_bytes())
    (place / sample.spoilt).write_bytes(content)
    return (place if sample.whole else place / sample.spoilt), done


def open_all(sample: Sample, seed: int, path: Path, done: str) -> Outcome:
    """The worst of what the sample's openers make of a spoilt copy."""
    size = sum(file.stat().st_size for file in path.parent.rglob("*") if file.is_file())
    outcomes = []
    for opener in sample.openers:
        start = time.process_time()
        with Peak() as peak:
            sort, detail = _outcome(opener, path, path.parent if not sample.whole else path)
        seconds = time.process_time() - start
        if peak.grown > 2 * size + ROOM:
            sort, detail = "memory", f"{peak.grown >> 20} MB for {size} bytes"
        outcomes.append(Outcome(sample.name, seed, done, sort, detail, seconds, size))
    worst = next((o for o in outcomes if not o.good), outcomes[-1])
    return replace(worst, seconds=max(o.seconds for o in outcomes))


def _outcome(opener: Callable[[Path], Any], path: Path, place: Path) -> tuple[str, str]:
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            opener(path)
    except (ValueError, FileNotFoundError) as error:
        message = str(error)
        if type(error) not in (ValueError, FileNotFoundError) and not isinstance(error, FileNotFoundError):
            return type(error).__name__, message[:300]
        if str(place) not in message:
            return "no file's name", message[:300]
        if len(message) > 3000 or any(not c.isprintable() and c != "\n" for c in message):
            return "unreadable message", f"{len(message)} characters: {message[:200]!r}"
        return "refused", message[:300]
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return type(error).__name__, str(error)[:300]
    ours = [str(w.message) for w in caught if "echogen" in w.filename or "Warning: " in str(w.message)]
    return ("read", "") if not ours else ("warnings", ours[0][:300])


class Peak:
    """Bytes by which the process's memory grew at most inside, looked at every few milliseconds."""

    grown = 0

    def __enter__(self) -> Peak:
        self._process, self._ended = psutil.Process(), threading.Event()
        self._start = self._process.memory_info().rss
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        return self

    def _look(self) -> None:
        while not self._ended.wait(0.005):
            self.grown = max(self.grown, self._process.memory_info().rss - self._start)

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watch.join()


def table(outcomes: list[Outcome]) -> str:
    """A line a form: how many files came to what; below it, what was neither read nor refused in words."""
    sorts = ["read", "refused", *sorted({o.sort for o in outcomes} - {"read", "refused"})]
    forms = list(dict.fromkeys(outcome.sample for outcome in outcomes))
    width = max(map(len, [*forms, "together"]))
    lines = [f"{'form':{width}}  files  " + "  ".join(sorts) + "  longest"]
    for form in [*forms, "together"]:
        those = [o for o in outcomes if form in (o.sample, "together")]
        counts = Counter(o.sort for o in those)
        cells = "  ".join(f"{counts[sort]:{len(sort)}}" for sort in sorts)
        lines.append(f"{form:{width}}  {len(those):5}  {cells}  {max(o.seconds for o in those):6.2f} s")
    for o in outcomes:
        if not o.good:
            lines.append(f"\n{o.sample}, seed {o.seed}: {o.sort}\n  {o.done}\n  {o.detail}")
    return "\n".join(lines)
