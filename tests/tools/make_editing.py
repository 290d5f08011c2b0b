"""Writes the workflows that edit pictures, draw two subjects, and choose among many.

COMFYUI_PATH=... python tests/tools/make_editing.py
"""

from __future__ import annotations

from layout import (
    COLUMN,
    COLUMNS,
    CONDITIONS,
    CORRIDOR,
    GAP,
    NARROWEST,
    REFERENCE_WIDTH,
    RESULT_SIZE,
    TITLE_HEIGHT,
    App,
    Item,
    Layout,
    Links,
    note,
    reference,
    sampler,
    saved,
    shown,
    subject_way,
    write,
)

INSERT_PROMPT = "a siamese cat on a grey background"
INSERT_NOTE = """## Your subject in a photo

1. Press **Run**: the cat stands on the meadow, and the rest of the photo stays as it was, to the last bit.
2. **Your photo**: drop it on *Photo*, right-click, *Open in MaskEditor*, and paint where the subject should \
be, as large as it should be. It stands on the paint's lower edge.
3. **Your subject**: drop it on *Reference Picture*.
4. The **prompt** names your subject on a plain ground: there it is cut out best. *Mode* **redraw** draws \
the prompt's scene in the mask instead.

nano draws 256×256 px from few bits, and *Paste Back* enlarges them: its subjects are soft beside a \
photo. EchoGen-2B draws 1024×1024."""

TWO_PROMPTS = ("a teddy bear in Venice on the left", "a cup cake in Venice on the right")
TWO_NOTE = """## Two subjects in one scene

1. Press **Run**: the sampler draws the bear, and *Subject Region* the cup cake in the right half.
2. **Your own pictures**: drop them on the two *Reference Pictures*.
3. Each subject has a **prompt** of its own, which says where it is. With the same scene in both, the halves \
meet without a seam.
4. **Another part**: choose an *area*, or connect a *mask*. For a third subject, connect *regions* to a \
further *Subject Region*'s *previous*.

nano was trained on single subjects, so two are small and simple."""

KEEP_PROMPT = "a teddy bear in Venice"
KEEP_NOTE = """## Another subject, the same light

1. Press **Run**: the bear instead of the cup cake, in the light and colours of that square.
2. **keep scales**, on *Edit Picture*: how many coarse scales stay the picture's. 0: none. 2: its light and \
colours. 3 and 4: the cup cake shows through, more and more. 5: the picture itself.
3. **Where the subject stands**, kept scales don't hold: name it in the **prompt**, "on the left in Venice".
4. **Your own pictures**: drop the scene on *Picture to keep* and the subject on *Reference Picture*, and \
name both in the prompt.

nano has 5 scales and knows its 20 scenes only: photos turn into the nearest of them. EchoGen-2B has 13; \
try 4."""

BEST_PROMPT = "a siamese cat by the sea at dusk"
BEST_NOTE = """## The best of eight

1. Press **Run**: eight pictures of eight seeds; *Rank by Likeness* keeps the two that look most like your \
subject.
2. **More to choose from**: raise the sampler's *batch size*. **More to keep**: *how many*.
3. **That picture alone**: the node says which it was. Add its number, less one, to the *seed*, and set \
*batch size* to 1.
4. Your own picture: drop it on *Reference Picture*.

The score is ours, not the paper's: the cosine of the semantic encoder's class tokens, subject cut out. \
nano's are close to one another, so trust your eye as well. Its seeds differ little: **tau** 2 and low γ \
make them differ more."""

BATCH, TAU = 4, 7  # of the sampler's values
ROW = 500  # from one reference to the next below it
FEATURES, DRAWS = COLUMNS[2] + 40, COLUMNS[3] + 40
"""The last two columns where the loader has wires to nodes far below it, which bend further out."""


def second_picture(picture: str, title: str) -> Item:
    """A second picture, below the reference."""
    item = reference(picture)
    item.pos, item.title = (0, ROW), title
    return item


def with_second_picture(words: str, prompt: str, first: str, second: Item) -> dict[str, Item]:
    """`subject_way` with another picture between the reference and the note."""
    way = subject_way(words, prompt)
    way["sample"] = reference(first)
    way["note"] = note(words, (0, 2 * ROW), (REFERENCE_WIDTH, 430))
    for name in ("text", "semantic", "content"):
        way[name].pos = (FEATURES, way[name].pos[1])
    return {**way, "second": second}


def edit_picture(
    links: Links, way: str = "place", keep_scales: int = 0, fit: str = "around the mask"
) -> Item:
    """Edit Picture, below the features."""
    return Item(
        "EchoGenEditPicture",
        (FEATURES, 820),
        (COLUMN, 560),
        [way, keep_scales, 0, 4.0, fit, "auto"],
        {**links, "tokenizer": ("load", 1)},
        "Edit Picture",
    )


def insert() -> dict[str, Item]:
    """A photograph with a painted mask, a reference, and the result at the photograph's size."""
    photo = second_picture("mountain_meadow.webp", "Photo: paint where the subject should be")
    x = DRAWS + 440
    second, third = x + NARROWEST + GAP, x + 2 * (NARROWEST + GAP)
    return {
        **with_second_picture(INSERT_NOTE, INSERT_PROMPT, "siamese_cat.png", photo),
        "edit": edit_picture({"image": ("second", 0), "mask": ("second", 1)}),
        "sampler": sampler((DRAWS, 0), {**CONDITIONS, "edit": ("edit", 0)}),
        "decode": Item(
            "EchoGenDecodeBits",
            (x, 0),
            (NARROWEST, 60),
            [],
            {"bits": ("sampler", 0), "tokenizer": ("load", 1)},
        ),
        "paste": Item(
            "EchoGenPasteBack",
            (second, 0),
            (NARROWEST, 70),
            [],
            {"image": ("decode", 0), "edit": ("sampler", 1)},
            "Paste Back",
        ),
        "show": Item("PreviewImage", (third, 0), (620, 470), [], {"images": ("paste", 0)}, "Result"),
        "save": saved("EchoGen/insert", (third, 560), ("paste", 0)),
    }


