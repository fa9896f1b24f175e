"""The values a configuration is written in: how far back, and when."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.config.values import Cadence, Since

TODAY = date(2026, 3, 10)


class TestSince:
    """How far back the harvester goes by itself."""

    @pytest.mark.parametrize(
        ("text", "start_up", "first"),
        [
            ("7d", None, date(2026, 3, 3)),
            ("0d", None, TODAY),
            ("7d", date(2020, 1, 1), date(2026, 3, 3)),
            ("7d", date(2026, 3, 8), date(2026, 3, 8)),
            ("9999d", None, date(2000, 1, 1)),
            ("2024-02-29", None, date(2024, 2, 29)),
            ("2024-02-29", date(2025, 1, 1), date(2025, 1, 1)),
            ("2030-01-01", None, TODAY),
            ("start", date(2021, 11, 3), date(2021, 11, 3)),
            ("start", None, date(2026, 3, 3)),
            ("start", date(1, 1, 1), date(2026, 3, 3)),
            ("start", date(2030, 1, 1), TODAY),
        ],
    )
    def test_first_day(self, text: str, start_up: date | None, first: date) -> None:
        """Nothing is asked from before a plausible start-up, and today always is."""
        assert Since.parse(text).first_day(TODAY, start_up) == first

    def test_a_date_will_do(self) -> None:
        """TOML has dates of its own."""
        assert Since.parse(date(2024, 2, 29)) == Since.parse("2024-02-29")

    @pytest.mark.parametrize(
        "wrong", ["7", "7w", "-7d", "7 d", "2024-02-30", "20240229", "Start", "", "٣d", 7, datetime.now(UTC)]
    )
    def test_anything_else_is_refused(self, wrong: object) -> None:
        """Three spellings, no guesses."""
        with pytest.raises(ValueError, match="must be"):
            Since.parse(wrong)

    @given(
        st.from_regex(r"[0-9]{1,4}d", fullmatch=True) | st.dates(min_value=date(1000, 1, 1)).map(str) | st.just("start")
    )
    def test_prints_as_it_is_written(self, text: str) -> None:
        """What was parsed prints the same, and parses again."""
        since = Since.parse(text)

        assert str(since) == text
        assert Since.parse(since) is since


class TestCadence:
    """An interval or a five-field cron for each kind of work."""

    @pytest.mark.parametrize(
        ("text", "every"),
        [("30s", timedelta(seconds=30)), ("5m", timedelta(minutes=5)), ("2h", timedelta(hours=2))],
    )
    def test_intervals(self, text: str, every: timedelta) -> None:
        """A number and a unit."""
        assert Cadence.parse(text) == Cadence(text, every=every)

    @pytest.mark.parametrize(
        ("text", "cron"),
        [
            ("15 3 * * *", "15 3 * * *"),
            ("*/5  * * JAN-mar  *", "*/5 * * jan-mar *"),
            ("0 0 1,15 * *", "0 0 1,15 * *"),
            ("0 0 * * 0", "0 0 * * sun"),
            ("0 0 * * 7", "0 0 * * sun"),
            ("0 0 * * 1-5", "0 0 * * mon,tue,wed,thu,fri"),
            ("0 0 * * mon-fri/2", "0 0 * * mon,wed,fri"),
            ("0 0 * * */2", "0 0 * * sun,tue,thu,sat"),
            ("0 0 * * 0-6", "0 0 * * *"),
        ],
    )
    def test_cron_spells_days_of_the_week_as_names(self, text: str, cron: str) -> None:
        """Sunday is 0 or 7 to cron and something else to others: a name is right for all."""
        assert Cadence.parse(text).cron == cron

    @pytest.mark.parametrize(
        ("wrong", "right"),
        [
            ("5", "must be an interval"),
            ("0m", "more than nothing"),
            ("367d", "at most 366d"),
            ("every day", "must be an interval"),
            (5, "must be an interval"),
            ("60 * * * *", "minute: must be within 0-59"),
            ("* 24 * * *", "hour: must be within 0-23"),
            ("* * 0 * *", "day of the month: must be within 1-31"),
            ("* * * 13 *", "month: must be within 1-12"),
            ("* * * * 8", "day of the week: must be within 0-7"),
            ("* * * * someday", "day of the week: must be *, a number"),
            ("5-1 * * * *", "ranges ascending"),
            ("*/0 * * * *", "minute: must be within"),
            ("5/10 * * * *", "minute: must be *, a number"),
            ("1,,2 * * * *", "minute: must be *, a number"),
            ("0 0 31 2,4 *", "must name a day that the month has"),
            ("0 0 1 * mon", "not both"),
        ],
    )
    def test_anything_else_is_refused(self, wrong: object, right: str) -> None:
        """A schedule that would never run, or not when its author thinks, is refused."""
        with pytest.raises(ValueError, match=re.escape(right)):
            Cadence.parse(wrong)

    @given(st.text(alphabet="0159*/,- mondjasuh٣", max_size=20))
    def test_nothing_but_a_refusal(self, text: str) -> None:
        """Whatever the text, it is one of the two kinds or refused."""
        try:
            cadence = Cadence.parse(text)
        except ValueError:
            return

        assert (cadence.every is None) != (cadence.cron is None)
