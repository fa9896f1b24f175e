"""What a run tells about itself."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from harvester.model import Period, Series, Slice
from harvester.report import INCOMPLETE, OK, Miss, Report

BEGAN = datetime(2026, 6, 1, 12, tzinfo=UTC)
PIECE = Slice(
    series=Series(plant_id="1", device_id="2", set="PowerAc"),
    period=Period.WEEK,
    date=date(2026, 5, 1),
    days=(date(2026, 5, 1), date(2026, 5, 2)),
)


def report() -> Report:
    """Return the report of a run that went well."""
    run = Report("run", BEGAN, BEGAN + timedelta(seconds=83.4567))
    run.plants, run.slices, run.answered, run.files = 2, 5, 5, 3
    run.rows.update({"plant_energy_balance": 288, "device_power_ac": 576})
    run.requests = {"values": 5, "lists": 4, "token": 1}
    return run


def test_a_run_without_misses_is_ok() -> None:
    """Everything asked and kept ends with 0, warnings, throttling and repeated spoiled answers included."""
    run = report()
    run.warnings.append("one owner has withdrawn")
    run.throttled, run.quarantined, run.empty = 3, 1, 2

    assert run.exit_code == OK == 0


def test_a_missed_slice_is_incomplete() -> None:
    """A slice that failed ends the run with 3 and is listed with its days and the reason."""
    run = report()
    run.miss(PIECE, "404: unknown device")

    assert run.exit_code == INCOMPLETE == 3
    assert run.misses == [Miss("1/2/PowerAc Week 2026-05-01", 2, "404: unknown device")]
    assert run.facts()["failed"] == [
        {"what": "1/2/PowerAc Week 2026-05-01", "days": 2, "reason": "404: unknown device"}
    ]


def test_what_was_left_out_is_incomplete() -> None:
    """Requests left out after failures end the run with 3 and are listed by series."""
    run = report()
    run.not_asked["1/2/PowerAc"] += 4

    assert run.exit_code == INCOMPLETE
    assert run.facts()["not_asked"] == {"1/2/PowerAc": 4}


def test_facts_are_plain_and_sum_up() -> None:
    """The facts survive JSON unchanged; requests are summed and tables sorted."""
    facts = report().facts()

    assert json.loads(json.dumps(facts)) == facts
    assert facts["requests"] == {"total": 10, "lists": 4, "token": 1, "values": 5}
    assert list(facts["rows"]) == ["device_power_ac", "plant_energy_balance"]
    assert facts["seconds"] == 83.457
    assert facts["began_at"] == "2026-06-01T12:00:00+00:00"


def test_the_log_line_is_the_facts_in_brief() -> None:
    """The one log line counts what the facts list, and agrees with them."""
    run = report()
    run.miss(PIECE, "no answer")
    line, facts = run.log_line(), run.facts()

    assert line["requests"] == facts["requests"]["total"]
    assert line["rows"] == sum(facts["rows"].values()) == 864
    assert (line["failed"], line["files"], line["exit_code"]) == (1, 3, 3)
    assert all(isinstance(value, str | int | float) for value in line.values())


@pytest.mark.parametrize("ended", [None, BEGAN])
def test_a_run_that_has_not_ended_took_no_time(ended: datetime | None) -> None:
    """Until it ends a run took no seconds."""
    assert Report("run", BEGAN, ended).seconds == 0.0


def test_reports_do_not_share_their_counts() -> None:
    """What one run counts is not in the next one's report."""
    first, second = Report("run", BEGAN), Report("run", BEGAN)
    first.rows["t"] += 1
    first.miss(PIECE, "x")
    first.warnings.append("y")

    assert second == Report("run", BEGAN)
    assert second.exit_code == OK
