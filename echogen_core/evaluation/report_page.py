"""One self-contained HTML page: tables, the plot, and every picture.

It is well-formed XML, so that a test can parse it, and links to nothing outside it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from PIL import Image

from ..pictures import open_rgb
from ..utils.printable import counted
from ..utils.writing import write_atomically
from . import paper_figures, tradeoff_plot
from .benchmark import reference_path
from .dreambench import Subject
from .records import Record
from .summary import LABELS, METRICS, Group, Interval, subject_means, summarise, summarise_classes
from .variants import Variant

SIDE = 160  # pixels of a picture on the page: 3,000 photographs are 34 MB

KINDS = {"all": "all subjects", "objects": "objects", "live": "cats and dogs"}
"""Labels of the groups that `summarise` makes."""

_STYLE = """
:root { --ink: #1d2733; --soft: #5c6875; --rule: #dfe4e8; --ours: #1f6f43; --tint: #edf6f0; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff; margin: 0 auto;
  max-width: 1120px; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { border-bottom: 2px solid var(--rule); font-size: 1.25rem; margin: 2.6rem 0 0.6rem;
  padding-bottom: 0.3rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 0.5rem; }
p.note { color: var(--soft); max-width: 50rem; }
p.warning { background: #fff6df; border-left: 4px solid #d99a00; margin: 0.5rem 0; padding: 0.5rem 0.9rem; }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.2rem 0; }
.card { border: 1px solid var(--rule); border-radius: 8px; flex: 1 1 200px; padding: 0.8rem 1.1rem; }
.card b { display: block; font-size: 2rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card span { color: var(--soft); display: block; font-size: 13px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 0.6rem 0; }
th { color: var(--soft); font-size: 13px; font-weight: 600; }
th, td { padding: 0.3rem 0.9rem 0.3rem 0; border-bottom: 1px solid var(--rule); text-align: left;
  vertical-align: baseline; }
table.figures { width: 100%; }
table.figures th, table.figures td { padding: 0.32rem 0.8rem; white-space: nowrap; }
.number { text-align: right !important; font-variant-numeric: tabular-nums; }
.number small { color: var(--soft); display: block; font-size: 11.5px; font-weight: 400; line-height: 1.2; }
tr.measured td, tr.whole td { background: var(--tint); font-weight: 600; }
.origin { border: 1px solid var(--rule); border-radius: 9px; color: var(--soft); font-size: 12px;
  font-weight: 400; padding: 0.05rem 0.55rem; }
tr.measured .origin { background: var(--ours); border-color: var(--ours); color: #fff; }
.pictures { display: grid; gap: 0.8rem; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); }
figure { margin: 0; }
.pictures img { aspect-ratio: 1; background: #f3f5f7; border-radius: 5px; display: block; object-fit: contain;
  width: 100%; }
figcaption { color: var(--soft); font-size: 11.5px; line-height: 1.35; padding-top: 0.25rem;
  font-variant-numeric: tabular-nums; }
details { border-bottom: 1px solid var(--rule); padding: 0.45rem 0; }
summary { cursor: pointer; }
summary span { color: var(--soft); font-size: 13px; margin-left: 0.7rem; font-variant-numeric: tabular-nums; }
svg { width: 100%; font-family: inherit; }
@media print { details { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Report:
    """The content of a page.

    title: its heading. settings: name -> value, in words. variants, records: what was measured, in order.
    subjects: with their real pictures. folder: where the pictures lie. latency: ours in words, '' if unknown.
    warnings: why our figures are not comparable with the published ones, if so.
    """

    title: str
    model: str
    settings: Mapping[str, str]
    variants: Sequence[Variant]
    records: Sequence[Record]
    subjects: Sequence[Subject]
    folder: Path
    latency: str = ""
    warnings: Sequence[str] = ()

    def of(self, variant: Variant) -> list[Record]:
        """Records of a variant."""
        return [record for record in self.records if record.variant == variant.key]

    def groups(self, variant: Variant) -> dict[str, Group]:
        """Figures of a variant, over all subjects and by kind."""
        return summarise(self.of(variant))


def write_page(report: Report, path: Path, comparison: Sequence[paper_figures.Row], with_curve: bool) -> None:
    """Write the page piece by piece: with all its pictures it is large."""
    pieces = _pieces(report, comparison, with_curve)
    write_atomically(path, lambda stream: stream.writelines(f"{piece}\n".encode() for piece in pieces))


def tradeoff(report: Report) -> str:
    """The plot: a line along γ_I for each γ_t, and the other variants as single points."""
    points: list[tradeoff_plot.Point] = []
    for variant in sorted(report.variants, key=lambda variant: (variant.gamma_t, variant.gamma_i)):
        scores = report.groups(variant)["all"].scores
        beside = (
            variant.swap.label if variant.swap else variant.conditions if variant.conditions != "both" else ""
        )
        label, line = (beside, "") if beside else (f"γ_I {variant.gamma_i:g}", f"γ_t {variant.gamma_t:g}")
        points.append(tradeoff_plot.Point(scores["clip_t"], scores["dino"], label, line))
    return tradeoff_plot.draw(points, "CLIP-T: the prompt", "DINO: subject")


def _pieces(report: Report, comparison: Sequence[paper_figures.Row], with_curve: bool) -> Iterator[str]:
    title = escape(report.title)
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8"/>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
    yield f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>"
    for warning in report.warnings:
        yield f'<p class="warning"><strong>Not comparable:</strong> {escape(warning)}</p>'
    if with_curve:
        yield "<h2>Subject fidelity against prompt fidelity</h2>"
        yield f"<figure>{tradeoff(report)}</figure>"
        yield (
            '<p class="note">A line for each γ_t, its points along γ_I; squares are variants with a path off '
            "or another encoder. Thin crosses are 95 % bootstrap intervals over subjects.</p>"
        )
    else:
        yield _cards(report, comparison)
    yield "<h2>Beside the published figures</h2>"
    yield _comparison(report, comparison)
    yield (
        '<p class="note">Small: the 95 % bootstrap interval over subjects. Rows marked “published” are '
        f"those of {paper_figures.PAPER}; nothing of them was measured again.</p>"
    )
    yield "<h2>By class of subject</h2>"
    for variant in report.variants:
        if len(report.variants) == 1:
            yield _classes(report, variant)
        else:
            yield f"<details><summary>{escape(variant.label)}</summary>{_classes(report, variant)}</details>"
    yield "<h2>How it was measured</h2>"
    rows = ([_cell(name), _cell(value)] for name, value in report.settings.items())
    yield _table((), (("", row) for row in rows))
    yield "<h2>Pictures</h2>"
    if not with_curve:
        yield _overview(report)
    for subject in report.subjects:
        yield from _gallery(report, subject)
    yield "</body></html>"


def _cards(report: Report, comparison: Sequence[paper_figures.Row]) -> str:
    """The first variant's figures in large type, with the published ones of the same model."""
    scores = report.groups(report.variants[0])["all"].scores
    theirs = next((row for row in comparison if row.method.lower() == report.model), None)
    cards = []
    for metric, label in LABELS.items():
        found = scores[metric]
        words = f"95 %: {found.low:.3f} to {found.high:.3f}" if found.low is not None else "one subject"
        beside = f"<span>published: {getattr(theirs, metric):.3f}</span>" if theirs else ""
        figure = f"<span>{label}</span><b>{found.value:.3f}</b><span>{words}</span>"
        cards.append(f'<div class="card">{figure}{beside}</div>')
    return f'<div class="cards">{"".join(cards)}</div>'


def _comparison(report: Report, comparison: Sequence[paper_figures.Row]) -> str:
    rows = []
    for row in comparison:
        figures = [_cell(f"{getattr(row, metric):.3f}", "number") for metric in METRICS]
        end = [_cell(row.latency or "–", "number"), _origin("published")]
        rows.append(("", [_cell(row.method), _cell(row.base), *figures, *end]))
    for variant in report.variants:
        scores = report.groups(variant)["all"].scores
        figures = [_interval(scores[metric]) for metric in METRICS]
        end = [_cell(report.latency or "–", "number"), _origin("measured here")]
        rows.append(("measured", [_cell(f"{report.model}, {variant.label}"), _cell("–"), *figures, *end]))
    heads = [_head("method"), _head("base"), *_metric_heads(), _head("latency", "number"), _head("origin")]
    return _table(heads, rows, "figures")


def _classes(report: Report, variant: Variant) -> str:
    """All subjects, the two kinds, then every class word."""
    kinds = [(KINDS[name], group) for name, group in report.groups(variant).items()]
    classes = summarise_classes(report.of(variant)).items()
    rows = [
        (
            "whole" if number < len(kinds) else "",
            [
                _cell(name),
                _cell(str(group.subjects), "number"),
                _cell(str(group.pictures), "number"),
                *(_interval(group.scores[metric]) for metric in METRICS),
            ],
        )
        for number, (name, group) in enumerate([*kinds, *classes])
    ]
    heads = [_head("class"), _head("subjects", "number"), _head("pictures", "number"), *_metric_heads()]
    return _table(heads, rows, "figures")


def _metric_heads() -> list[str]:
    return [_head(label, "number") for label in LABELS.values()]


def _head(words: str, kind: str = "") -> str:
    return f'<th class="{kind}">{escape(words)}</th>'


def _cell(words: str, kind: str = "") -> str:
    return f'<td class="{kind}">{escape(words)}</td>'


def _interval(found: Interval) -> str:
    value, _, ends = str(found).partition(" ")
    return f'<td class="number">{value}<small>{ends.strip("[]").replace(", ", " – ")}</small></td>'


def _origin(words: str) -> str:
    return f'<td><span class="origin">{words}</span></td>'


def _table(heads: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], kind: str = "") -> str:
    """rows: class and cells; heads and cells are markup already."""
    head = f"<tr>{''.join(heads)}</tr>" if heads else ""
    body = "".join(f'<tr class="{name}">{"".join(cells)}</tr>' for name, cells in rows)
    return f'<div class="wide"><table class="{kind}">{head}{body}</table></div>'


def _overview(report: Report) -> str:
    """The first picture of every subject."""
    figures = []
    for subject in report.subjects:
        first = next(record for record in report.records if record.subject == subject.name)
        figures.append(_figure(report.folder / first.key.path, f"{subject.name}: {first.prompt}"))
    return f'<div class="pictures">{"".join(figures)}</div><h3>Every picture</h3>'


def _gallery(report: Report, subject: Subject) -> Iterator[str]:
    records = [record for record in report.records if record.subject == subject.name]
    words = counted(len(records), "picture")
    if len(report.variants) == 1:  # a mean over variants would mean nothing
        words = f"{_in_words(subject_means(records, subject.name))}, {words}"
    yield f"<details><summary><strong>{escape(subject.name)}</strong> ({escape(subject.word)})"
    yield f"<span>{words}</span></summary>"
    yield '<h3>The subject</h3><div class="pictures">'
    cut = report.folder / reference_path(subject.name)
    yield _figure(cut, "what the model saw: the first picture, cut out")
    for path in subject.pictures:
        yield _figure(path, f"real, {path.name}")
    yield "</div>"
    labels = {
        variant.key: f"{variant.label}: " if len(report.variants) > 1 else "" for variant in report.variants
    }
    for prompt in dict.fromkeys(record.prompt for record in records):
        yield f'<h3>{escape(prompt)}</h3><div class="pictures">'
        for record in records:
            if record.prompt == prompt:
                scores = {metric: getattr(record, metric) for metric in METRICS}
                caption = f"{labels[record.variant]}{_in_words(scores)}, seed {record.seed}"
                yield _figure(report.folder / record.key.path, caption)
        yield "</div>"
    yield "</details>"


def _in_words(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{label} {scores[metric]:.3f}" for metric, label in LABELS.items())


def _figure(path: Path, caption: str) -> str:
    image = open_rgb(path)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    image.save(data, format="JPEG", quality=85)
    source = base64.b64encode(data.getvalue()).decode()
    words = escape(caption)
    return (
        f'<figure><img src="data:image/jpeg;base64,{source}" alt="{words}"/>'
        f"<figcaption>{words}</figcaption></figure>"
    )
