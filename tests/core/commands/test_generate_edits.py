"""`python -m echogen_core generate` in pictures of one's own, with regions and a negative prompt."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from echogen_core.__main__ import main
from echogen_core.subject.samples import FOLDER as SAMPLES

from .generated import OTHER_PROMPT, PROMPT, pictures

pytestmark = pytest.mark.usefixtures("one_thread", "kept_looks")
WIDTH, HEIGHT = 150, 100
BOX = (60, 20, 120, 80)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture that rises from dark to bright, with noise; its mask and others are beside it."""
    folder = tmp_path_factory.mktemp("photo")
    ground = Image.linear_gradient("L").resize((WIDTH, HEIGHT))
    Image.blend(ground, Image.effect_noise(ground.size, 90), 0.3).convert("RGB").save(folder / "photo.png")
    mask = Image.new("L", (WIDTH, HEIGHT))
    mask.save(folder / "black.png")
    mask.paste(255, BOX)
    mask.save(folder / "mask.png")
    Image.new("L", (HEIGHT, HEIGHT), 255).crop((0, 0, HEIGHT, HEIGHT)).rotate(45).save(folder / "square.png")
    return folder / "photo.png"


def pixels(picture: Path | bytes) -> npt.NDArray[np.int16]:
    source = picture if isinstance(picture, Path) else io.BytesIO(picture)
    return np.asarray(Image.open(source).convert("RGB")).astype(np.int16)


