"""The coverage of a fleet as a heat map for a terminal: plants by days."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from harvester.questions.coverage import Bucket, Cell, PlantRow, bucket_for, bucketed, columns
from harvester.show import in_one_line

_MOST_PLANTS = 60
_MOST_BANDS = 3
_WIDEST_NAME = 28
_CELL = 2
"""Characters of a column."""


@dataclass(frozen=True, slots=True)
class Shade:
    """How a share is shown: told apart by glyph as well as by colour."""

    least: float
    glyph: str
    style: str
    words: str


SHADES = (
    Shade(1.0, "█", "#1a9850", "all"),
    Shade(0.9, "▓", "#91cf60", "90 % or more"),
    Shade(0.5, "▒", "#fdae61", "half or more"),
    Shade(1e-9, "░", "#f46d43", "less than half"),
    Shade(0.0, "×", "bold #d73027", "nothing"),  # noqa: RUF001 - a cross is meant
)
_NOTHING_DUE = Shade(0.0, "·", "dim", "nothing to harvest")


def shade(cell: Cell | None) -> Shade:
    """Return how *cell* is shown."""
    if cell is None or cell.share is None:
        return _NOTHING_DUE
    share = cell.share
    return next(each for each in SHADES if share >= each.least)


def show_heatmap(rows: Sequence[PlantRow], out: Console) -> None:
    """Print *rows* on *out*: in bands where the terminal is narrow, days put together where the span is long."""
    days = len(columns(rows, Bucket.DAY))
    name_width = min(max((cell_len(_label(row)) for row in rows), default=0), _WIDEST_NAME)
    fit = max((out.width - name_width - 1) // _CELL, 4)
    bucket = bucket_for(days, _MOST_BANDS * fit)
    shown = _most_in_need(bucketed(rows, bucket))
    heads = columns(shown, bucket)
    for at in range(0, len(heads), fit):
        band = heads[at : at + fit]
        for line in _heads(band, bucket, name_width):
            out.print(line, soft_wrap=True)
        for row in shown:
            out.print(_line(row, band, name_width), soft_wrap=True)
        out.print()
    if len(rows) > len(shown):
        out.print(f"The {len(shown)} plants that lack most are shown; {len(rows) - len(shown):,} more are in --json.")
    out.print(_legend(bucket), soft_wrap=True)


def _most_in_need(rows: Sequence[PlantRow]) -> list[PlantRow]:
    if len(rows) <= _MOST_PLANTS:
        return list(rows)
    worst = sorted(rows, key=lambda row: row.whole.share if row.whole.share is not None else 2.0)[:_MOST_PLANTS]
    kept = {row.plant_id for row in worst}
    return [row for row in rows if row.plant_id in kept]


def _label(row: PlantRow) -> str:
    return in_one_line(f"{row.name} {row.plant_id}")


def _line(row: PlantRow, band: Sequence[date], name_width: int) -> Text:
    label = _label(row)
    if cell_len(label) > name_width:
        label = f"{set_cell_size(label, name_width - 1)}…"
    line = Text(f"{set_cell_size(label, name_width)} ")
    for day in band:
        found = shade(row.cells.get(day))
        line.append(found.glyph * _CELL, style=found.style)
    return line


def _heads(band: Sequence[date], bucket: Bucket, name_width: int) -> Iterator[Text]:
    """Yield two lines: the month (or the year) where one begins, and the day (or the month) of every other column."""
    above, below = "%b %Y", "%d"
    if bucket is Bucket.MONTH:
        above, below = "%Y", "%m"
    line, filled = "", 0
    for number, day in enumerate(band):
        text = day.strftime(above)
        if (number == 0 or text != band[number - 1].strftime(above)) and number * _CELL >= filled:
            line = f"{line:<{number * _CELL}}{text}"
            filled = len(line) + 1
    yield Text(f"{'':<{name_width}} {line}", style="bold")
    days = (" " * _CELL if number % 2 else day.strftime(below) for number, day in enumerate(band))
    yield Text(f"{'':<{name_width}} {''.join(days)}", style="dim")


def _legend(bucket: Bucket) -> Text:
    legend = Text(f"Share of the series-days of each plant and {bucket.value} that are settled or plausible:")
    for each in (*SHADES, _NOTHING_DUE):
        legend.append("  ")
        legend.append(each.glyph * _CELL, style=each.style)
        legend.append(f" {each.words}")
    return legend
