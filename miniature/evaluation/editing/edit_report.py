"""Writes what was found about editing as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..results import Gate
from .figures import EditRow, Table


def markdown(tables: Sequence[Table], gates: Sequence[Gate], about: dict[str, Any]) -> str:
    """The tables, then what has to be reached."""
    lines = [
        f"{about['subjects']} held-out subjects, seeds {', '.join(map(str, about['seeds']))}; judge "
        "EfficientNet-Lite2. In brackets: 95 % bootstrap intervals over subjects.",
    ]
    for table in tables:
        lines += ["", f"### {table.title}", "", table.note, ""]
        lines += ["| | " + " | ".join(table.columns.values()) + " |", "|---" * (len(table.columns) + 1) + "|"]
        lines += [
            f"| {row.name} | " + " | ".join(_cell(row, measure) for measure in table.columns) + " |"
            for row in table.rows
        ]
    if gates:
        lines += ["", "| target | | found |", "|---|---|---|"]
        lines += [f"| {g.name} | {'met' if g.passed else 'MISSED'} | {g.detail} |" for g in gates]
    return "\n".join(lines) + "\n"


def as_json(tables: Sequence[Table], gates: Sequence[Gate], about: dict[str, Any]) -> dict[str, Any]:
    """The same as JSON values, with the value of every picture."""
    return {
        "about": about,
        "tables": [
            {
                "title": table.title,
                "rows": [
                    {
                        "name": row.name,
                        "subjects": row.subjects_N.tolist(),
                        "measures": {
                            name: {**row.interval(name)._asdict(), "pictures": values_N.tolist()}
                            for name, values_N in row.values.items()
                        },
                    }
                    for row in table.rows
                ],
            }
            for table in tables
        ],
        "gates": [asdict(gate) for gate in gates],
    }


def _cell(row: EditRow, measure: str) -> str:
    if measure not in row.values:
        return ""
    found = row.interval(measure)
    digits = 3 if abs(found.value) < 1 else 2 if abs(found.value) < 10 else 1
    if found.low is None or found.high is None or found.low == found.high:
        return f"{found.value:.{digits}f}"
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"