@pytest.mark.parametrize("way", ["place", "redraw"])
def test_the_picture_changes_inside_the_mask_alone(
    way: str, photo: Path, files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    feather = 2
    # what is placed is drawn by all of nano: random weights draw nothing that stands out
    more = ("--batch", "2", "--weights", files["assets"] / "nano") if way == "redraw" else ()
    made = pictures(
        tmp_path / "out", "--into", photo, "--mask", photo.with_name("mask.png"), "--way", way,
        "--reference", SAMPLES / "siamese_cat.png", "--box", "9,9,240,240",
        "--feather", str(feather), *more,
    )  # fmt: skip
    said = capsys.readouterr().err
    assert "transparency" in said and "stood out" not in said
    assert sorted(made) == (["out_00.png", "out_01.png"] if more else ["out.png"])
    assert len({*made.values()}) == len(made)
    reach = 2 * feather
    left, top, right, bottom = BOX
    for content in made.values():
        changed = (pixels(content) != pixels(photo)).any(-1)
        assert changed.shape == (HEIGHT, WIDTH) and changed[top:bottom, left:right].mean() > 0.05
        changed[top - reach : bottom + reach, left - reach : right + reach] = False
        assert not changed.any()


@pytest.mark.usefixtures("random_nano")
def test_all_scales_kept_is_the_picture_as_it_was_seen(
    photo: Path, short_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nearly: what a tokenizer loses is lost. Nothing of prompt or seed is in it."""
    options = ("--into", photo, "--way", "redraw", "--keep-scales", "5", "--fit", "pad")
    options = (*options, "--weights", short_weights)
    made = [
        pictures(tmp_path / "out", *options, *more)
        for more in ((), ("--seed", "9"), ("--prompt", OTHER_PROMPT))
    ]
    assert made[0] and made[0] == made[1] == made[2]
    assert "nothing changes" in capsys.readouterr().err
    assert float(np.abs(pixels(made[0]["out.png"]) - pixels(photo)).mean()) < 20


@pytest.mark.usefixtures("random_nano")
def test_transparency_is_the_mask_as_a_mask_editor_saves_it(photo: Path, tmp_path: Path) -> None:
    """What is under the paint is the picture's, and a mask comes before the transparency."""
    painted = Image.open(photo)
    painted.putalpha(Image.eval(Image.open(photo.with_name("mask.png")), lambda white: 255 - white))
    painted.save(tmp_path / "painted.png")
    white = tmp_path / "white.png"
    Image.new("L", (WIDTH, HEIGHT), 255).save(white)

    def redrawn(into: Path, *options: str | Path) -> dict[str, bytes]:
        return pictures(tmp_path / "out", "--into", into, "--way", "redraw", *options)

    by_paint = redrawn(tmp_path / "painted.png", "--feather", "2")
    assert by_paint and by_paint == redrawn(photo, "--mask", photo.with_name("mask.png"), "--feather", "2")
    everywhere = redrawn(tmp_path / "painted.png", "--mask", white)
    assert everywhere and everywhere == redrawn(photo, "--mask", white)


OPTIONS: dict[str, tuple[str, ...]] = {
    "--keep-scales": ("4",),
    "--feather": ("0",),
    "--fit": ("stretch",),
    "--region": ("area=left half", f"prompt={OTHER_PROMPT}"),
    "--negative": ("a bench in snow",),
    "--aspect-ratio": ("1:1",),
}
"""Beside `--into PICTURE --mask MASK --way redraw`, each with a value other than its default."""


@pytest.mark.usefixtures("random_nano")
def test_no_option_is_ignored_whatever_else_is_given(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of any two options each changes the result, or the run is refused with the name of one of them."""
    base = ("--into", photo, "--mask", photo.with_name("mask.png"), "--way", "redraw")

    def run(*names: str) -> dict[str, bytes] | None:
        made = pictures(tmp_path / "out", *base, *(word for name in names for word in (name, *OPTIONS[name])))
        said = capsys.readouterr().err
        assert made or any(f"{name} has no effect" in said for name in names), (names, said)
        return made or None

    plain = run()
    alone = {name: run(name) for name in OPTIONS}
    assert [name for name, made in alone.items() if made is None] == ["--aspect-ratio"]
    assert plain not in alone.values()
    for pair in itertools.combinations(OPTIONS, 2):
        both = run(*pair)
        assert both is None or all(both != alone[other] for other in pair), pair


@pytest.mark.usefixtures("random_nano")
def test_a_region_over_everything_is_a_picture_with_its_prompt(
    files: dict[str, Path], photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = files["reference.png"]
    out = tmp_path / "out"
    whole = pictures(
        out, "--region", "area=everywhere", f"prompt={OTHER_PROMPT}", f"reference={reference}", "gamma-i=2"
    )
    assert "Region 1: Subject cut out" in capsys.readouterr().err
    assert whole and whole == pictures(
        out, "--prompt", OTHER_PROMPT, "--reference", reference, "--gamma-i", "2"
    )
    weighed = ("--negative", "snow", "--gamma-t", "1", "--region", "area=left half", "prompt=x")
    assert pictures(out, *weighed, "gamma-t=3"), "the negative prompt weighs in the region"
    some = pictures(out, "--region", f"mask={photo.with_name('mask.png')}", f"reference={reference}")
    assert some and some not in (whole, pictures(out))
    capsys.readouterr()
    assert pictures(out, *("--region", "area=left half", "prompt=a lamp") * 2)
    assert "The regions overlap in 50%" in capsys.readouterr().err


@pytest.mark.usefixtures("random_nano")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mask", "MASK"], "without --reference or --into"),
        (["--into", "PHOTO"], "--into needs --mask"),
        (["--into", "PHOTO", "--mask", "BLACK"], "--mask is black"),
        (["--into", "PHOTO", "--mask", "SQUARE"], "expected the same proportions"),
        (["--into", "nowhere.png", "--mask", "MASK"], "No picture at nowhere.png"),
        (["--into", "PHOTO", "--mask", "nowhere.png"], "No picture at nowhere.png"),
        (["--into", "PHOTO", "--mask", "MASK", "--keep-scales", "6"], "5 scales, so expected 0 to 5"),
        (["--into", "PHOTO", "--mask", "MASK", "--fit", "pad"], "--fit has no effect on --way place"),
        (["--into", "PHOTO", "--mask", "MASK", "--region", "area=left half", "prompt=x"], "on --way place"),
        (
            ["--into", "PHOTO", "--way", "redraw", "--feather", "3"],
            "--feather has no effect without --mask or transparency",
        ),
        (["--region", "mask=BLACK", "prompt=x"], "is black: expected white"),
        (["--region", "mask=nowhere.png", "prompt=x"], "No picture at nowhere.png"),
        (["--negative", "snow", "--gamma-t", "1"], "--negative has no effect at --gamma-t 1"),
        (
            ["--negative", "snow", "--gamma-t", "1", "--region", "area=left half", "prompt=x", "gamma-t=1"],
            "--negative has no effect",
        ),
        (
            ["--region", "area=left half", "reference=PHOTO", "gamma-i=2", "--gamma-i", "3"],
            "no subject to weigh",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_missing_or_does_not_fit_is_said(
    options: list[str], words: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {
        name.upper(): str(photo.with_name(f"{name}.png")) for name in ("photo", "mask", "black", "square")
    }
    for name, path in names.items():
        options = [option.replace(name, path) for option in options]
    assert not pictures(tmp_path / "out", *options)
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (["prompt=x"], "area=... or mask=..."),
        (["area=left half", "mask=x.png", "prompt=x"], "one of the two"),
        (["area=left half", "gamma-t=3"], "reference=... or prompt=..."),
        (["area=left half", "prompt=x", "area=top half"], "each key once"),
    ],
)
def test_a_region_says_where_and_what(
    parts: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["generate", "--prompt", PROMPT, "--out", str(tmp_path / "out.png"), "--region", *parts])
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
