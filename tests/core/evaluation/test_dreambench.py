"""DreamBench from the folder to the page: nano with few blocks, scorers of the real classes, but small."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image

from echogen_core.checkpoints import load_transformer, save_part
from echogen_core.evaluation import command_dreambench, latency, paper_figures, tradeoff_plot
from echogen_core.evaluation.__main__ import main
from echogen_core.evaluation.benchmark import Plan
from echogen_core.evaluation.dreambench import open_picture, read_dreambench
from echogen_core.evaluation.records import Log, Record
from echogen_core.evaluation.scorers import Scorers, mean_cosine, prepare
from echogen_core.evaluation.summary import Interval, bootstrap, subject_means, summarise, summarise_classes
from echogen_core.evaluation.variants import Variant
from echogen_core.model import EchoGenTransformer
from echogen_core.utils.processes import ProcessGroup
from echogen_core.utils.work_log import claim
from tests.core import stopped, warm_process

from ..training.training_runs import free_port, rank_environment
from .small_scorers import SUBJECTS, small_options, write_dreambench, write_networks

pytestmark = pytest.mark.usefixtures("small_looks")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dreambench(tmp_path_factory.mktemp("dreambench"))


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture(scope="module")
def options(data: Path, networks: tuple[Path, Path], short_weights: Path) -> list[str]:
    return [*small_options(data, *networks), "--weights", str(short_weights), "--pictures", "2"]


@pytest.fixture(scope="module")
def finished(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run: three subjects, two prompts, two pictures.

    On one thread, as each of several processes has: with more, sums are added in another order.
    """
    out, threads = tmp_path_factory.mktemp("finished"), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert main(["dreambench", *options, "--out", str(out)]) == 0
    finally:
        torch.set_num_threads(threads)
    return out


def _assert_same(first: Path, second: Path, pictures: int = 12) -> None:
    """The same pictures, and the same rows but for the last digit of a score.

    pictures: how many of the second's there are, from its first on.
    """
    rows, expected = (parquet.read_table(out / "dreambench.parquet").to_pylist() for out in (first, second))
    assert len(rows) == pictures
    for row, other in zip(rows, expected[:pictures], strict=True):
        picture = Record(**row).key.path
        assert (first / picture).read_bytes() == (second / picture).read_bytes(), picture
        assert row == pytest.approx(other, abs=1e-6)


