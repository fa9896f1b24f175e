"""What the commands that only ask do: `gaps`, `coverage`. They need no lock and spend no request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path

from harvester import plan, show
from harvester.compose import Readable, readable, utc_now
from harvester.config import Config
from harvester.errors import ConfigError
from harvester.model import Period
from harvester.plan import Scope
from harvester.questions import coverage
from harvester.questions.coverage import Cell, PlantRow
from harvester.questions.coverage_page import page
from harvester.questions.gaps import Gap, asked_in_vain, holes, joined, not_asked, sum_asked_in_vain
from harvester.questions.heatmap import show_heatmap
from harvester.questions.survey import Part, Survey, days_over, suspended
from harvester.report import INCOMPLETE, OK


@dataclass(frozen=True, slots=True)
class Question:
    """Which series and plant-local days a command asks about; raises `ConfigError` for days in the wrong order."""

    scope: Scope
    first: date | None = None
    """None: since `harvest.since`."""
    last: date | None = None
    """None: until yesterday."""

    def __post_init__(self) -> None:
        if self.first and self.last and self.last < self.first:
            raise ConfigError(f"--from {self.first} is after --to {self.last}: give the earlier day first")


def gaps(config: Config, question: Question, *, content: bool, check: bool, as_json: bool) -> int:
    """Print what is not settled and past due, with *content* also what has too few rows; return the exit code."""
    with readable(config) as stores:
        survey = _survey(config, stores, question, siblings=content)
        found = [
            gap
            for part in _parts(survey, question)
            for gap in (*_gaps_of(survey, part, question, content=content), *_failed_sums(stores, part, question))
        ]
    if as_json:
        show.as_json([gap.facts() for gap in found])
    else:
        _tell_gaps(found)
    return INCOMPLETE if check and found else OK


def coverage_of(config: Config, question: Question, *, html: Path | None, check: bool, as_json: bool) -> int:
    """Print how much of each plant and day is there, or write it as a page to *html*; return the exit code."""
    rows = covered_rows(config, question)
    if html is not None:
        _write(html, page(rows, now=utc_now()))
        show.say(f"The page is {html}.")
    if as_json:
        show.as_json([fact for row in rows for fact in row.facts()])
    elif html is None:
        show_heatmap(rows, show.OUT)
    lacking = any(cell.covered < cell.applicable for row in rows for cell in row.cells.values())
    return INCOMPLETE if check and lacking else OK


def covered_rows(config: Config, question: Question) -> list[PlantRow]:
    """Return how much of each plant and day is there."""
    with readable(config) as stores:
        survey = _survey(config, stores, question, siblings=True)
        return [row for part in _parts(survey, question) for row in _rows_of(survey, part)]


def _survey(config: Config, stores: Readable, question: Question, *, siblings: bool) -> Survey:
    now = utc_now()
    usual = plan.recent(config.harvest.since.first_day, (), now)
    return Survey(
        stores.inventory,
        stores.ledger,
        stores.history,
        scope=question.scope,
        span_of=days_over(question.first, question.last, usual),
        now=now,
        siblings=siblings,
    )


def _parts(survey: Survey, question: Question) -> Iterator[Part]:
    """Yield the parts that the question is about; refuse a selection that nothing fits: a name may be misspelt."""
    number = 0
    for number, part in enumerate(survey.parts(), start=1):  # noqa: B007 - counted for afterwards
        yield part
    if not number and question.scope.narrow:
        raise ConfigError(
            f"nothing that is harvested matches {question.scope.words()}. "
            "`harvester discover` lists plants, devices and sets."
        )


def _gaps_of(survey: Survey, part: Part, question: Question, *, content: bool) -> list[Gap]:
    found: list[Gap] = []
    for piece in survey.pieces(part):
        new = chain(not_asked(piece), holes(piece) if content else ())
        found = joined([*found, *new])
    # what failed stays due whatever harvest.since says, and even while its day runs
    failed = survey.failed(part, question.first or date.min, question.last or date.max)
    return joined([*found, *(asked_in_vain(subject, each.day, each.reason) for subject, each in failed)])


def _failed_sums(stores: Readable, part: Part, question: Question) -> list[Gap]:
    """Return the Month, Year and Total of the plants of *part* that failed and touch the days asked about."""
    subjects = {s.known.series_id: s for s in part.subjects if s.wanted and not suspended(s.plant)}
    first, last, now = question.first or date.min, question.last or date.max, utc_now()
    found = [
        sum_asked_in_vain(subjects[series_id], stretch, known.reason or "no reason is recorded", now)
        for series_id, stretch, known in stores.periods.failures(part.number)
        if series_id in subjects
    ]
    return joined(gap for gap in found if gap.first <= last and first <= gap.last)


def _rows_of(survey: Survey, part: Part) -> Iterator[PlantRow]:
    found: dict[str, dict[date, Cell]] = {plant_id: {} for plant_id in part.plants}
    for piece in survey.pieces(part):
        for plant_id, day, cell in coverage.cells(piece):
            found[plant_id][day] = found[plant_id].get(day, Cell()) + cell
    for plant_id, known in part.plants.items():
        yield PlantRow(plant_id, known.plant.name, found[plant_id])


def _tell_gaps(found: list[Gap]) -> None:
    if not found:
        show.tell("No gap: of what is past due nothing is missing.")
        return
    for gap in found:
        what = "" if gap.period is Period.DAY else f" {gap.period.value}"
        line = f"{gap.first} to {gap.last}  {gap.settlement.value:<9}  {gap.series}{what}: {gap.reason}"
        show.tell(show.in_one_line(line))
    show.tell(
        f"{len(found):,} gaps, {sum(gap.days for gap in found if gap.period is Period.DAY):,} series-days. "
        "`harvester explain` tells more of a day, `harvester repair` asks again."
    )


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--html {file}: cannot be written ({error.strerror or error})") from error
