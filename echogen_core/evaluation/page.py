"""One HTML page that needs nothing else: tables, the curve, and every picture.

The page is well-formed XML as well, so that a test can read it; it holds no link to anything outside it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from PIL import Image

from . import curve, published
from .arms import Arm
from .dreambench import Subject, open_picture
from .records import Record
from .summary import LABELS, METRICS, Group, summarise
from .work import reference_path

SIDE = 160  # pixels of a picture on the page: 3,000 of them stay below 30 MB

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1150px; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid #ddd; text-align: left; }
td { font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.measured { background: #eef6ea; font-weight: 600; }
.pictures { display: flex; flex-wrap: wrap; gap: 0.6rem; }
figure { margin: 0; width: 160px; }
figure img { display: block; max-width: 160px; min-width: 96px; }
figcaption { font-size: 11px; line-height: 1.3; color: #555; }
summary { cursor: pointer; padding: 0.3rem 0; }
svg { max-width: 760px; width: 100%; font-family: inherit; }
"""


@dataclass(frozen=True)
class Report:
    """All that a page says.

    title: its heading. settings: name -> value, in words. arms, records: what was measured, in order.
    subjects: with their real pictures. folder: where the pictures lie. latency: ours in words, '' if unknown.
    warnings: why our figures are not comparable with the published ones, if so.
    """

    title: str
    model: str
    settings: Mapping[str, str]
    arms: Sequence[Arm]
    records: Sequence[Record]
    subjects: Sequence[Subject]
    folder: Path
    latency: str = ""
    warnings: Sequence[str] = ()

    def groups(self, arm: Arm) -> dict[str, Group]:
        return summarise([record for record in self.records if record.arm == arm.key])


def write_page(report: Report, path: Path, comparison: Sequence[published.Row], with_curve: bool) -> None:
    """Write the page, a piece at a time: with all its pictures it is large."""
    temporary = path.with_suffix(".part")
    with temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"{piece}\n" for piece in _pieces(report, comparison, with_curve))
    temporary.replace(path)


def tradeoff(report: Report) -> str:
    """Likeness against prompt: a line for each γ_t along γ_I, the rewired arms beside it."""
    points: list[curve.Point] = []
    for arm in sorted(report.arms, key=lambda arm: (arm.gamma_t, arm.gamma_i)):
        scores = report.groups(arm)["all"].scores
        beside = arm.swap.label if arm.swap else arm.conditions if arm.conditions != "both" else ""
        label, line = (beside, "") if beside else (f"γ_I {arm.gamma_i:g}", f"γ_t {arm.gamma_t:g}")
        points.append(curve.Point(scores["clip_t"], scores["dino"], label, line))
    ends = {point.line: point for point in points if point.line}  # a line is named at its last point
    named = [p._replace(label=f"{p.label} ({p.line})") if ends.get(p.line) is p else p for p in points]
    return curve.draw(named, "CLIP-T: the prompt", "DINO: likeness")


def _pieces(report: Report, comparison: Sequence[published.Row], with_curve: bool) -> Iterator[str]:
    title = escape(report.title)
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8"/>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
    yield f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>"
    for warning in report.warnings:
        yield f"<p><strong>Not comparable:</strong> {escape(warning)}</p>"
    yield "<h2>Beside the published figures</h2>"
    yield _comparison(report, comparison)
    yield (
        "<p>In brackets: 95 % bootstrap interval over subjects. Rows marked “published” are those of "
        f"{published.PAPER}; nothing of them was measured again.</p>"
    )
    if with_curve:
        yield "<h2>Likeness against prompt</h2>"
        yield f'<figure style="width: auto">{tradeoff(report)}</figure>'
    yield "<h2>By kind of subject</h2>"
    yield _by_kind(report)
    yield "<h2>How it was measured</h2>"
    rows = ((escape(name), escape(value)) for name, value in report.settings.items())
    yield _table((), rows)
    yield "<h2>Pictures</h2>"
    for subject in report.subjects:
        yield from _gallery(report, subject)
    yield "</body></html>"


def _comparison(report: Report, comparison: Sequence[published.Row]) -> str:
    heads = ("method", "base", *LABELS.values(), "latency", "origin")
    rows = [
        "".join(
            f"<td>{escape(cell)}</td>"
            for cell in (
                *(row.method, row.base, *(f"{getattr(row, metric):.3f}" for metric in METRICS)),
                *(row.latency or "–", "published"),
            )
        )
        for row in comparison
    ]
    text = f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>"
    text += "".join(f"<tr>{row}</tr>" for row in rows)
    for arm in report.arms:
        scores = report.groups(arm)["all"].scores
        cells = (
            *(f"{report.model}, {arm.label}", "–", *(str(scores[metric]) for metric in METRICS)),
            *(report.latency or "–", "measured here"),
        )
        text += f'<tr class="measured">{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
    return text + "</table>"


def _by_kind(report: Report) -> str:
    rows = [
        (
            *(escape(arm.label), name, str(group.subjects), str(group.pictures)),
            *(str(group.scores[metric]) for metric in METRICS),
        )
        for arm in report.arms
        for name, group in report.groups(arm).items()
    ]
    return _table(("arm", "subjects of kind", "subjects", "pictures", *LABELS.values()), rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are markup already."""
    head = f"<tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>" if heads else ""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{head}{body}</table>"


def _gallery(report: Report, subject: Subject) -> Iterator[str]:
    records = [record for record in report.records if record.subject == subject.name]
    yield f"<details><summary><strong>{escape(subject.name)}</strong> ({escape(subject.word)})</summary>"
    yield '<h3>The subject</h3><div class="pictures">'
    cut = report.folder / reference_path(subject.name)
    yield _figure(cut, "what the model saw: the first picture, cut out")
    for path in subject.pictures:
        yield _figure(path, f"real, {path.name}")
    yield "</div>"
    labels = {arm.key: arm.label for arm in report.arms}
    for prompt in dict.fromkeys(record.prompt for record in records):
        yield f'<h3>{escape(prompt)}</h3><div class="pictures">'
        for record in records:
            if record.prompt == prompt:
                figures = (f"{label} {getattr(record, metric):.3f}" for metric, label in LABELS.items())
                caption = f"{labels[record.arm]}: {', '.join(figures)}, seed {record.seed}"
                yield _figure(report.folder / record.key.path, caption)
        yield "</div>"
    yield "</details>"


def _figure(path: Path, caption: str) -> str:
    image = open_picture(path)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    image.save(data, format="JPEG", quality=85)
    source = base64.b64encode(data.getvalue()).decode()
    words = escape(caption)
    return (
        f'<figure><img src="data:image/jpeg;base64,{source}" alt="{words}"/>'
        f"<figcaption>{words}</figcaption></figure>"
    )
