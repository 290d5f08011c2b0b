"""What the subject's steps tell the artist: what was not used, what was guessed, and what to do about it.

Notes are for the node that shows them, not errors: the run goes on. Sentences without internals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

EMPTY_MASK = "The mask is empty: not used."
EMPTY_TRANSPARENCY = "The picture is fully transparent: its transparency is not used."
UNREADABLE_MASK = "The mask holds values that are not numbers: not used."
NOTHING_LEFT = "The mask marks all of the picture as background: not used."
WHOLE_MASK = "The mask covers the whole picture: nothing is cut away."
TAKEN_AS_BACKGROUND = "The mask was taken as the background's: set mask_marks to 'subject' to change it."
TAKEN_AS_SUBJECT = "The mask was taken as the subject's: set mask_marks to 'background' if it marks the rest."
NOTHING_TO_CUT_BY = (
    "The whole picture is used: its background isn't plain, and there is no mask. To cut the subject out, "
    "set “without a mask” to built-in cut."
)
NOTHING_STANDS_OUT = "Nothing stands out in this picture: the whole picture is used."
NO_BOX = "There is no box for this picture."
BAD_BOX = "A box of this picture was left out. {reason}"
BOX_BESIDE_MASK = "The mask marks nothing inside the box: the box is not used."
HARDLY_SHOWS = (
    "The reference shows hardly anything of the subject: mark more of it, with a mask or a larger box."
)
FAINT = (
    "Most of the subject is only faintly marked (below 50 %), so the reference hardly shows it: mark it more "
    "strongly, with a mask or a larger box."
)
NOT_CUT_OUT = (
    "The subject may not be cut out: the picture's border isn't plain. Use Cut Out Subject or Subject "
    "Segmentation (is one bypassed?), or ignore this if the subject is meant to fill the picture."
)
BLANK_REFERENCE = "The picture is one plain colour: it shows no subject."
VIEWS_USED = "{used} of {given} pictures used, evenly chosen: raise max_views to use more."


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
