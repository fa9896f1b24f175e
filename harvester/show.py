"""What a person sees: progress while a run goes on, tables when it is done.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from harvester.log import spelt
from harvester.report import Report

_WIDE = 4096
OUT = Console(soft_wrap=True, highlight=False, emoji=False, width=None if sys.stdout.isatty() else _WIDE)
"""Where nobody looks through a window, nothing is cut to fit one; an id such as ``a:b:c`` holds no emoji."""
ERR = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)

_BLOCKS = " ▁▂▃▄▅▆▇█"
_MOST_LISTED = 20


def as_json(value: Any) -> None:
    """Print *value* as JSON on stdout: letters as they are, and spelt what would steer a terminal."""
    sys.stdout.write(spelt(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")


def clean(text: str) -> str:
    """Return *text* without characters that would steer a terminal: names come from the network."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def in_one_line(text: str) -> str:
    """Return *text* as `clean` does, line breaks replaced as well."""
    return clean(text).replace("\n", "\N{REPLACEMENT CHARACTER}")


def tell(text: str = "") -> None:
    """Print a line of a command's result, as it stands."""
    OUT.print(clean(text), markup=False)


def printed(tell: Callable[[], None]) -> str:
    """Return what *tell* prints of a command's result."""
    with OUT.capture() as capture:
        tell()
    return capture.get()


def title(text: str) -> None:
    """Print the heading of what follows."""
    OUT.print(clean(text), markup=False, style="bold")


def say(text: str) -> None:
    """Tell a person something on the way; not part of a command's result."""
    ERR.print(clean(text), markup=False)


def refuse(text: str) -> None:
    """Tell a person why a command ends here."""
    ERR.print(f"[bold red]Error:[/] {escape(clean(text))}")


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table on stdout; columns of numbers are aligned to the right."""
    shown = Table(title=escape(clean(title)), title_justify="left", box=None, header_style="bold", pad_edge=False)
    for at, head in enumerate(heads):
        numeric = bool(rows) and all(isinstance(row[at], (int, float)) for row in rows)
        shown.add_column(head, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(f"{cell:,}" if isinstance(cell, int) else escape(in_one_line(str(cell))) for cell in row))
    OUT.print(shown)
    OUT.print()


class _Bar:
    """A progress bar over slices whose number grows as they are planned."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("asking", total=None)
        self._total = 0

    def planned(self, slices: int) -> None:
        """*slices* more are to be asked."""
        self._total += slices
        self._bar.update(self._task, total=self._total)

    def advanced(self) -> None:
        """One slice is answered or has failed."""
        self._bar.advance(self._task)


class Quiet:
    """Progress that nobody watches."""

    def planned(self, slices: int) -> None:
        """*slices* more are to be asked."""

    def advanced(self) -> None:
        """One slice is answered or has failed."""


@contextmanager
def progress() -> Iterator[_Bar | Quiet]:
    """Show progress on stderr where it is a terminal."""
    if not ERR.is_terminal:
        yield Quiet()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=ERR, transient=True) as bar:
        yield _Bar(bar)


def report(done: Report) -> None:
    """Print what a run did."""
    if done.rows:
        table("Rows that came", ["table", "rows"], sorted(done.rows.items()))
    facts = done.facts()
    OUT.print(
        f"{done.plants:,} plants, {done.series:,} series; {facts['requests']['total']:,} requests "
        f"({facts['requests'].get('values', 0):,} for values) in {done.seconds:.1f} s; "
        f"{done.files:,} files written ({size(done.bytes_written)}); "
        f"{done.days_settled:,} series-days settled, {done.days_open:,} open, {done.empty:,} answers empty"
    )
    if done.revisions:
        OUT.print(f"{done.revisions:,} values changed since they were first read: see the table revisions")
    if done.throttled:
        OUT.print(f"{done.throttled:,} requests were refused because the budget was spent, and repeated")
    for warning in done.warnings:
        OUT.print(f"[yellow]Warning:[/] {escape(clean(warning))}")
    _misses(done)
    if done.interrupted:
        OUT.print(f"Interrupted: what was answered is in the lake, and the same command goes on from here{_but(done)}.")


def _but(done: Report) -> str:
    """Say what does not go on: with --force settled days are asked, so that nothing tells which of them were."""
    return "; with --force it asks all of its days again" if done.command == "repair" else ""


def _misses(done: Report) -> None:
    if not done.misses and not done.not_asked:
        return
    OUT.print(f"[red]{len(done.misses):,} requests failed[/]; their days stay due:")
    for miss in done.misses[:_MOST_LISTED]:
        OUT.print(f"  {escape(clean(miss.what))}: {escape(clean(miss.reason))}")
    if len(done.misses) > _MOST_LISTED:
        OUT.print(f"  … and {len(done.misses) - _MOST_LISTED:,} more (--json lists all)")
    for series, number in sorted(done.not_asked.items())[:_MOST_LISTED]:
        OUT.print(f"  {escape(clean(series))}: {number:,} more requests were left for the next run")


def size(number: int) -> str:
    """Return *number* of bytes for people."""
    amount = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004 - what makes a unit
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def plot(values: Sequence[float], *, rows: int = 6) -> list[str]:
    """Return *values* as *rows* lines of block characters, the largest at the top."""
    top = max(values, default=0.0)
    eighths = [round(value / top * rows * 8) if top > 0 else 0 for value in values]
    return ["".join(_BLOCKS[min(max(e - 8 * row, 0), 8)] for e in eighths) for row in reversed(range(rows))]