def _lines(out: Path) -> list[dict[str, Any]]:
    paths = sorted(out.glob("scores-*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_published_layout_is_read(data: Path) -> None:
    bench = read_dreambench(data)
    assert [(s.name, s.word, s.live, len(s.pictures)) for s in bench.subjects] == [
        ("clock", "clock", False, 2),
        ("bear_plushie", "stuffed animal", False, 3),
        ("dog2", "dog", True, 2),
    ]
    assert bench.prompts(bench.subjects[1]) == [
        "a stuffed animal in the jungle",
        "a stuffed animal on the beach",
    ]
    assert bench.prompts(bench.subjects[2])[1] == "a dog wearing a red hat"
    cut = read_dreambench(data / "dataset", ["dog2"], prompts=1)
    assert [(s.name, s.place) for s in cut.subjects] == [("dog2", 2)]
    assert len(cut.live_prompts) == 1
    assert [s.name for s in read_dreambench(data, ["2"]).subjects] == ["clock", "bear_plushie"]


def test_every_fault_of_the_folder_is_named_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no prompts_and_classes\.txt"):
        read_dreambench(tmp_path)
    root = write_dreambench(tmp_path) / "dataset"
    (root / "clock" / "01.jpg").write_bytes((root / "clock" / "01.jpg").read_bytes()[:300])
    for path in (root / "dog2").iterdir():
        path.unlink()
    (root / "bear_plushie").rename(root / "bear")
    with pytest.raises(ValueError, match="3 faults") as caught:
        read_dreambench(tmp_path)
    for fault in ("clock: Can't read the picture", "bear_plushie: the folder is missing", "dog2: no picture"):
        assert fault in str(caught.value)
    with pytest.raises(ValueError, match="No subject cow: expected a number above 0 or names out of clock"):
        read_dreambench(tmp_path, ["cow"])
    (root / "prompts_and_classes.txt").write_text("Classes\n\nclock,clock\n\nPrompts\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no prompts of objects, no of live subjects"):
        read_dreambench(tmp_path, ["clock"])


def test_the_mean_cosine_by_hand() -> None:
    # against (1, 0): 0.6 of 5; against (0, 2): 0.8; against (-3, 0): -0.6; mean 0.8 / 3
    feature_D = torch.tensor([3.0, 4.0])
    real_RD = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    assert mean_cosine(feature_D, real_RD) == pytest.approx(0.8 / 3)
    assert mean_cosine(feature_D, feature_D[None]) == pytest.approx(1.0)


def test_a_picture_is_resized_by_its_shorter_side_and_cut_in_the_middle() -> None:
    image = Image.new("RGB", (80, 20), (255, 0, 0))
    image.paste((0, 255, 0), (30, 0, 50, 20))
    found_13HW = prepare(image, 20, 20, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert found_13HW.shape == (1, 3, 20, 20)
    # all green: (0 - 0.5) / 0.25 and (1 - 0.5) / 0.25
    assert found_13HW[0, :, 10, 10].tolist() == [-2.0, 2.0, -2.0]
    assert bool((found_13HW[0, 1] == 2.0).all())
    assert prepare(image, 32, 28, (0.0,) * 3, (1.0,) * 3).shape == (1, 3, 28, 28)


def test_scores_are_cosines_of_the_networks_own_features(networks: tuple[Path, Path]) -> None:
    """Each score again, from transformers' classes by their own calls on pixels made by hand."""
    from transformers import CLIPModel, ViTModel

    scorers = Scorers(str(networks[0]), str(networks[1]))
    # one colour: resizing and cutting change nothing
    images = [Image.new("RGB", (40, 40), colour) for colour in ("red", "white", "black")]

    def pixels(colour: list[float], mean: list[float], std: list[float]) -> torch.Tensor:
        normal_3 = (torch.tensor(colour) - torch.tensor(mean)) / torch.tensor(std)
        return normal_3[None, :, None, None].expand(1, 3, 32, 32)

    imagenet = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    openai = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    dino, clip = (
        kind.from_pretrained(path) for kind, path in zip((ViTModel, CLIPModel), networks, strict=True)
    )
    colours = [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    ids = scorers._words("a red clock", return_tensors="pt")
    with torch.no_grad():
        dino_3D = [dino(pixel_values=pixels(c, *imagenet)).last_hidden_state[0, 0] for c in colours]
        whole = [clip(pixel_values=pixels(c, *openai), **ids) for c in colours]
    found = scorers.score(images[0], scorers.real(images[1:]), "a red clock")
    cosine = torch.nn.functional.cosine_similarity
    likeness = [float(cosine(dino_3D[0], other, dim=0)) for other in dino_3D[1:]]
    assert found.dino == pytest.approx(sum(likeness) / 2, abs=1e-5)
    embedded = [out.image_embeds[0] for out in whole]
    likeness = [float(cosine(embedded[0], other, dim=0)) for other in embedded[1:]]
    assert found.clip_i == pytest.approx(sum(likeness) / 2, abs=1e-5)
    assert found.clip_t == pytest.approx(float(cosine(embedded[0], whole[0].text_embeds[0], dim=0)), abs=1e-5)
    assert scorers.backbones["DINO"].shape == "ViT 3 x 24, patch 16"
    assert not scorers.backbones["DINO"].published
    with pytest.raises(FileNotFoundError, match="Pass --dino a folder"):
        Scorers(dino=str(networks[0] / "nothing"), clip=str(networks[1]))


def test_the_interval_is_that_of_subjects_drawn_with_replacement() -> None:
    # means of two subjects drawn from {0, 1}: 0, 0.5, 1 with 1/4, 1/2, 1/4
    assert bootstrap(torch.tensor([0.0, 1.0])) == Interval(0.5, 0.0, 1.0)
    assert bootstrap(torch.full((30,), 0.25)) == Interval(0.25, 0.25, 0.25)
    assert bootstrap(torch.tensor([0.7])) == Interval(pytest.approx(0.7))
    assert str(Interval(0.7)) == "0.700"
    # many subjects: near the normal interval, 1.96 standard errors
    means_S = torch.linspace(0, 1, 101)
    found = bootstrap(means_S)
    assert found.low is not None and found.high is not None
    error = float(means_S.std(correction=0)) / 101**0.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.03)


def _record(subject: str, live: bool, dino: float, picture: int = 0) -> Record:
    return Record("both", subject, "dog", live, 0, "a dog", picture, 0, 4, dino, 0.5, 0.25)


def test_figures_are_means_of_subjects_per_kind_and_overall() -> None:
    records = [
        *(_record("clock", False, 0.2, 0), _record("clock", False, 0.4, 1)),
        *(_record("can", False, 0.5), _record("dog", True, 0.9)),
    ]
    found = summarise(records)
    assert (found["all"].subjects, found["all"].pictures) == (3, 4)
    # subjects 0.3, 0.5 and 0.9
    assert found["all"].scores["dino"].value == pytest.approx(1.7 / 3)
    assert found["objects"].scores["dino"].value == pytest.approx(0.4)
    assert found["live"].scores["dino"] == Interval(pytest.approx(0.9))
    assert "live" not in summarise(records[:2])
    assert subject_means(records, "clock")["dino"] == pytest.approx(0.3)


def test_figures_of_a_class_are_means_of_its_subjects() -> None:
    records = [
        *(_record("dog2", True, 0.2, 0), _record("dog2", True, 0.4, 1), _record("dog", True, 0.9)),
        replace(_record("clock", False, 0.5), subject_class="clock"),
    ]
    found = summarise_classes(records)
    assert list(found) == ["clock", "dog"]
    assert (found["dog"].subjects, found["dog"].pictures) == (2, 3)
    # two subjects, 0.3 and 0.9: a drawn pair has the mean 0.3, 0.6 or 0.9
    assert found["dog"].scores["dino"] == Interval(*map(pytest.approx, (0.6, 0.3, 0.9)))
    assert found["clock"].scores["dino"] == Interval(pytest.approx(0.5))


def test_the_published_table_is_whole() -> None:
    assert len(paper_figures.COMPARISON) == 16
    ours = paper_figures.COMPARISON[-1]
    assert (ours.method, ours.dino, ours.clip_i, ours.clip_t) == ("EchoGen-2B", 0.755, 0.835, 0.325)
    assert all(0.2 < row.clip_t < row.dino < 1 for row in paper_figures.COMPARISON + paper_figures.ABLATIONS)


def test_one_parquet_holds_a_row_for_every_picture(finished: Path, data: Path) -> None:
    rows = parquet.read_table(finished / "dreambench.parquet").to_pylist()
    assert len(rows) == 3 * 2 * 2
    assert len({row["seed"] for row in rows}) == len(rows)
    assert [row["subject"] for row in rows[::4]] == list(SUBJECTS)
    assert {row["real_pictures"] for row in rows if row["subject"] == "bear_plushie"} == {3}
    assert rows == _lines(finished)
    settings = json.loads((finished / "settings.json").read_text(encoding="utf-8"))
    assert "ViT 3 x 24, patch 16" in settings["DINO"]


def test_a_stored_score_is_that_of_the_stored_picture(
    finished: Path, data: Path, networks: tuple[Path, Path]
) -> None:
    scorers = Scorers(*map(str, networks))
    record = Record(**_lines(finished)[5])
    real = scorers.real([open_picture(path) for path in read_dreambench(data).subjects[1].pictures])
    found = scorers.score(Image.open(finished / record.key.path), real, record.prompt)
    assert found == pytest.approx((record.dino, record.clip_i, record.clip_t), abs=1e-6)


def test_the_page_is_whole_and_needs_nothing_else(finished: Path) -> None:
    text = (finished / "dreambench.html").read_text(encoding="utf-8")
    page = ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>"))
    assert "http" not in text
    images = [image.attrib["src"] for image in page.iter("img")]
    assert len(images) == 12 + 3 + (2 + 3 + 2) + 3  # ours, the cut-outs, the real ones, one of each subject
    assert all(source.startswith("data:image/jpeg;base64,") for source in images)
    rows = ["".join(row.itertext()) for row in page.iter("tr")]
    assert sum(row.endswith("published") for row in rows) == 16
    assert sum(row.endswith("measured here") for row in rows) == 1
    classes = [row[0].text for row in page.iter("tr") if len(row) == 6 and (row[1].text or "").isdecimal()]
    assert classes == ["all subjects", "objects", "cats and dogs", "clock", "dog", "stuffed animal"]
    assert "this run has 3, 2 and 2" in text and "ViT-" not in text
    assert "Not comparable:" in text


def test_a_transformer_just_trained_is_measured_in_the_place_of_the_models_own(
    finished: Path,
    options: list[str],
    short_weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = load_transformer(short_weights / "transformer.safetensors").module
    model.get_parameter("semantic_cls.weight").data.mul_(-3)
    trained = save_part(tmp_path / "run" / "subject.safetensors", "transformer", model, model.config, None)
    asked = ["dreambench", *options, "--subjects", "1", "--prompts", "1", "--pictures", "1"]
    assert main([*asked, "--out", str(tmp_path / "out"), "--transformer", str(trained)]) == 0
    picture = Record(**_lines(tmp_path / "out")[0]).key.path
    assert (tmp_path / "out" / picture).read_bytes() != (finished / picture).read_bytes()
    assert "DreamBench: nano (run/subject.safetensors)" in (tmp_path / "out" / "dreambench.html").read_text(
        "utf-8"
    )
    plain = EchoGenTransformer(replace(model.config, subject=False))
    base = save_part(tmp_path / "run" / "base.safetensors", "transformer", plain, plain.config, None)
    assert main([*asked, "--out", str(tmp_path / "other"), "--transformer", str(base)]) == 2
    assert "is a base model without a subject path" in capsys.readouterr().err


def test_what_is_done_is_not_done_again_and_a_torn_line_costs_one_picture(
    finished: Path, options: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = (finished / "scores-0.jsonl").read_bytes().splitlines(keepends=True)
    for path in finished.rglob("*.png"):
        target = tmp_path / path.relative_to(finished)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (tmp_path / "settings.json").write_bytes((finished / "settings.json").read_bytes())
    (tmp_path / "scores-0.jsonl").write_bytes(b"".join(log[:10]) + log[10][:40])
    with caplog.at_level("INFO"):
        assert main(["dreambench", *options, "--out", str(tmp_path)]) == 0
    assert "2 pictures to make in this process" in caplog.text
    assert len(_lines(tmp_path)) == 12
    _assert_same(tmp_path, finished)


def test_a_killed_run_is_finished_by_two_processes_with_the_same_result(
    finished: Path, options: list[str], tmp_path: Path
) -> None:
    """Killed with a picture stored but not recorded."""
    program = "tests.core.evaluation.quick_looks:main"
    run = ["dreambench", *options, "--subjects", "2", "--out", str(tmp_path)]
    with stopped.Process('echogen_core.utils.work_log.append_line@"prompt_index": 1', program, *run) as alone:
        alone.arrive()
    kept = Log(tmp_path).read()
    assert len(kept) == 2 and len(list(tmp_path.rglob("01_0.png"))) == 1

    port = free_port()  # and the environment that torchrun makes
    both = [
        warm_process.start(program, run, rank_environment(number, 2, port), tmp_path / f"said-{number}")
        for number in range(2)
    ]
    ended = [warm_process.status(process) for process in both]
    assert ended == [0, 0], [(tmp_path / f"said-{number}").read_text("utf-8") for number in range(2)]
    assert len(_lines(tmp_path)) == 8  # nothing twice
    assert len((tmp_path / "scores-1.jsonl").read_bytes().splitlines()) == 4
    assert kept.items() <= Log(tmp_path).read().items()
    _assert_same(tmp_path, finished, 8)


def test_scores_of_two_settings_are_not_mixed(
    finished: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dreambench", *options, "--out", str(finished), "--seed", "5"]) == 2
    assert "sampling: tau" in capsys.readouterr().err
    claim(tmp_path, {"seed": 1}, "scores")
    claim(tmp_path, {"seed": 1}, "scores")
    with pytest.raises(ValueError, match="seed: 1 then, 2 now"):
        claim(tmp_path, {"seed": 2}, "scores")


def test_records_of_an_older_run_are_read(tmp_path: Path) -> None:
    """They call the variant "arm"."""
    record = _record("dog", True, 0.5)
    (tmp_path / record.key.path).parent.mkdir(parents=True)
    (tmp_path / record.key.path).write_bytes(b"")
    Log(tmp_path).add(record)
    path = tmp_path / "scores-0.jsonl"
    line = path.read_text(encoding="utf-8")
    assert '"variant": "both"' in line
    path.write_text(line.replace('"variant"', '"arm"'), encoding="utf-8")
    assert Log(tmp_path).read() == {record.key: record}


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    log = Log(tmp_path)
    record = _record("dog", True, 0.5)
    log.add(record)
    assert log.read() == {}  # its picture is not there
    path = tmp_path / record.key.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert log.read() == {record.key: record}
    (tmp_path / "scores-1.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"Line 1 of .*scores-1\.jsonl is damaged"):
        log.read()


def test_a_picture_has_one_seed_whatever_else_is_asked_for(data: Path) -> None:
    bench, alone = read_dreambench(data), read_dreambench(data, ["dog2"], prompts=1)
    plan, short = Plan(bench, (Variant(2, 3),), 4, 7), Plan(alone, (Variant(2, 1),), 1, 7)
    key = next(iter(short.picture_keys()))
    assert plan.seed_of(bench.subjects[2], key) == short.seed_of(alone.subjects[0], key) == 7 + 2 * 10_000
    assert (
        len({plan.seed_of(bench.subjects[0], key) for key in plan.picture_keys() if key.subject == "clock"})
        == 8
    )
    with pytest.raises(ValueError, match="Expected 1 to 100 pictures"):
        Plan(bench, (Variant(2, 3),), 0, 0)


def test_machines_without_a_shared_folder_are_told_so(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of two processes alone with its folder: the launcher, and the other machine, are not there."""
    asked = [*options, "--subjects", "1", "--prompts", "2", "--pictures", "1"]

    def start(rank: int, out: Path) -> str:
        group = ProcessGroup(rank, 2, torch.device("cpu"), lambda: None, lambda: None)
        monkeypatch.setattr(command_dreambench, "join_group", lambda _: group)
        assert main(["dreambench", *asked, "--out", str(out)]) == 2
        return capsys.readouterr().err

    # the second one's machine has no settings of the first: said before any work
    assert "several machines need the same --out" in start(1, tmp_path / "second")
    assert not list((tmp_path / "second").rglob("*"))
    # the first one finds its own picture alone
    err = start(0, tmp_path / "first")
    assert "Expected 2 finished pictures" in err and "missing: 1" in err
    assert "clock/01_0.png" in err and len(_lines(tmp_path / "first")) == 1


def test_the_curve_puts_points_where_they_belong() -> None:
    low, high = Interval(0.2, 0.1, 0.3), Interval(0.4)
    svg = ElementTree.fromstring(
        tradeoff_plot.draw(
            [tradeoff_plot.Point(low, high, "a", "l"), tradeoff_plot.Point(high, low, "b", "l")], "x", "y"
        )
    )
    first, second = ([float(c.attrib[name]) for name in ("cx", "cy")] for c in svg.iter("circle"))
    assert first[0] < second[0] and first[1] < second[1]  # down is larger in SVG
    line = next(svg.iter("polyline")).attrib["points"]
    assert line == f"{first[0]},{first[1]} {second[0]},{second[1]}"
    assert len(list(svg.iter("line"))) == 2
    corners = [(float(t.attrib["x"]), float(t.attrib["y"])) for t in svg.iter("text") if t.text in ("a", "b")]
    assert len(corners) == 2 and all(
        0 < x < tradeoff_plot.WIDTH and 0 < y < tradeoff_plot.HEIGHT for x, y in corners
    )
    # both intervals are on the frame, which begins at (74, 40) and ends at (832, 458)
    ends = [float(line.attrib[name]) for line in svg.iter("line") for name in ("x1", "x2")]
    assert min(ends) > 74 and max(ends) < 832
    with pytest.raises(ValueError, match="no point"):
        tradeoff_plot.draw([], "x", "y")


def test_latency_is_taken_part_by_part(
    short_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["latency", "--out", str(tmp_path), "--weights", str(short_weights), "--runs", "2"]
    asked += ["--device", "cpu", "--threads", "1"]
    assert main(asked) == 0
    found = json.loads((tmp_path / "latency.json").read_text(encoding="utf-8"))
    seconds, stages = found["seconds"], found["seconds"]["stages"]
    assert set(stages) == {
        *("segmentation", "text encoder", "semantic encoder", "content encoder", "sampling", "decoding"),
    }
    assert all(value > 0 for value in stages.values())
    assert seconds["encoders"] < seconds["total"] > stages["sampling"]
    assert found["about"]["dtype"] == "fp32"
    assert found["about"]["picture"] == "256 x 256 px, 5 scales, 341 tokens"
    assert "| sampling | " in (text := capsys.readouterr().out) and "4.95 s" in text
    with pytest.raises(SystemExit, match="2"):
        main([*asked, "--runs", "0"])


def test_the_clock_waits_for_the_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waited.append(str(device)))
    for name in ("cpu", "mps", "cuda:1"):
        latency._now(torch.device(name))
    assert waited == ["mps", "cuda:1"]
