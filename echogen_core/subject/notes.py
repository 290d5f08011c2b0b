"""What the subject's steps tell the artist: what was not used, what was guessed, and what to do about it.

Notes are for the node that shows them, not errors: the run goes on. Sentences without internals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

EMPTY_MASK = "The mask is empty, so it isn't used."
EMPTY_TRANSPARENCY = "The picture is fully transparent, so its transparency isn't used."
UNREADABLE_MASK = "The mask holds values that are not numbers, so it isn't used."
NOTHING_LEFT = "The mask leaves no subject, so it isn't used."
WHOLE_MASK = "The mask covers the whole picture: nothing is cut away."
TAKEN_AS_BACKGROUND = (
    "The mask's white part was taken for the background. If it is the subject, set “white in mask means” to "
    "subject."
)
TAKEN_AS_SUBJECT = (
    "The mask's white part was taken for the subject. If it is the background, set “white in mask means” to "
    "background."
)
NOTHING_TO_CUT_BY = (
    "The whole picture is used: its background isn't plain, and there is no mask. To cut the subject out, "
    "set “without a mask” to use the built-in cut."
)
NOTHING_STANDS_OUT = "Nothing stands out, so the whole picture is used. Paint a mask on it."
NO_BOX = "There is no box for this picture."
BAD_BOX = "A box of this picture was left out. {reason}"
BOX_OF_ANOTHER = "The box was drawn on another picture, so it isn't used. Draw it again, or empty the field."
BOX_BESIDE_MASK = "The mask marks nothing inside the box, so the box isn't used."
HARDLY_SHOWS = "Hardly any of the subject is marked. Paint more of it, or use a larger box."
FAINT = (
    "Most of the subject is only faintly marked (below 50 %), so the reference hardly shows it. Paint it "
    "more strongly, or use a larger box."
)
NOT_CUT_OUT = (
    "The subject may not be cut out: the picture's border isn't plain. Use Cut Out Subject or Subject "
    "Segmentation (is one bypassed?), or ignore this if the subject is meant to fill the picture."
)
BLANK_REFERENCE = "The picture is a single colour, so there is no subject."
VIEWS_USED = "Used {used} of {given} pictures. To use more, raise max views."


def joined(*notes: str) -> str:
    """The notes that are not '', each once, in one line."""
    return " ".join(dict.fromkeys(filter(None, notes)))


def by_picture(notes: Sequence[str], indices: Sequence[int] | None = None) -> list[str]:
    """A list of the different notes of a batch, with the pictures' numbers where not all have the same.

    notes: one for each picture, '' for none. indices: the pictures' places in the batch, if not all are in.
    """
    numbers: dict[str, list[int]] = {}
    for index, note in zip(indices or range(len(notes)), notes, strict=True):
        if note:
            numbers.setdefault(note, []).append(index + 1)
    return [
        note if len(which) == len(notes) else f"{_pictures(which)}: {note}" for note, which in numbers.items()
    ]


def _pictures(numbers: Iterable[int]) -> str:
    """'Picture 3', 'Pictures 1, 3–5'."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = [str(first) if first == last else f"{first}–{last}" for first, last in runs]
    one = len(runs) == 1 and runs[0][0] == runs[0][1]
    return f"Picture{'' if one else 's'} {', '.join(texts)}"
