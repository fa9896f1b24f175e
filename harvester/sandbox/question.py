"""What a request for values asks: set, period, date and view, read from the path and the query."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from harvester.sandbox.readings import Source

FORMS = {"day": r"\d{4}-\d\d-\d\d", "week": r"\d{4}-\d\d-\d\d", "month": r"\d{4}-\d\d", "year": r"\d{4}"}
FIRST = {"day": "", "week": "", "month": "-01", "year": "-01-01"}
"""What makes a Date the first day of its period."""
WEEKDAYS = {"monday": 0, "sunday": 6}
CALENDAR = range(1900, 2200)
"""Years that are answered: at the ends of the calendar a day has no neighbour."""


class BadQuestionError(Exception):
    """A parameter is missing or malformed; the text names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request for values."""

    source: Source
    period: str
    """recent, day, week, month, year, total."""
    first: date
    """First plant-local day asked for; without meaning for Recent and Total."""
    energy: bool
    """ReturnEnergyValues."""
    total: bool
    """WithTotal."""

    def days(self, week: Literal["date", "monday", "sunday"]) -> list[date]:
        """Return the plant-local days of a Day or Week."""
        if self.period == "day":
            return [self.first]
        back = 0 if week == "date" else (self.first.weekday() - WEEKDAYS[week]) % 7
        return [self.first + timedelta(days=number - back) for number in range(7)]


def read_question(source: Source, period: str, query: dict[str, str]) -> Question:
    """Read the parameters; BadQuestionError when one is missing or malformed (assumption: 400)."""
    return Question(
        source=source,
        period=period,
        first=_date(query, "Date", period) if period in FORMS else date.min,
        energy=read_flag(query, "ReturnEnergyValues"),
        total=read_flag(query, "WithTotal"),
    )


def read_flag(query: dict[str, str], name: str) -> bool:
    """Read a boolean parameter, false by default."""
    text = query.get(name.casefold(), "false").casefold()
    if text not in {"true", "false"}:
        raise BadQuestionError(f"The value '{text}' is not valid for {name}.")
    return text == "true"


def read_day(query: dict[str, str], name: str) -> date:
    """Read a date parameter that must be there."""
    return _date(query, name, "day")


def _date(query: dict[str, str], name: str, period: str) -> date:
    text = query.get(name.casefold())
    if not text:
        raise BadQuestionError(f"The {name} parameter is required.")
    refused = BadQuestionError(f"The value '{text}' is not valid for {name}.")
    if not re.fullmatch(FORMS[period], text, re.ASCII):
        raise refused
    try:
        day = date.fromisoformat(text + FIRST[period])
    except ValueError:
        raise refused from None
    if day.year not in CALENDAR:
        raise refused
    return day