def two_subjects() -> dict[str, Item]:
    """The sampler's own subject, and one in a region."""
    cut, x = COLUMNS[1], DRAWS
    second = second_picture("cup_cake.png", "Second subject")
    region = {"semantic": ("semantic_2", 0), "content": ("content_2", 0), "text": ("text_2", 0)}
    way = with_second_picture(TWO_NOTE, TWO_PROMPTS[0], "teddy_bear.png", second)
    way["cut"] = cut_out((cut, 250), "sample", "First subject, cut out")
    way["cut_2"] = cut_out((cut, 820), "second", "Second subject, cut out")
    for suffix, prompt, y in zip(("", "_2"), TWO_PROMPTS, (CORRIDOR, 790), strict=True):
        way.update(features_of(suffix, prompt, y))
    return {
        **way,
        "region": Item(
            "EchoGenSubjectRegion",
            (x, 720),
            (COLUMN, 480),
            ["right half", -1.0, -1.0],
            region,
            "Subject Region",
        ),
        "sampler": sampler((x + 340, 0), {**CONDITIONS, "regions": ("region", 0)}),
        **shown("result", x + 780, 0, ("sampler", 0), prefix="EchoGen/two-subjects"),
    }


def cut_out(pos: tuple[float, float], picture: str, title: str) -> Item:
    """Cut Out Subject, which takes less room than Subject Segmentation."""
    links = {"image": (picture, 0), "mask": (picture, 1)}
    values = [0.08, "white", "auto", False, "built-in cut"]
    return Item("EchoGenCutOutSubject", pos, (COLUMN, 520), values, links, title)


def features_of(suffix: str, prompt: str, y: float) -> dict[str, Item]:
    """One subject's features and its prompt, one below the other."""
    picture, x = {"image": (f"cut{suffix}", 0)}, FEATURES
    return {
        f"text{suffix}": Item(
            "EchoGenEncodeText", (x, y), (COLUMN, 160), [prompt], {"text_encoder": ("load", 2)}
        ),
        f"semantic{suffix}": Item(
            "EchoGenEncodeSemantic",
            (x, y + 220),
            (COLUMN, 120),
            [1.0],
            {"semantic_encoder": ("load", 3), **picture},
            "Encode Semantic",
        ),
        f"content{suffix}": Item(
            "EchoGenEncodeContent",
            (x, y + 420),
            (COLUMN, 120),
            [1.0],
            {"content_encoder": ("load", 4), **picture},
            "Encode Content",
        ),
    }


def keep_layout() -> dict[str, Item]:
    """A picture whose coarse scales stay, and another subject."""
    kept = second_picture("cup_cake_in_venice.webp", "Picture to keep")
    x = DRAWS
    return {
        **with_second_picture(KEEP_NOTE, KEEP_PROMPT, "teddy_bear.png", kept),
        "edit": edit_picture({"image": ("second", 0)}, "redraw", 2, "pad"),
        "sampler": sampler((x, 0), {**CONDITIONS, "edit": ("edit", 0)}),
        **shown("result", x + 440, 0, ("sampler", 0), prefix="EchoGen/keep-layout"),
    }


def best_of_eight() -> dict[str, Item]:
    """Eight pictures, and the two that are most like the subject."""
    way, x = subject_way(BEST_NOTE, BEST_PROMPT), COLUMNS[3]
    way["sample"] = reference("siamese_cat.png")
    eight = sampler((x, 0), gamma=(2.0, 1.5))
    eight.values[BATCH], eight.values[TAU] = 8, 2.0
    second = x + 440 + NARROWEST + GAP
    third = second + COLUMN + GAP
    return {
        **way,
        "sampler": eight,
        "decode": Item(
            "EchoGenDecodeBits",
            (x + 440, 0),
            (NARROWEST, 60),
            [],
            {"bits": ("sampler", 0), "tokenizer": ("load", 1)},
        ),
        "rank": Item(
            "EchoGenRankByLikeness",
            (second, 0),
            (COLUMN, 200),
            [2],
            {"image": ("decode", 0), "semantic": ("semantic", 0), "semantic_encoder": ("load", 3)},
            "Rank by Likeness",
        ),
        "show_all": Item(
            "PreviewImage", (third, 520), (RESULT_SIZE[0], 480), [], {"images": ("decode", 0)}, "All eight"
        ),
        "show": Item("PreviewImage", (third, 0), RESULT_SIZE, [], {"images": ("rank", 0)}, "Best two"),
        "save": saved("EchoGen/best-of-eight", (third, RESULT_SIZE[1] + 2 * TITLE_HEIGHT), ("rank", 0)),
    }


APP = App(
    [
        ("second", "picture"),
        ("sample", "picture"),
        ("text", "prompt"),
        ("edit", "way"),
        ("sampler", "gamma_pad"),
    ],
    ["show"],
)
IDENT = "5f0c6c6e-2c9e-4a53-9d0e-ec406e00000"
LAYOUTS = (
    Layout("Subject - into your own photo", f"{IDENT}9", insert, APP),
    Layout("Regions - two subjects in one scene", f"{IDENT}a", two_subjects),
    Layout("Swap - another subject, same layout", f"{IDENT}b", keep_layout),
    Layout("Rank - the best of eight", f"{IDENT}c", best_of_eight),
)


if __name__ == "__main__":
    for layout in LAYOUTS:
        write(layout)
