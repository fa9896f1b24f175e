"""The coverage of a fleet as one page of HTML that needs nothing else: no network, no other file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from html import escape
from itertools import groupby

from harvester.questions.coverage import Bucket, Cell, PlantRow, bucket_for, bucketed, columns

_MOST_COLUMNS = 120

_STYLE = """
:root { color-scheme: light dark; --page: #fbfbf9; --ink: #1d2327; --soft: #5b656d; --line: #d9dde0; --card: #fff;
  --all: #1a7f4b; --most: #8ccf9b; --half: #f2c14e; --few: #e8833a; --none: #c23b3b; --idle: #eceeef;
  --on-all: #fff; --on-most: #10301d; --on-half: #3a2a00; --on-few: #2d1400; --on-none: #fff; }
@media (prefers-color-scheme: dark) { :root { --page: #14181b; --ink: #e8ecef; --soft: #9aa5ad; --line: #2d353b;
  --card: #1b2125; --all: #2e9e63; --most: #8ccf9b; --half: #e0b040; --few: #dd7a35; --none: #d85555;
  --idle: #232a2f; --on-all: #04170c; --on-none: #1c0505; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 100rem; margin: 0 auto; padding: 2rem 1.5rem 8rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
p { margin: .25rem 0; color: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; padding: 0; margin: 1rem 0; list-style: none; }
.legend i { display: inline-block; width: 1.9rem; height: 1.3rem; margin-right: .4rem; border-radius: .25rem;
  vertical-align: middle; text-align: center; font: 600 .7rem/1.3rem system-ui, sans-serif; }
.map { overflow: auto; max-height: 75vh; background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; }
table { border-collapse: separate; border-spacing: 2px; padding: .5rem; }
caption, .away { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th { font-weight: 500; text-align: left; white-space: nowrap; }
thead th { position: sticky; top: 0; background: var(--card); color: var(--soft); font-size: .75rem; }
thead tr + tr th { top: 1.3rem; text-align: center; }
tbody th { position: sticky; left: 0; background: var(--card); padding-right: .8rem; max-width: 18rem;
  overflow: hidden; text-overflow: ellipsis; }
tbody th small { color: var(--soft); }
td { min-width: 1.9rem; height: 1.6rem; border-radius: .25rem; text-align: center; font-size: .7rem;
  font-weight: 600; font-variant-numeric: tabular-nums; cursor: default; }
td:hover { filter: brightness(1.1); }
:focus-visible { outline: 3px solid var(--ink); outline-offset: 1px; }
.all { background: var(--all); color: var(--on-all); } .most { background: var(--most); color: var(--on-most); }
.half { background: var(--half); color: var(--on-half); } .few { background: var(--few); color: var(--on-few); }
.none { background: var(--none); color: var(--on-none); } .idle { background: var(--idle); color: var(--soft); }
output { position: fixed; inset: auto 0 0; padding: .9rem 1.5rem; background: var(--card); color: var(--ink);
  border-top: 1px solid var(--line); box-shadow: 0 -4px 18px rgb(0 0 0 / .08); min-height: 3.4rem; }
@media print { .map { max-height: none; } output { display: none; } }
"""

_SCRIPT = """
const cells = [...document.querySelectorAll("tbody tr")].map(row => [...row.querySelectorAll("td")]);
const told = document.querySelector("output");
const heads = document.querySelectorAll("thead tr:last-child th[data-day]");
const tell = cell => {
  told.textContent = cell.parentNode.querySelector("th").textContent + ", " +
    heads[cell.cellIndex - 1].dataset.day + ": " + cell.getAttribute("aria-label");
};
const visit = (row, column) => {
  const cell = cells[row]?.[column];
  if (!cell) return;
  document.querySelector("td[tabindex='0']")?.setAttribute("tabindex", "-1");
  cell.tabIndex = 0;
  cell.focus();
};
const table = document.querySelector("table");
for (const kind of ["pointerover", "focusin"])
  table.addEventListener(kind, event => {
    const cell = event.target.closest("tbody td");
    if (cell) tell(cell);
  });
table.addEventListener("keydown", event => {
  const cell = event.target.closest("tbody td");
  if (!cell) return;
  const row = cells.findIndex(found => found.includes(cell)), column = cell.cellIndex - 1;
  const way = { ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1],
    ArrowRight: [row, column + 1], Home: [row, 0], End: [row, cells[row].length - 1] }[event.key];
  if (way) { event.preventDefault(); visit(...way); }
});
"""

_SHADES = (
    (1.0, "all", "✓", "all"),
    (0.9, "most", "95", "90 % or more"),
    (0.5, "half", "70", "half or more"),
    (1e-9, "few", "20", "less than half"),
    (0.0, "none", "0", "nothing"),
)
_IDLE = ("idle", "·", "nothing to harvest")


def page(rows: Sequence[PlantRow], *, now: datetime, note: str = "") -> str:
    """Return the page about *rows* as of *now* (aware UTC); where the days are many, weeks or months stand for them.

    *note* tells in a sentence what the rows leave out.
    """
    days = columns(rows, Bucket.DAY)
    bucket = bucket_for(len(days), _MOST_COLUMNS)
    shown = bucketed(rows, bucket)
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        *_head(),
        "<body>",
        "<main>",
        *_opening(rows, days, bucket, now, note),
        '<div class="map">',
        *_table(shown, columns(shown, bucket), bucket),
        "</div>",
        '<output aria-live="polite"></output>',
        "</main>",
        f"<script>{_SCRIPT}</script>",
        "</body>",
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def _head() -> list[str]:
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return [
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<title>Coverage</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
    ]


def _opening(rows: Sequence[PlantRow], days: Sequence[date], bucket: Bucket, now: datetime, note: str) -> Iterator[str]:
    whole = sum((row.whole for row in rows), Cell())
    between = f"{days[0].isoformat()} to {days[-1].isoformat()}" if days else "no day"
    yield "<h1>Coverage</h1>"
    yield f"<p>{len(rows):,} plants, {between}: {escape(whole.words)}.</p>"
    yield (
        f"<p>Each cell is one plant and {bucket.value}: the share of its series-days that are settled or hold "
        f"plausible content. As of {now:%Y-%m-%d %H:%M} UTC.</p>"
    )
    if note:
        yield f"<p>{escape(note)}</p>"
    yield _legend()
    yield '<p id="how">Point at a cell, or reach the table with the Tab key and move with the arrow keys.</p>'


def _legend() -> str:
    shown = [(style, sample, words) for _, style, sample, words in _SHADES]
    items = (
        f'<li><i class="{style}" aria-hidden="true">{sample}</i>{escape(words)}</li>'
        for style, sample, words in [*shown, _IDLE]
    )
    return f'<ul class="legend" aria-label="Legend">{"".join(items)}</ul>'


def _table(rows: Sequence[PlantRow], heads: Sequence[date], bucket: Bucket) -> Iterator[str]:
    yield '<table role="grid" aria-describedby="how">'
    yield f"<caption>Coverage by plant and {bucket.value}</caption>"
    yield "<thead>"
    yield from _column_heads(heads, bucket)
    yield "</thead>"
    yield "<tbody>"
    for number, row in enumerate(rows):
        cells = "".join(_cell(row.cells.get(day), first=not number and day == heads[0]) for day in heads)
        label = f"{escape(row.name)} <small>{escape(row.plant_id)}</small>"
        yield f'<tr><th scope="row" title="{escape(row.name)}">{label}</th>{cells}</tr>'
    yield "</tbody>"
    yield "</table>"


def _column_heads(heads: Sequence[date], bucket: Bucket) -> Iterator[str]:
    above, below = ("%Y", "%b") if bucket is Bucket.MONTH else ("%b %Y", "%d")
    groups = ((name, len(list(days))) for name, days in groupby(heads, key=lambda day: day.strftime(above)))
    months = "".join(f'<th scope="colgroup" colspan="{number}">{name}</th>' for name, number in groups)
    yield f"<tr><td></td>{months}</tr>"
    days = "".join(
        f'<th scope="col" data-day="{day.isoformat()}" title="{day.isoformat()}">{day.strftime(below)}</th>'
        for day in heads
    )
    yield f'<tr><th scope="col"><span class="away">Plant</span></th>{days}</tr>'


def _cell(cell: Cell | None, *, first: bool) -> str:
    """Return one cell; the *first* of the table is the one that the Tab key reaches."""
    share = cell.share if cell is not None else None
    tab = 0 if first else -1
    if cell is None or share is None:
        style, sign, words = _IDLE
    else:
        style = next(name for least, name, _, _ in _SHADES if share >= least)
        sign, words = ("✓" if share == 1 else str(int(share * 100))), cell.words
    return f'<td class="{style}" tabindex="{tab}" aria-label="{escape(words)}">{sign}</td>'
