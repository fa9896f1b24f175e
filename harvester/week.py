"""Which days a ``Week`` answer covers. Pure.

SMA does not document it: seven days from ``Date``, or the week around it from Monday or from Sunday. So every
convention that the answers so far allow is kept, a day counts as covered only where all of them agree, and
what a plan needs is asked in the way that serves all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

_DAY = timedelta(days=1)
_WEEK = 7


class Convention(StrEnum):
    """Where the seven days of a ``Week`` begin."""

    DATE = "date"
    MONDAY = "monday"
    SUNDAY = "sunday"

    def first_day(self, asked: date) -> date:
        """Return the first of the seven days that an answer asked for *asked* holds."""
        match self:
            case Convention.DATE:
                return asked
            case Convention.MONDAY:
                return asked - _DAY * asked.weekday()
            case Convention.SUNDAY:
                return asked - _DAY * (asked.isoweekday() % _WEEK)

    def days(self, asked: date) -> frozenset[date]:
        """Return the seven days that an answer asked for *asked* holds."""
        first = self.first_day(asked)
        return frozenset(first + _DAY * n for n in range(_WEEK))


@dataclass(frozen=True, slots=True)
class WeekRule:
    """The conventions that all answers so far allow; never none."""

    possible: tuple[Convention, ...] = tuple(Convention)

    @property
    def known(self) -> bool:
        """Tell whether one convention is left."""
        return len(self.possible) == 1

    def covers(self, asked: date) -> frozenset[date]:
        """Return the days that an answer asked for *asked* holds whichever convention is the right one."""
        return frozenset.intersection(*(convention.days(asked) for convention in self.possible))

    def grid(self, first: date) -> date:
        """Return a day that begins a week: weeks counted from it need the fewest requests from *first* on.

        While several conventions are possible, no request is sure of days on both sides of a Monday (of a Sunday, where
        it cannot be Mondays), so weeks begin there: one request has them whole or, where Mondays and Sundays are both
        possible, but for the Sunday, which takes a second one.
        """
        if self.possible == (Convention.DATE,):
            return first
        return (Convention.MONDAY if Convention.MONDAY in self.possible else Convention.SUNDAY).first_day(first)

    def learn(self, asked: date, filled: Iterable[date]) -> WeekRule:
        """Return the rule after an answer asked for *asked* held full days *filled*.

        An answer that fits no convention teaches nothing: the rule stays, and stamps alone decide.
        """
        if self.known:
            return self
        days = set(filled)
        left = tuple(c for c in self.possible if days <= c.days(asked))
        return WeekRule(left) if left else self
